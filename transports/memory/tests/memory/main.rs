//! What a node sees of a medium through its driver, in virtual time.

mod back_pressure;
mod closing;
mod cuts;
mod dials;
mod links;
mod node;
mod packets;
mod shutdown;
mod sightings;
