//! Bytes and values: no state, no time.
//!
//! Headers on the hot path are laid out by hand, with a bit diagram on each; control messages
//! are serde + postcard inside a length-prefixed envelope. Decoding never panics, never indexes
//! and never allocates by a claimed length.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation)]

pub mod advert;
pub mod beacon;
pub mod connection_type;
pub mod control;
pub mod fragment;
pub mod frame;
pub mod handshake;
pub mod hint;
pub mod lane;
pub mod ranges;
pub mod routing;
pub mod trace;

/// Takes `N` bytes off the front of `bytes`.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}
