//! A victim, an honest neighbour, and the messages between them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use hedgerow::Identity;
use hedgerow::notice::{Notice, Notices, Trouble};
use hedgerow::prelude::*;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) const NETWORK: &str = "hostile";
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Nothing that others suffer may hold up honest peers for longer.
const HELD_UP_MAX: Duration = Duration::from_secs(1);

/// Randomness for identities.
pub(crate) struct Random;

impl hedgerow::Entropy for Random {
    fn fill(&mut self, bytes: &mut [u8]) {
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), bytes)
            .unwrap();
    }
}

pub(crate) fn identity() -> Identity {
    Identity::generate(&mut Random)
}

/// A node on the loopback that listens and dials `servers`.
pub(crate) fn config(servers: &[SocketAddr]) -> Config {
    let mut config = Config::default();
    config.transports.lan.mdns_enabled = false;
    config.transports.ble.enabled = false;
    config.transports.lan.listen_ip = Ipv4Addr::LOCALHOST.into();
    config.connect.tcp_servers = servers.iter().map(ToString::to_string).collect();
    config
}

pub(crate) async fn node(name: &str, servers: &[SocketAddr]) -> Mesh {
    let builder = Mesh::builder().config(config(servers)).name(name).network(NETWORK);
    builder.start().await.unwrap()
}

pub(crate) async fn wait_for(
    mesh: &Mesh,
    condition: impl FnMut(&PresenceGraph) -> bool,
) -> PresenceGraph {
    tokio::time::timeout(SOON, mesh.presence().wait_for(condition)).await.unwrap().unwrap()
}

/// The victim under attack, and an honest neighbour that sends it numbered messages.
pub(crate) struct Scene {
    pub(crate) victim: Mesh,
    pub(crate) honest: Mesh,
    notices: Notices,
    sending: JoinHandle<()>,
    receiving: JoinHandle<Duration>,
    received: watch::Receiver<u32>,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let victim = node("victim", &[]).await;
        let notices = victim.notices();
        let honest = node("honest", victim.listen_addresses()).await;
        let to = victim.peer_key();
        wait_for(&honest, |graph| graph.remote_peers.iter().any(|p| p.peer_key == to)).await;
        let sending = tokio::spawn(send(honest.clone(), to));
        let (progress, received) = watch::channel(0);
        let receiving = tokio::spawn(receive(victim.clone(), progress));
        Self { victim, honest, notices, sending, receiving, received }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.victim.listen_addresses()[0]
    }

    /// Waits until the victim tells of a trouble; other ones are passed over.
    pub(crate) async fn notice(&mut self, is_it: impl Fn(&Trouble) -> bool) -> Notice {
        notice(&mut self.notices, is_it).await
    }

    /// Ends the honest exchange, in which nothing was lost, doubled, reordered or held up.
    pub(crate) async fn finish(mut self) {
        let more = *self.received.borrow() + 20;
        let further = self.received.wait_for(|received| *received >= more);
        tokio::time::timeout(SOON, further).await.expect("honest messages go on").unwrap();
        self.sending.abort();
        self.honest.shutdown().await;
        self.victim.shutdown().await;
        let longest = self.receiving.await.unwrap();
        assert!(longest < HELD_UP_MAX, "{longest:?}");
        let received = *self.received.borrow();
        println!("  meanwhile {received} honest messages, longest wait {longest:.0?}");
    }
}

/// Waits until a node tells of a trouble; other ones are passed over.
pub(crate) async fn notice(notices: &mut Notices, is_it: impl Fn(&Trouble) -> bool) -> Notice {
    let told = async {
        loop {
            let notice = notices.next().await.unwrap();
            if is_it(&notice.trouble) {
                return notice;
            }
        }
    };
    let told = tokio::time::timeout(SOON, told).await.expect("no notice in time");
    println!("  {told}");
    told
}

async fn send(mesh: Mesh, to: PeerKey) {
    for number in 0_u32.. {
        let sent = mesh.bus().send_reliable(to, number.to_be_bytes().to_vec()).await;
        sent.unwrap_or_else(|error| panic!("message {number}: {error}"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Takes messages, in order, until the node ends; the longest wait between two.
async fn receive(mesh: Mesh, progress: watch::Sender<u32>) -> Duration {
    let mut messages = mesh.bus().messages();
    let (mut next, mut last, mut longest) = (0_u32, None::<Instant>, Duration::ZERO);
    while let Some(message) = messages.next().await {
        assert_eq!(message.data[..], next.to_be_bytes());
        next += 1;
        progress.send_replace(next);
        longest = longest.max(last.map_or(Duration::ZERO, |last| last.elapsed()));
        last = Some(Instant::now());
    }
    longest
}
