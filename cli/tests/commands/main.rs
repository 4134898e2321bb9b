//! The real binary, one behaviour a file.

mod demo;
mod process;
mod usage;

#[cfg(unix)]
mod closed;
#[cfg(unix)]
mod control;
#[cfg(unix)]
mod diagnose;
#[cfg(unix)]
mod doctor;
#[cfg(unix)]
mod faults;
#[cfg(unix)]
mod inbox;
#[cfg(unix)]
mod lines;
#[cfg(unix)]
mod mesh;
#[cfg(unix)]
mod namespace;
#[cfg(unix)]
mod node;
#[cfg(unix)]
mod pipe;
#[cfg(unix)]
mod scarcity;
#[cfg(unix)]
mod suspend;
#[cfg(unix)]
mod troubleshooting;
#[cfg(unix)]
mod up;
