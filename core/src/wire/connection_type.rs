//! What kind of medium a link runs over.

use alloc::string::{String, ToString};
use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The kind of medium a connection runs over, as the presence graph shows it.
///
/// On the wire: a code and a name that is empty except for `Other`; a code that this build does
/// not know decodes as `Unknown`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ConnectionType {
    /// A kind this build does not know.
    Unknown,
    /// Bluetooth Low Energy, GATT or L2CAP.
    Bluetooth,
    /// The local network: Ethernet or Wi-Fi through an access point.
    AccessPoint,
    /// Wi-Fi Direct.
    P2PWiFi,
    /// WebSocket.
    WebSocket,
    /// A medium of one's own, by name; simulated links are always this.
    Other(String),
}

/// The longest name of an `Other` medium, in bytes; a longer one is cut.
const NAME_BYTES_MAX: usize = 16;

impl ConnectionType {
    /// A medium of one's own; the name is cut at 16 bytes.
    #[must_use]
    pub fn other(name: &str) -> Self {
        Self::Other(cut(name, NAME_BYTES_MAX).to_string())
    }

    fn code(&self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Bluetooth => 1,
            Self::AccessPoint => 2,
            Self::P2PWiFi => 3,
            Self::WebSocket => 4,
            Self::Other(_) => 5,
        }
    }

    /// The name shown in the graph.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown => "Unknown",
            Self::Bluetooth => "Bluetooth",
            Self::AccessPoint => "AccessPoint",
            Self::P2PWiFi => "P2PWiFi",
            Self::WebSocket => "WebSocket",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for ConnectionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The longest prefix of `text` with at most `bytes_max` bytes that ends between characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

impl Serialize for ConnectionType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let name = if let Self::Other(name) = self { name.as_str() } else { "" };
        (self.code(), name).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ConnectionType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (code, name) = <(u8, &str)>::deserialize(deserializer)?;
        Ok(match code {
            1 => Self::Bluetooth,
            2 => Self::AccessPoint,
            3 => Self::P2PWiFi,
            4 => Self::WebSocket,
            5 => Self::other(name),
            _ => Self::Unknown,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_goes_both_ways_and_an_unknown_one_decodes() {
        for kind in [
            ConnectionType::Bluetooth,
            ConnectionType::AccessPoint,
            ConnectionType::P2PWiFi,
            ConnectionType::WebSocket,
            ConnectionType::other("pipe"),
        ] {
            let bytes = postcard::to_allocvec(&kind).unwrap();
            assert_eq!(postcard::from_bytes::<ConnectionType>(&bytes).unwrap(), kind);
        }
        assert_eq!(postcard::from_bytes::<ConnectionType>(&[99, 0]), Ok(ConnectionType::Unknown));
    }

    #[test]
    fn golden_bytes_both_ways_and_no_truncation() {
        for (kind, golden) in [
            (ConnectionType::Unknown, b"\x00\x00".as_slice()),
            (ConnectionType::Bluetooth, b"\x01\x00"),
            (ConnectionType::AccessPoint, b"\x02\x00"),
            (ConnectionType::P2PWiFi, b"\x03\x00"),
            (ConnectionType::WebSocket, b"\x04\x00"),
            (ConnectionType::other("pipe"), b"\x05\x04pipe"),
        ] {
            assert_eq!(postcard::to_allocvec(&kind).unwrap(), golden);
            assert_eq!(postcard::from_bytes(golden), Ok(kind));
            for end in 0..golden.len() {
                let cut = golden.get(..end).unwrap();
                assert!(postcard::from_bytes::<ConnectionType>(cut).is_err(), "{cut:x?}");
            }
        }
        assert!(postcard::from_bytes::<ConnectionType>(b"\x05\x01\xff").is_err(), "no UTF-8");
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let ConnectionType::Other(name) = ConnectionType::other("ääääääääää") else {
            panic!()
        };
        assert_eq!(name, "ääääääää");
        assert_eq!(cut("abc", 10), "abc");
        assert_eq!(cut("ä", 1), "");
    }
}
