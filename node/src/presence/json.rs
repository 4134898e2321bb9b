//! The JSON form of the graph: which keys, in which order, and what readers may leave out.

use std::time::Duration;

use hedgerow_core::id::PeerKey;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::peer::Route;
use super::{Connection, JsonObject, Peer, PresenceOs};

/// A peer as it is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PeerOut<'a> {
    address: String,
    peer_key: &'a PeerKey,
    peer_key_string: &'a str,
    device_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    os: Option<PresenceOs>,
    #[serde(rename = "dittoSDKVersion", skip_serializing_if = "Option::is_none")]
    compatibility_sdk_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sdk_version: Option<&'a str>,
    #[serde(rename = "isConnectedToDittoCloud")]
    compatibility_is_connected: bool,
    is_connected_to_gateway: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_compatible: Option<bool>,
    connections: &'a [Connection],
    peer_metadata: &'a JsonObject,
    identity_service_metadata: &'a JsonObject,
    #[serde(skip_serializing_if = "Option::is_none")]
    hops: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<RouteOut>,
    #[serde(with = "millis", skip_serializing_if = "Option::is_none")]
    last_seen_ms: Option<Duration>,
    metadata_pending: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RouteOut {
    next_hop: String,
    cost: u32,
}

impl Serialize for Peer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let route = self.route.as_ref();
        PeerOut {
            address: self.address.to_string(),
            peer_key: &self.peer_key,
            peer_key_string: &self.peer_key_string,
            device_name: &self.device_name,
            os: self.os,
            compatibility_sdk_version: self.sdk_version.as_deref(),
            sdk_version: self.sdk_version.as_deref(),
            compatibility_is_connected: self.is_connected_to_gateway,
            is_connected_to_gateway: self.is_connected_to_gateway,
            is_compatible: self.is_compatible,
            connections: &self.connections,
            peer_metadata: &self.peer_metadata,
            identity_service_metadata: &self.identity_service_metadata,
            hops: self.hops,
            route: route.map(|r| RouteOut { next_hop: r.next_hop.to_string(), cost: r.cost }),
            last_seen_ms: self.last_seen,
            metadata_pending: self.metadata_pending,
        }
        .serialize(serializer)
    }
}

/// A peer as it is read: only its key must be there, as text; the address and the deprecated
/// bytes follow from it and are not read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PeerIn {
    peer_key_string: String,
    #[serde(default)]
    device_name: String,
    os: Option<PresenceOs>,
    #[serde(rename = "dittoSDKVersion")]
    compatibility_sdk_version: Option<String>,
    sdk_version: Option<String>,
    #[serde(rename = "isConnectedToDittoCloud")]
    compatibility_is_connected: Option<bool>,
    is_connected_to_gateway: Option<bool>,
    is_compatible: Option<bool>,
    #[serde(default)]
    connections: Vec<Connection>,
    #[serde(default)]
    peer_metadata: JsonObject,
    #[serde(default)]
    identity_service_metadata: JsonObject,
    hops: Option<u16>,
    route: Option<RouteIn>,
    #[serde(default, with = "millis")]
    last_seen_ms: Option<Duration>,
    #[serde(default)]
    metadata_pending: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RouteIn {
    next_hop: String,
    #[serde(default)]
    cost: u32,
}

fn parse_key<E: Error>(text: &str) -> Result<PeerKey, E> {
    text.parse().map_err(E::custom)
}

impl<'de> Deserialize<'de> for Peer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let peer = PeerIn::deserialize(deserializer)?;
        let route = peer.route.map(|route| {
            Ok(Route { next_hop: parse_key::<D::Error>(&route.next_hop)?, cost: route.cost })
        });
        Ok(Self {
            os: peer.os,
            sdk_version: peer.sdk_version.or(peer.compatibility_sdk_version),
            is_compatible: peer.is_compatible,
            is_connected_to_gateway: peer
                .is_connected_to_gateway
                .or(peer.compatibility_is_connected)
                .unwrap_or(false),
            connections: peer.connections,
            peer_metadata: peer.peer_metadata,
            identity_service_metadata: peer.identity_service_metadata,
            hops: peer.hops,
            route: route.transpose()?,
            last_seen: peer.last_seen_ms,
            metadata_pending: peer.metadata_pending,
            ..Self::new(parse_key(&peer.peer_key_string)?, peer.device_name)
        })
    }
}

/// Whole milliseconds.
mod millis {
    use super::*;

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let millis = duration.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        millis.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

/// Milliseconds with a fraction, to the microsecond: round trips on a local network are shorter
/// than one.
pub(super) mod millis_fraction {
    use super::*;

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(in super::super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration.map(|d| d.as_micros() as f64 / 1_000.0).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let millis = Option::<f64>::deserialize(deserializer)?;
        // `as` takes what is no duration (negative, not a number) as the nearest one.
        Ok(millis.map(|millis| Duration::from_micros((millis * 1_000.0).round() as u64)))
    }
}

/// A connection type by its name; a name that this build does not know is a medium of one's own.
pub(super) mod connection_type {
    use hedgerow_core::io::ConnectionType;

    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(
        kind: &ConnectionType,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(kind.name())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<ConnectionType, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = [
            ConnectionType::Unknown,
            ConnectionType::Bluetooth,
            ConnectionType::AccessPoint,
            ConnectionType::P2PWiFi,
            ConnectionType::WebSocket,
        ];
        let found = known.into_iter().find(|kind| kind.name() == name);
        Ok(found.unwrap_or_else(|| ConnectionType::other(&name)))
    }
}
