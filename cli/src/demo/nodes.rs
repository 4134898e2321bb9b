//! The five nodes and the links between them.

use hedgerow::bus::Messages;
use hedgerow::config::Config;
use hedgerow::memory::{Medium, Shape};
use hedgerow::{Mesh, Peer, PeerKey, PresenceGraph};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::story::Failed;
use crate::output::duration;

/// How long a peer that cannot be reached stays in the graph: shorter than the default, since
/// somebody watches.
const GRACE_MS: u64 = 1_000;

/// The five nodes, in one process. A-B-C over TCP on this machine, C-D-E over the medium.
pub(super) struct Nodes {
    pub(super) network: String,
    medium: Medium,
    radio: Shape,
    running: Vec<(String, Mesh)>,
    /// What E's application reads.
    inbox_of_e: Option<tokio::sync::Mutex<Messages>>,
}

impl Nodes {
    pub(super) fn new() -> Self {
        let mut random = [0; 4];
        // A network of the same name elsewhere would do no harm: nobody is told of this one.
        let _ = getrandom::fill(&mut random);
        let network = format!("demo-{:08x}", u32::from_be_bytes(random));
        let medium = Medium::named("Radio");
        let (radio, running) = (Shape::bluetooth(), Vec::new());
        Self { network, medium, radio, running, inbox_of_e: None }
    }

    pub(super) fn radio_json(&self) -> Value {
        json!({
            "rateBytesPerS": self.radio.rate_bytes_per_s,
            "delayMs": crate::output::millis(self.radio.delay),
            "packetBytes": self.radio.mtu_bytes,
        })
    }

    pub(super) fn radio_text(&self) -> String {
        let rate = self.radio.rate_bytes_per_s.unwrap_or(u64::MAX) as f64 / 1e3;
        let packets = self.radio.mtu_bytes.map(|bytes| format!(", packets of {bytes} bytes"));
        format!("{rate} KB/s, {} delay{}", duration(self.radio.delay), packets.unwrap_or_default())
    }

    /// Starts one node, joined to the one before it.
    pub(super) async fn start(&mut self, name: &str) -> Result<(), Failed> {
        let before = self.running.last().map(|(name, mesh)| (name.clone(), mesh.clone()));
        let mut config = Config { device_name: Some(name.into()), ..Config::default() };
        config.network.name.clone_from(&self.network);
        config.presence.unreachable_grace_ms = GRACE_MS;
        config.transports.lan.enabled = matches!(name, "A" | "B" | "C");
        config.transports.lan.mdns_enabled = false;
        config.transports.ble.enabled = false;
        config.transports.lan.listen_ip = [127, 0, 0, 1].into();
        let mut builder = Mesh::builder();
        if let (true, Some((_, before))) = (config.transports.lan.enabled, &before) {
            let addresses = before.listen_addresses().iter().map(ToString::to_string);
            config.connect.tcp_servers = addresses.collect();
        } else if let Some((before, _)) = &before {
            self.medium.connect(before, name, self.radio).map_err(Failed::of)?;
        }
        if matches!(name, "C" | "D" | "E") {
            builder = builder.driver(self.medium.driver(name));
        }
        let mesh = builder.config(config).start().await.map_err(Failed::of)?;
        if name == "E" {
            self.inbox_of_e = Some(mesh.bus().messages().into());
        }
        self.running.push((name.into(), mesh));
        Ok(())
    }

    pub(super) fn mesh(&self, name: &str) -> Result<&Mesh, Failed> {
        let found = self.running.iter().find(|(known, _)| known == name);
        found.map(|(_, mesh)| mesh).ok_or_else(|| Failed::because(format!("{name} is not running")))
    }

    pub(super) fn key(&self, name: &str) -> Result<PeerKey, Failed> {
        Ok(self.mesh(name)?.peer_key())
    }

    /// The next message in E's inbox.
    pub(super) async fn next_at_e(&self) -> Result<hedgerow::bus::Message, Failed> {
        let inbox = self.inbox_of_e.as_ref();
        let inbox = inbox.ok_or_else(|| Failed::because("E is not running"))?;
        let message = inbox.lock().await.next().await;
        message.ok_or_else(|| Failed::because("E has shut down"))
    }

    /// A's graph once `name` is in it with its name and a route.
    pub(super) async fn wait_until_seen(&self, name: &str) -> Result<PresenceGraph, Failed> {
        let key = self.key(name)?;
        let is_there =
            |peer: &Peer| peer.peer_key == key && peer.hops.is_some() && peer.device_name == name;
        let presence = self.mesh("A")?.presence();
        let seen = presence.wait_for(|graph| {
            is_there(&graph.local_peer) || graph.remote_peers.iter().any(is_there)
        });
        seen.await.map_err(Failed::of)
    }

    /// A's graph once so many peers are in it, A among them, each with a name and a route.
    pub(super) async fn wait_for_peers(&self, count: usize) -> Result<PresenceGraph, Failed> {
        let is_known = |peer: &Peer| peer.hops.is_some() && !peer.device_name.is_empty();
        let presence = self.mesh("A")?.presence();
        let seen = presence.wait_for(|graph| {
            graph.remote_peers.len() + 1 == count && graph.remote_peers.iter().all(is_known)
        });
        seen.await.map_err(Failed::of)
    }

    /// The path from A to E, as each node on it would pass a frame on.
    pub(super) fn path_to_e(&self) -> Result<Vec<String>, Failed> {
        let target = self.key("E")?;
        let mut path = vec!["A".to_owned()];
        while let Some(at) = path.last().filter(|at| *at != "E") {
            let graph = self.mesh(at)?.presence().graph();
            let peer = graph.remote_peers.iter().find(|peer| peer.peer_key == target);
            let next = peer.and_then(|peer| peer.route.as_ref()).map(|route| route.next_hop);
            let name = self.running.iter().find(|(_, mesh)| Some(mesh.peer_key()) == next);
            match name {
                Some((name, _)) if !path.contains(name) => path.push(name.clone()),
                _ => return Err(Failed::because(format!("{at} has no route to E"))),
            }
        }
        Ok(path)
    }

    pub(super) fn cut(&self) -> Result<(), Failed> {
        self.medium.disconnect("C", "D").map_err(Failed::of)
    }

    pub(super) fn mend(&self) -> Result<(), Failed> {
        self.medium.mend("C", "D").map_err(Failed::of)
    }

    /// Ends all nodes, at the same time.
    pub(super) async fn shut_down(&mut self) -> Result<(), Failed> {
        self.inbox_of_e = None;
        let mut ending = JoinSet::new();
        for (_, mesh) in self.running.drain(..) {
            ending.spawn(async move { mesh.shutdown().await });
        }
        ending.join_all().await;
        Ok(())
    }
}
