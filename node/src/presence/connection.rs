//! One connection between two peers.

use std::time::Duration;

use hedgerow_core::id::PeerKey;
use hedgerow_core::io::ConnectionType;
use serde::{Deserialize, Serialize};

use super::json;

/// A link between two peers over one transport, as the presence graph shows it.
///
/// The last fields are measured by the two ends and known only there, so they are `None` on
/// connections between others; JSON leaves out what is unknown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Connection {
    /// Follows from the rest: `a<->b:Transport`, the same at both ends and after a reconnect.
    pub id: String,
    /// The peer key of one end, in text: the one that sorts first.
    pub peer_key_string1: String,
    /// The peer key of the other end, in text.
    pub peer_key_string2: String,
    /// The kind of medium.
    #[serde(with = "json::connection_type")]
    pub connection_type: ConnectionType,
    /// Smoothed round-trip time. JSON: `rttMs`, with a fraction.
    #[serde(rename = "rttMs", with = "json::millis_fraction")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt: Option<Duration>,
    /// The share of frames that had to be repeated or were lost, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Measured rate in bytes a second. JSON: `rateBytesPerS`.
    #[serde(rename = "rateBytesPerS")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_bytes_per_s: Option<u64>,
    /// About how far away the other end is, in metres, where the transport hears how strongly it
    /// sends, as Bluetooth does on Linux. It may be off by a factor of two or three either way:
    /// good for nearer and further, not for a map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approximate_distance_in_meters: Option<f64>,
    /// Whether it carries data now. Of several transports between a pair the cheapest does; the
    /// others are ready.
    #[serde(default)]
    pub is_active: bool,
}

impl Connection {
    /// A connection between `a` and `b`, in either order, of which nothing is measured yet.
    #[must_use]
    pub fn new(a: &PeerKey, b: &PeerKey, connection_type: ConnectionType) -> Self {
        let (a, b) = (a.to_string(), b.to_string());
        let (first, second) = if a <= b { (a, b) } else { (b, a) };
        Self {
            id: format!("{first}<->{second}:{connection_type}"),
            peer_key_string1: first,
            peer_key_string2: second,
            connection_type,
            rtt: None,
            loss: None,
            rate_bytes_per_s: None,
            approximate_distance_in_meters: None,
            is_active: false,
        }
    }

    /// The end that is not `peer_key_string`; `None` if neither end is.
    #[must_use]
    pub fn other_end(&self, peer_key_string: &str) -> Option<&str> {
        if self.peer_key_string1 == peer_key_string {
            Some(&self.peer_key_string2)
        } else if self.peer_key_string2 == peer_key_string {
            Some(&self.peer_key_string1)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::tests::key;

    #[test]
    fn both_ends_name_it_alike() {
        let there = Connection::new(&key(1), &key(2), ConnectionType::Bluetooth);
        let back = Connection::new(&key(2), &key(1), ConnectionType::Bluetooth);
        assert_eq!(there, back);
        assert!(there.peer_key_string1 < there.peer_key_string2);
        let expected = format!("{}<->{}:Bluetooth", there.peer_key_string1, there.peer_key_string2);
        assert_eq!(there.id, expected);
        assert_eq!(there.other_end(&there.peer_key_string2), Some(&*there.peer_key_string1));
        assert_eq!(there.other_end("pk"), None);
    }

    #[test]
    fn a_medium_of_ones_own_goes_by_its_name() {
        let radio = Connection::new(&key(1), &key(2), ConnectionType::other("radio"));
        let json = serde_json::to_value(&radio).unwrap();
        assert_eq!(json["connectionType"], "radio");
        assert_eq!(serde_json::from_value::<Connection>(json).unwrap(), radio);
    }

    #[test]
    fn measurements_go_both_ways_and_odd_ones_do_no_harm() {
        let mut connection = Connection::new(&key(1), &key(2), ConnectionType::AccessPoint);
        connection.rtt = Some(Duration::from_micros(215));
        connection.loss = Some(0.25);
        connection.rate_bytes_per_s = Some(20_000);
        connection.approximate_distance_in_meters = Some(1.5);
        connection.is_active = true;
        let mut json = serde_json::to_value(&connection).unwrap();
        assert_eq!(json["rttMs"], 0.215);
        assert_eq!(json["rateBytesPerS"], 20_000);
        assert_eq!(serde_json::from_value::<Connection>(json.clone()).unwrap(), connection);

        json["rttMs"] = (-1e300).into();
        let odd = serde_json::from_value::<Connection>(json).unwrap();
        assert_eq!(odd.rtt, Some(Duration::ZERO));
    }
}
