//! Whole nodes over memory links, on paused (virtual) time.

mod distances;
mod drivers;
mod lifecycle;
mod messages;
mod offers;
mod packets;
mod presence;
mod scene;
mod streams;
