//! Packet-shaped links over emulated radios, on virtual time.

#[path = "packets/faults.rs"]
mod faults;
#[path = "packets/limits.rs"]
mod limits;
#[path = "packets/page.rs"]
mod page;
#[path = "packets/rig.rs"]
mod rig;
