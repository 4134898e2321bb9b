//! `hedgerow peers`.

use hedgerow::PresenceGraph;

use super::{ask_graph, short_key};
use crate::control::Client;
use crate::failure::Failure;
use crate::output::{Output, duration, printable};
use crate::table::{Table, or_dash};

pub(super) async fn run(client: Client, output: Output) -> Result<(), Failure> {
    let graph = ask_graph(client).await?;
    if !output.json {
        return output.print_text(&text(&graph));
    }
    graph.remote_peers.iter().try_for_each(|peer| output.print_json(peer))
}

/// The peers as a table, the nearest first.
pub(super) fn text(graph: &PresenceGraph) -> String {
    if graph.remote_peers.is_empty() {
        return "no peers can be reached; `hedgerow links` shows what was tried".into();
    }
    let headings = ["NAME", "KEY", ">HOPS", "VIA", ">COST", "OS", "VERSION", ">SEEN"];
    let mut table = Table::new(&headings);
    let mut peers: Vec<_> = graph.remote_peers.iter().collect();
    peers.sort_by_key(|peer| (peer.hops.unwrap_or(u16::MAX), &peer.device_name));
    for peer in peers {
        let route = peer.route.as_ref();
        let name_of_next = |key| {
            let next = graph.remote_peers.iter().find(|peer| peer.peer_key == key);
            let name = next.map(|peer| printable(&peer.device_name)).unwrap_or_default();
            if name.is_empty() { short_key(&key.to_string()) } else { name }
        };
        table.add(vec![
            printable(&peer.device_name),
            short_key(&peer.peer_key_string),
            or_dash(peer.hops, |hops| hops.to_string()),
            or_dash(route, |route| name_of_next(route.next_hop)),
            or_dash(route, |route| route.cost.to_string()),
            or_dash(peer.os, |os| os.to_string()),
            or_dash(peer.sdk_version.as_deref(), printable),
            or_dash(peer.last_seen, |seen| format!("{} ago", duration(seen))),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hedgerow::Peer;
    use hedgerow::presence::Route;

    use super::*;

    #[test]
    fn peers_are_listed_nearest_first_and_by_name() {
        let keys = crate::naming::tests::keys();
        let mut far = Peer::new(keys[0], "far\u{7}away");
        far.hops = Some(2);
        far.route = Some(Route::new(keys[1], 80));
        far.last_seen = Some(Duration::from_secs(3));
        let mut near = Peer::new(keys[1], "near");
        near.hops = Some(1);
        near.route = Some(Route::new(keys[1], 12));
        let local = Peer::new(keys[2], "me");
        let text = text(&PresenceGraph::new(local.clone(), vec![far, near]));
        let rows: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["NAME", "KEY", "HOPS", "VIA", "COST", "OS", "VERSION", "SEEN"]);
        let key = short_key(&keys[1].to_string());
        assert_eq!(rows[1], ["near", &key, "1", "near", "12", "-", "-", "-"]);
        assert_eq!(rows[2][0], "far\u{fffd}away");
        assert_eq!(rows[2][2..5], ["2", "near", "80"]);
        assert!(super::text(&PresenceGraph::new(local, vec![])).starts_with("no peers"));
    }
}
