//! A live node among strangers and peers that mean it no good. Whatever they send, the node says
//! what is wrong and goes on, and two honest nodes exchange numbered messages all the while.

#![cfg(all(unix, feature = "lan"))]

mod crowd;
mod duplicate;
mod evil;
mod floods;
mod frames;
mod peers;
mod scene;
mod slow;
mod strangers;
