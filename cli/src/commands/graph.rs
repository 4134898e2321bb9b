//! `hedgerow graph`.

use std::collections::BTreeMap;

use hedgerow::{Connection, Peer, PresenceGraph};

use super::{ask_graph, peers, short_key};
use crate::control::Client;
use crate::failure::Failure;
use crate::output::{Output, duration, printable};
use crate::table::{Table, or_dash};

pub(super) async fn run(client: Client, dot: bool, output: Output) -> Result<(), Failure> {
    let graph = ask_graph(client).await?;
    if dot {
        return output.print_text(graph.to_dot().trim_end());
    }
    output.print(&graph, || text(&graph))
}

fn text(graph: &PresenceGraph) -> String {
    let local = &graph.local_peer;
    let name = printable(&local.device_name);
    let mut text =
        format!("this node: {name} ({})\n\n{}", local.peer_key_string, peers::text(graph));
    let connections = connections(graph);
    if !connections.is_empty() {
        let mut table = Table::new(&["FROM", "TO", "TRANSPORT", ">RTT"]);
        for connection in connections {
            table.add(vec![
                name_of(graph, &connection.peer_key_string1),
                name_of(graph, &connection.peer_key_string2),
                printable(connection.connection_type.name()),
                or_dash(connection.rtt, duration),
            ]);
        }
        text.push_str("\n\n");
        text.push_str(&table.render());
    }
    text
}

fn everybody(graph: &PresenceGraph) -> impl Iterator<Item = &Peer> {
    std::iter::once(&*graph.local_peer).chain(graph.remote_peers.iter())
}

/// Each connection once, as the end knows it that has measured it.
fn connections(graph: &PresenceGraph) -> Vec<&Connection> {
    let mut known = BTreeMap::<&str, &Connection>::new();
    for connection in everybody(graph).flat_map(|peer| &peer.connections) {
        let best = known.entry(&connection.id).or_insert(connection);
        if best.rtt.is_none() {
            *best = connection;
        }
    }
    known.into_values().collect()
}

fn name_of(graph: &PresenceGraph, key: &str) -> String {
    let peer = everybody(graph).find(|peer| peer.peer_key_string == key);
    match peer {
        Some(peer) if !peer.device_name.is_empty() => printable(&peer.device_name),
        _ => short_key(key),
    }
}
