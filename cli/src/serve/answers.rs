//! Requests that have one answer.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hedgerow::bus::{Acceptor, Lane, Stream, StreamOptions};
use hedgerow::{Link, PeerKey, PresenceGraph};
use tokio::time::timeout;

use super::Service;
use super::send::{Done, Manner};
use crate::control::{
    Answer, Condition, LinkLine, RefusalLine, Request, Status, StrangerLine, TransportLine,
    counters,
};
use crate::failure::{ErrorCode, Failure};
use crate::naming;
use crate::output::{counted, millis};

/// The reason code for a stream from somebody else than `--from` names.
const NOT_FOR_YOU: u32 = 1;

impl Service {
    pub(super) async fn answer(&self, request: Request) -> Result<Answer, Failure> {
        match request {
            Request::Graph => Ok(Answer::Graph { graph: self.mesh.presence().graph() }),
            Request::Links => {
                let graph = self.mesh.presence().graph();
                let links = self.mesh.links().await?;
                let tried = self.mesh.strangers().await?.into_iter().filter(|s| s.tried);
                let links = links.into_iter().map(|link| LinkLine::new(link, &graph));
                Ok(Answer::Links { links: links.chain(tried.map(LinkLine::refused)).collect() })
            }
            Request::Status => Ok(Answer::Status { status: self.status().await? }),
            Request::Send { peer, data, unreliable, lane, timeout } => {
                let (to, bytes) = (self.roster.require(&peer)?, data.len());
                let manner = Manner { unreliable, lane: lane.into(), patience: timeout };
                Ok(match self.send_one(to, data, manner).await? {
                    Done::Delivered { sequence, rtt_ms, hops } => {
                        Answer::Delivered { to: to.to_string(), sequence, rtt_ms, hops, bytes }
                    }
                    Done::Sent { sequence } => Answer::Sent { to: to.to_string(), sequence, bytes },
                })
            }
            Request::Metadata => {
                Ok(Answer::Metadata { metadata: self.mesh.presence().peer_metadata() })
            }
            Request::SetMetadata { metadata } => {
                self.mesh.presence().set_peer_metadata(&metadata)?;
                Ok(Answer::Metadata { metadata: self.mesh.presence().peer_metadata() })
            }
            Request::Ping { peer, timeout } => self.ping(&peer, timeout).await,
            Request::Wait { condition, timeout } => self.wait(condition, timeout).await,
            Request::SendLines { .. }
            | Request::Next { .. }
            | Request::NoMore
            | Request::Listen
            | Request::Taken
            | Request::Trace { .. }
            | Request::Watch
            | Request::Open { .. }
            | Request::Accept { .. } => {
                let message = "the request cannot stand here";
                let hint = "send `listen`, and `taken` only after a message";
                Err(Failure::new(ErrorCode::BadRequest, message, hint))
            }
        }
    }

    async fn status(&self) -> Result<Status, Failure> {
        let mesh = &self.mesh;
        let local = mesh.presence().local_peer();
        let transports = mesh.transports();
        let links = mesh.links().await?;
        Ok(Status {
            pid: std::process::id(),
            peer_key_string: local.peer_key_string.clone(),
            device_name: local.device_name.clone(),
            network: mesh.network_name().to_owned(),
            open: mesh.is_open(),
            listen: mesh.listen_addresses().iter().map(ToString::to_string).collect(),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            transports: transports.iter().map(TransportLine::new).collect(),
            peers: mesh.presence().graph().remote_peers.len(),
            links: links.iter().filter(|link| link.peer_key_string.is_some()).count(),
            strangers: mesh.strangers().await?.into_iter().map(StrangerLine::new).collect(),
            refusals: self.refusals(&links).await?,
            counters: counters(&mesh.counters().await?),
        })
    }

    /// Failures of places whose peer is linked by the same transport all the same are of no matter.
    async fn refusals(&self, links: &[Link]) -> Result<Vec<RefusalLine>, Failure> {
        let graph = self.mesh.presence().graph();
        let address = |key: &str| key.parse::<PeerKey>().ok().map(|key| key.address());
        let mut lines = Vec::new();
        for refusal in self.mesh.refusals().await? {
            let is_linked = links.iter().any(|link| {
                let peer = link.peer_key_string.as_deref().and_then(address);
                link.transport == refusal.transport && peer.is_some() && peer == refusal.address
            });
            if !is_linked {
                let peer = graph.remote_peers.iter().find(|peer| {
                    refusal.address.is_some() && address(&peer.peer_key_string) == refusal.address
                });
                lines.push(RefusalLine::new(refusal, peer.map(|peer| peer.device_name.clone())));
            }
        }
        Ok(lines)
    }

    async fn wait(&self, condition: Condition, patience: Duration) -> Result<Answer, Failure> {
        let started = Instant::now();
        // Someone who has left already, or never came, is gone.
        let leaver = match &condition {
            Condition::Gone { peer } => self.roster.find(peer)?,
            _ => None,
        };
        let mut failure = None;
        let presence = self.mesh.presence();
        let waiting = presence.wait_for(|graph| {
            is_fulfilled(&condition, leaver, graph).unwrap_or_else(|error| {
                failure = Some(error);
                true
            })
        });
        let Ok(graph) = timeout(patience, waiting).await else {
            return Err(unfulfilled(&condition, &presence.graph(), patience));
        };
        let graph = graph?;
        match failure {
            Some(failure) => Err(failure),
            None => Ok(Answer::Fulfilled { peers: count(&graph), ms: millis(started.elapsed()) }),
        }
    }

    /// Opens a stream.
    pub(super) async fn open(
        &self,
        peer: &str,
        topic: &str,
        lane: Lane,
        patience: Duration,
    ) -> Result<Stream, Failure> {
        let key = self.roster.require(peer)?;
        let options = StreamOptions { lane, ..StreamOptions::default() };
        let bus = self.mesh.bus();
        match timeout(patience, bus.open_stream_with(key, topic, options)).await {
            Ok(stream) => Ok(stream?),
            Err(_) => {
                let seconds = patience.as_secs_f64();
                let message = format!("{peer:?} did not open {topic:?} within {seconds} s");
                Err(Failure::timed_out(message))
            }
        }
    }

    /// Waits for a stream; from one peer if that is named.
    pub(super) async fn accept(
        &self,
        mut acceptor: Acceptor,
        from: Option<&str>,
    ) -> Result<Stream, Failure> {
        while let Some(candidate) = acceptor.next().await {
            let wanted = match from {
                // Named anew each time: the peer may have come after the wait began.
                Some(from) => self.roster.find(from)? == Some(candidate.peer()),
                None => true,
            };
            if !wanted {
                candidate.reject(NOT_FOR_YOU).await;
            } else if let Ok(stream) = candidate.accept_with(Bytes::new()).await {
                return Ok(stream);
            }
        }
        Err(Failure::node_stopped())
    }
}

fn count(graph: &PresenceGraph) -> u64 {
    u64::try_from(graph.remote_peers.len()).unwrap_or(u64::MAX)
}

fn is_fulfilled(
    condition: &Condition,
    leaver: Option<PeerKey>,
    graph: &PresenceGraph,
) -> Result<bool, Failure> {
    let there = |key: PeerKey| graph.remote_peers.iter().find(|peer| peer.peer_key == key);
    match condition {
        Condition::Peers { count: wanted } => Ok(count(graph) >= *wanted),
        Condition::Peer { peer, hops } => {
            let names = naming::names(graph.remote_peers.iter());
            let found = naming::find(&names, peer)?.and_then(there);
            // A peer without a route is shown for a while, but cannot be reached.
            let reached = found.and_then(|peer| peer.hops);
            Ok(reached.is_some_and(|reached| hops.is_none_or(|hops| hops == reached)))
        }
        Condition::Gone { .. } => Ok(leaver.and_then(there).is_none()),
    }
}

fn unfulfilled(condition: &Condition, graph: &PresenceGraph, patience: Duration) -> Failure {
    let seconds = patience.as_secs_f64();
    let hops_of = |text: &str| {
        let key = naming::find(&naming::names(graph.remote_peers.iter()), text).ok()??;
        graph.remote_peers.iter().find(|peer| peer.peer_key == key)?.hops
    };
    let message = match condition {
        Condition::Peers { count: wanted } => {
            let count = count(graph);
            format!("{count} of {} can be reached after {seconds} s", counted(*wanted, "peer"))
        }
        Condition::Peer { peer, .. } => match hops_of(peer) {
            Some(hops) => {
                format!("{peer:?} is {} away after {seconds} s", counted(hops, "hop"))
            }
            None => format!("{peer:?} cannot be reached after {seconds} s"),
        },
        Condition::Gone { peer } => format!("{peer:?} is still there after {seconds} s"),
    };
    Failure::timed_out(message)
}
