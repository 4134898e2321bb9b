//! Clients that look at the mesh: `ping`, `trace`, `watch`.

use std::time::Duration;

use hedgerow::diagnose::{Hop, TraceEnd};
use hedgerow::presence::Change;
use hedgerow::{PeerKey, PresenceGraph};

use super::{ClientIncoming, ClientOutgoing, Parting, Service, say, unless_closed};
use crate::control::{Answer, ChangeLine, Ending, HopLine, Named};
use crate::failure::Failure;
use crate::output::millis;

impl Service {
    pub(super) async fn ping(&self, peer: &str, patience: Duration) -> Result<Answer, Failure> {
        let key = self.roster.require(peer)?;
        let pong = self.mesh.ping_within(&key, patience).await?;
        Ok(Answer::Pong { rtt_ms: millis(pong.rtt), hops: pong.hops })
    }

    /// Tells a client each hop as it answers, and how it ended.
    pub(super) async fn trace(
        &self,
        peer: &str,
        incoming: &mut ClientIncoming,
        outgoing: &mut ClientOutgoing,
    ) -> Result<(), Parting> {
        let key = self.roster.require(peer)?;
        let mut trace = self.mesh.trace(&key).await.map_err(Failure::from)?;
        let route = trace.route().iter().map(|key| self.named(key)).collect();
        say(outgoing, &Answer::Route { route }).await?;
        while let Some(hop) = unless_closed(incoming, trace.next()).await? {
            say(outgoing, &Answer::Hop { hop: self.hop_line(hop) }).await?;
        }
        let end = match trace.end().ok_or_else(Failure::node_stopped)? {
            TraceEnd::Arrived => Ending::Arrived,
            TraceEnd::NoRoute => Ending::NoRoute,
            _ => Ending::NoAnswer,
        };
        say(outgoing, &Answer::Traced { end }).await
    }

    fn hop_line(&self, hop: Hop) -> HopLine {
        let mut line = HopLine { hop: hop.number, ..HopLine::default() };
        if let Some(answer) = hop.answer {
            let Named { peer_key_string, device_name } = self.named(&answer.peer);
            line.peer_key_string = Some(peer_key_string);
            line.device_name = Some(device_name);
            line.transport = Some(answer.transport.name().to_owned());
            line.rtt_ms = Some(millis(answer.rtt));
            line.held_ms = Some(millis(answer.held));
        }
        line
    }

    fn named(&self, key: &PeerKey) -> Named {
        let device_name = self.roster.device_name(key);
        Named { peer_key_string: key.to_string(), device_name }
    }

    /// Tells a client who is there and then what changes, until it leaves.
    ///
    /// A client that does not read holds up nobody: it misses changes and is told so.
    pub(super) async fn watch(
        &self,
        incoming: &mut ClientIncoming,
        outgoing: &mut ClientOutgoing,
    ) -> Result<(), Parting> {
        let presence = self.mesh.presence();
        // In this order nobody is missed; who comes in between is told twice.
        let mut changes = presence.changes();
        for answer in self.joined(&presence.graph()) {
            tell(&answer, incoming, outgoing).await?;
        }
        while let Some(change) = unless_closed(incoming, changes.next()).await? {
            for answer in self.answers(change) {
                tell(&answer, incoming, outgoing).await?;
            }
        }
        Err(Failure::node_stopped().into())
    }

    /// What a change is to a client; whoever missed some is told who is there instead.
    fn answers(&self, change: Change) -> Vec<Answer> {
        if let Change::Lagged { missed, graph } = change {
            return std::iter::once(Answer::Lagged { missed }).chain(self.joined(&graph)).collect();
        }
        vec![self.change(change, false)]
    }

    fn joined(&self, graph: &PresenceGraph) -> Vec<Answer> {
        let peers = graph.remote_peers.iter();
        peers.map(|peer| self.change(Change::PeerJoined(peer.clone().into()), true)).collect()
    }

    fn change(&self, change: Change, initial: bool) -> Answer {
        let names = match &change {
            Change::ConnectionUp(connection) | Change::ConnectionDown(connection) => {
                let keys = [&connection.peer_key_string1, &connection.peer_key_string2];
                keys.map(|key| key.parse().map_or_else(|_| String::new(), |key| self.name(&key)))
            }
            _ => Default::default(),
        };
        Answer::Change { change: Box::new(ChangeLine::new(change, initial, names)) }
    }

    /// The device name of any node, this one too.
    fn name(&self, key: &PeerKey) -> String {
        let local = self.mesh.presence().local_peer();
        if local.peer_key == *key {
            local.device_name.clone()
        } else {
            self.roster.device_name(key)
        }
    }
}

/// Sends an answer to a client that takes it when it likes, as long as it is there.
async fn tell(
    answer: &Answer,
    incoming: &mut ClientIncoming,
    outgoing: &mut ClientOutgoing,
) -> Result<(), Parting> {
    let written = unless_closed(incoming, outgoing.write_line(answer)).await?;
    written.map_err(|_| Parting::Gone)
}

#[cfg(test)]
mod tests {
    use hedgerow::{Connection, ConnectionType, Mesh, Peer};

    use super::*;
    use crate::naming::tests::keys;
    use crate::serve::inbox::Inbox;
    use crate::serve::roster::Roster;

    async fn service() -> Service {
        let mesh =
            Mesh::builder().name("me").network("test").own_drivers_only().start().await.unwrap();
        let (inbox, roster) = (Inbox::new(mesh.bus().messages()), Roster::new(mesh.presence()));
        Service { mesh, inbox, roster, started: std::time::Instant::now() }
    }

    #[tokio::test]
    async fn whoever_lagged_is_told_once_and_then_who_is_there() {
        let (service, keys) = (service().await, keys());
        let peers: Vec<_> = keys.iter().map(|key| Peer::new(*key, "x")).collect();
        let graph = PresenceGraph::new(Peer::new(keys[0], "me"), peers.clone());
        let answers = service.answers(Change::Lagged { missed: 7, graph });
        assert_eq!(answers.len(), 1 + peers.len());
        assert_eq!(answers[0], Answer::Lagged { missed: 7 });
        for (answer, peer) in answers[1..].iter().zip(peers) {
            let Answer::Change { change } = answer else { panic!("{answer:?}") };
            assert!(change.initial && change.change == Change::PeerJoined(peer.into()));
        }
    }

    #[tokio::test]
    async fn the_ends_of_a_connection_have_their_names() {
        let (service, keys) = (service().await, keys());
        let own = service.mesh.peer_key();
        let connection = Connection::new(&own, &keys[0], ConnectionType::Bluetooth);
        let answers = service.answers(Change::ConnectionUp(connection.clone()));
        let [Answer::Change { change }] = &answers[..] else { panic!("{answers:?}") };
        let first = connection.peer_key_string1 == own.to_string();
        let names = [change.device_name1.as_deref(), change.device_name2.as_deref()];
        assert_eq!(names, if first { [Some("me"), None] } else { [None, Some("me")] });
        assert!(!change.initial);
    }
}
