//! The graph as a line of text.

use std::collections::{BTreeMap, BTreeSet};

use hedgerow::{Connection, Peer, PresenceGraph};
use serde_json::{Value, json};

/// Each connection once, by the names of its ends.
pub(super) fn connections(graph: &PresenceGraph) -> Vec<Value> {
    let mut ends: Vec<(String, String, &str)> = unique(graph)
        .into_values()
        .map(|connection| {
            let first = name_of(graph, &connection.peer_key_string1);
            let second = name_of(graph, &connection.peer_key_string2);
            let kind = connection.connection_type.name();
            if first <= second { (first, second, kind) } else { (second, first, kind) }
        })
        .collect();
    ends.sort();
    let entry = |(from, to, kind)| json!({"from": from, "to": to, "connectionType": kind});
    ends.into_iter().map(entry).collect()
}

/// The mesh from this node outwards: `A --TCP-- B --TCP-- C`; branches have lines of their own.
pub(super) fn draw(graph: &PresenceGraph) -> String {
    let local = &graph.local_peer.peer_key_string;
    let mut seen = BTreeSet::from([local.clone()]);
    let mut lines = vec![name_of(graph, local)];
    extend(graph, local, &mut seen, &mut lines);
    lines.join("\n    ")
}

/// Goes on from `key`, which the last line ends with.
fn extend(graph: &PresenceGraph, key: &str, seen: &mut BTreeSet<String>, lines: &mut Vec<String>) {
    let mut is_first = true;
    for connection in unique(graph).into_values() {
        let Some(other) = connection.other_end(key) else { continue };
        if !seen.insert(other.to_owned()) {
            continue;
        }
        let kind = connection.connection_type.name();
        let step = format!(" --{kind}-- {}", name_of(graph, other));
        match lines.last_mut().filter(|_| is_first) {
            Some(line) => line.push_str(&step),
            None => lines.push(format!("{}{step}", name_of(graph, key))),
        }
        is_first = false;
        extend(graph, other, seen, lines);
    }
}

fn everybody(graph: &PresenceGraph) -> impl Iterator<Item = &Peer> {
    std::iter::once(&*graph.local_peer).chain(graph.remote_peers.iter())
}

fn unique(graph: &PresenceGraph) -> BTreeMap<&str, &Connection> {
    let connections = everybody(graph).flat_map(|peer| &peer.connections);
    connections.map(|connection| (connection.id.as_str(), connection)).collect()
}

fn name_of(graph: &PresenceGraph, key: &str) -> String {
    let peer = everybody(graph).find(|peer| peer.peer_key_string == key);
    peer.map_or_else(|| key.chars().take(8).collect(), |peer| peer.device_name.clone())
}

#[cfg(test)]
mod tests {
    use hedgerow::ConnectionType;

    use super::*;
    use crate::naming::tests::keys;

    fn graph(pairs: &[(usize, usize)]) -> PresenceGraph {
        let keys = keys();
        let mut peers: Vec<Peer> =
            keys.iter().zip(["A", "B", "C"]).map(|(key, name)| Peer::new(*key, name)).collect();
        for &(a, b) in pairs {
            let connection = Connection::new(&keys[a], &keys[b], ConnectionType::other("Air"));
            peers[a].connections.push(connection.clone());
            peers[b].connections.push(connection);
        }
        let local = peers.remove(0);
        PresenceGraph::new(local, peers)
    }

    #[test]
    fn a_chain_is_one_line() {
        assert_eq!(draw(&graph(&[])), "A");
        assert_eq!(draw(&graph(&[(0, 1), (1, 2)])), "A --Air-- B --Air-- C");
    }

    #[test]
    fn branches_have_their_own_lines_and_rings_end() {
        let star = draw(&graph(&[(0, 1), (0, 2)]));
        assert_eq!(star.lines().count(), 2, "{star}");
        let ring = draw(&graph(&[(0, 1), (1, 2), (0, 2)]));
        assert_eq!(ring.lines().count(), 1, "{ring}");
        assert_eq!(connections(&graph(&[(0, 1), (1, 2), (0, 2)])).len(), 3);
    }
}
