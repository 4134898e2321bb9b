//! The graph as a picture, in Graphviz's language.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Connection, Peer, PresenceGraph};

/// Draws `graph`: a box for each peer, a line for each connection.
pub(super) fn draw(graph: &PresenceGraph) -> String {
    let mut text = String::from("graph hedgerow {\n  node [shape=box, style=rounded];\n");
    for (at, peer) in graph.peers().enumerate() {
        let emphasis = if at == 0 { ", penwidth=2" } else { "" };
        let (id, label) = (quote(&peer.peer_key_string), quote(&peer_label(peer)));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {id} [label={label}{emphasis}];");
    }
    // Both ends list a connection; the one that has measured it says more.
    let mut connections = BTreeMap::<&str, &Connection>::new();
    for connection in graph.peers().flat_map(|peer| &peer.connections) {
        let known = connections.entry(&connection.id).or_insert(connection);
        if known.rtt.is_none() {
            *known = connection;
        }
    }
    for connection in connections.values() {
        let from = quote(&connection.peer_key_string1);
        let to = quote(&connection.peer_key_string2);
        let label = quote(&connection_label(connection));
        let style = if connection.is_active { "solid" } else { "dashed" };
        let _ = writeln!(text, "  {from} -- {to} [label={label}, style={style}];");
    }
    text.push_str("}\n");
    text
}

fn peer_label(peer: &Peer) -> String {
    let short: String = peer.peer_key_string.chars().take(10).collect();
    match peer.os {
        Some(os) => format!("{}\n{os}\n{short}", peer.device_name),
        None => format!("{}\n{short}", peer.device_name),
    }
}

fn connection_label(connection: &Connection) -> String {
    match connection.rtt {
        Some(rtt) => format!("{} {:.1} ms", connection.connection_type, rtt.as_secs_f64() * 1e3),
        None => connection.connection_type.to_string(),
    }
}

/// A quoted string of the language, whatever a peer calls itself.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            // The language has no escape for these, and a terminal would obey them.
            _ if character.is_control() => quoted.push('\u{fffd}'),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::tests::{key, mesh};

    #[test]
    fn every_peer_and_every_connection_is_drawn_once() {
        let dot = mesh().to_dot();
        assert!(dot.starts_with("graph hedgerow {\n") && dot.ends_with("}\n"), "{dot}");
        assert_eq!(dot.matches(" -- ").count(), 2, "{dot}");
        assert_eq!(dot.matches("shape=box").count(), 1);
        assert_eq!(dot.lines().filter(|line| line.contains("[label=")).count(), 3 + 2, "{dot}");
        // Only one of its ends has measured it.
        assert!(dot.contains("AccessPoint 0.2 ms"), "{dot}");
    }

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        let evil = Peer::new(key(1), "\"];\n} \\\" \u{1b}[31m");
        let dot = PresenceGraph::new(evil, vec![]).to_dot();
        assert!(dot.contains(r#"label="\"];\n} \\\" "#), "{dot}");
        assert!(!dot.contains('\u{1b}'));
        assert_eq!(dot.lines().count(), 4);
    }
}
