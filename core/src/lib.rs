//! The Hedgerow mesh protocol, whole, without input or output.
//!
//! Every layer is a machine of its own with the same verbs: `handle_*` takes input, `poll_*`
//! gives output, `next_timeout` says when it wants to be called again. Time and randomness are
//! inputs; the same inputs give the same outputs, always. Nothing here knows sockets, clocks,
//! threads or `std`.
//!
//! The layers, from the bottom up: [`wire`] (bytes and values), [`crypto`], [`link`] (one
//! authenticated hop), [`dial`] (whom to dial, and when), [`advert`] (signed, replicated
//! statements), [`route`] (shortest paths over them), [`presence`] (the graph) and [`bus`]
//! (sessions, messages, streams). [`node`] is the switchboard between them; [`io`] is the
//! vocabulary towards the drivers, [`event`] what the host is told.
//!
//! The wire format is `docs/protocol.md`; sections cited as "protocol 3.2" are its sections.

#![no_std]

extern crate alloc;

pub mod advert;
mod allowance;
pub mod bus;
pub mod config;
pub mod counters;
pub mod crypto;
pub mod dial;
pub mod entropy;
pub mod event;
pub mod id;
pub mod identity;
pub mod io;
pub mod limits;
pub mod link;
pub mod local;
pub mod network;
pub mod node;
pub mod presence;
pub mod route;
pub mod time;
pub mod wire;
