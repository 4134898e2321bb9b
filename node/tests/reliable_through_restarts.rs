//! A and C know each other only through B, a process that is killed and started again under a
//! stream of reliable messages: each arrives exactly once, in order, and none fails.
//!
//! Real TCP over the loopback; B dials both, so nothing but B carries anything between them.

#![cfg(all(unix, feature = "lan"))]

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::task::Poll;
use std::time::{Duration, Instant};

use hedgerow::bus::{Delivered, SendError};
use hedgerow::prelude::*;
use tokio::sync::watch;

const MESSAGES: u32 = 10_000;
const MESSAGE_BYTES: usize = 1_024;
const RESTARTS: u32 = 10;
/// Messages on their way or waiting at once.
const WINDOW: usize = 200;
const OUTAGE_MS_MIN: u64 = 200;
const OUTAGE_MS_MAX: u64 = 3_000;
/// The outages' lengths follow from it.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const RELAYS: &str = "HEDGEROW_TEST_RELAYS";
const HOME: &str = "HEDGEROW_TEST_HOME";

fn config() -> Config {
    let mut config = Config::default();
    config.transports.lan.mdns_enabled = false;
    config.transports.ble.enabled = false;
    config.transports.lan.listen_ip = std::net::Ipv4Addr::LOCALHOST.into();
    config
}

async fn node(name: &str) -> Mesh {
    Mesh::builder().config(config()).name(name).network("restarts").start().await.unwrap()
}

/// B's process; killed without a goodbye when it is dropped.
struct Relay(Child);

impl Relay {
    fn start(ends: [&Mesh; 2], home: &std::path::Path) -> Self {
        let ends = ends.map(|mesh| mesh.listen_addresses()[0].to_string());
        let relay = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "role", "--nocapture"])
            .env(RELAYS, ends.join(","))
            .env(HOME, home)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(relay)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Not a test of its own: what B's process runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn role() {
    let Ok(ends) = std::env::var(RELAYS) else { return };
    let mut config = config();
    config.connect.tcp_servers = ends.split(',').map(str::to_owned).collect();
    let home = Home::open(Some(std::env::var(HOME).unwrap().as_ref())).unwrap();
    let mesh = Mesh::builder().config(config).name("b").network("restarts").home(home);
    let _mesh = mesh.start().await.unwrap();
    // The parent is gone when its end of the pipe is.
    let gone =
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    gone.await.unwrap().unwrap();
}

fn message(number: u32) -> Vec<u8> {
    let mut message = vec![number.to_le_bytes()[0]; MESSAGE_BYTES];
    message[..4].copy_from_slice(&number.to_be_bytes());
    message
}

type Sending = Pin<Box<dyn Future<Output = Result<Delivered, SendError>> + Send>>;

/// Sends all messages, `WINDOW` of them at a time, and says how many needed another way than
/// the first.
async fn send(mesh: Mesh, to: PeerKey) {
    let bus = mesh.bus();
    let mut under_way: VecDeque<Sending> = VecDeque::new();
    let mut delivered = 0;
    for number in 0..MESSAGES {
        if under_way.len() == WINDOW {
            confirm(under_way.pop_front(), &mut delivered).await;
        }
        let bus = bus.clone();
        let mut sending: Sending =
            Box::pin(async move { bus.send_reliable(to, message(number)).await });
        // The first poll gives the message its place in the order.
        match std::future::poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await {
            Poll::Pending => under_way.push_back(sending),
            // On a busy machine it may be there before this task goes on.
            Poll::Ready(outcome) => under_way.push_back(Box::pin(std::future::ready(outcome))),
        }
    }
    while !under_way.is_empty() {
        confirm(under_way.pop_front(), &mut delivered).await;
    }
}

async fn confirm(sending: Option<Sending>, delivered: &mut u64) {
    let outcome = sending.unwrap().await.unwrap_or_else(|error| panic!("{delivered}: {error}"));
    *delivered += 1;
    assert_eq!(outcome.sequence, *delivered);
}

/// Takes all messages, in order, and returns the longest wait between two.
async fn receive(mesh: Mesh, progress: watch::Sender<u32>) -> Duration {
    let mut messages = mesh.bus().messages();
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    for number in 0..MESSAGES {
        let received = messages.next().await.unwrap();
        assert!(received.data[..] == message(number), "message {number}: {received:?}");
        longest = longest.max(last.elapsed());
        last = Instant::now();
        progress.send_replace(number + 1);
    }
    longest
}

/// Marsaglia's xorshift64.
fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_messages_arrive_once_and_in_order_while_the_relay_is_killed_ten_times() {
    let home = tempfile::tempdir().unwrap();
    let (a, c) = (node("a").await, node("c").await);
    let mut relay = Some(Relay::start([&a, &c], home.path()));
    let to = c.peer_key();
    let presence = a.presence();
    let found = presence.wait_for(|graph| graph.remote_peers.iter().any(|p| p.peer_key == to));
    tokio::time::timeout(Duration::from_secs(30), found).await.unwrap().unwrap();

    let begin = Instant::now();
    let (progress, mut received) = watch::channel(0);
    let receiving = tokio::spawn(receive(c.clone(), progress));
    let mut sending = tokio::spawn(send(a.clone(), to));
    let mut random = SEED;
    let (mut outages, mut is_sent) = (Vec::new(), false);
    for restart in 0..RESTARTS {
        let mark = MESSAGES / (RESTARTS + 1) * (restart + 1);
        while *received.borrow() < mark {
            tokio::select! {
                changed = received.changed() => changed.unwrap(),
                sent = &mut sending, if !is_sent => {
                    sent.unwrap();
                    is_sent = true;
                }
            }
        }
        drop(relay.take());
        let outage = OUTAGE_MS_MIN + next_random(&mut random) % (OUTAGE_MS_MAX - OUTAGE_MS_MIN);
        tokio::time::sleep(Duration::from_millis(outage)).await;
        relay = Some(Relay::start([&a, &c], home.path()));
        outages.push(outage);
    }
    if !is_sent {
        sending.await.unwrap();
    }
    let longest = receiving.await.unwrap();
    let wall = begin.elapsed();
    let bus = a.counters().await.unwrap().bus;
    assert_eq!(bus.messages_delivered, u64::from(MESSAGES));
    println!(
        "{MESSAGES} messages of {MESSAGE_BYTES} bytes in {wall:.1?}, relay killed {RESTARTS} times; \
         outages of {outages:?} ms, {} ms in all; longest wait between two messages {longest:.1?}; \
         packets sent {}, sent again {}, probes {}",
        outages.iter().sum::<u64>(),
        bus.packets_sent,
        bus.packets_lost,
        bus.probes,
    );
}
