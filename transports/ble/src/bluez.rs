//! Linux: BlueZ over its D-Bus interface, with values and channels through sockets.

mod accept;
mod acl;
mod advertise;
mod bus;
mod channel;
mod condition;
mod dial;
mod endpoint;
mod look;
mod objects;
mod queue;
mod run;
mod scan;
mod service;
mod socket;
mod station;
mod supervise;

pub(crate) use look::look;
pub(crate) use run::run;
