//! Whole nodes with the ciphers of this machine, and with less.

#![cfg(feature = "accelerated")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hedgerow::Mesh;
use hedgerow::cipher::{Accelerated, Aead, AeadProvider, Nonce, Portable, SealBroken, Tag};
use hedgerow::memory::{Medium, Shape};

const SOON: Duration = Duration::from_secs(30);

/// Counts what the provider inside seals and opens with AES.
#[derive(Clone)]
struct Counting {
    inside: Arc<dyn AeadProvider>,
    aes: Arc<AtomicUsize>,
}

struct CountingAead(Box<dyn Aead>, Arc<AtomicUsize>);

impl Counting {
    fn new(inside: impl AeadProvider + 'static) -> Self {
        Self { inside: Arc::new(inside), aes: Arc::default() }
    }

    fn aes(&self) -> usize {
        self.aes.load(Ordering::Relaxed)
    }
}

impl AeadProvider for Counting {
    fn chacha20_poly1305(&self, key: &[u8; 32]) -> Box<dyn Aead> {
        self.inside.chacha20_poly1305(key)
    }

    fn aes_256_gcm(&self, key: &[u8; 32]) -> Option<Box<dyn Aead>> {
        let aead = self.inside.aes_256_gcm(key)?;
        Some(Box::new(CountingAead(aead, self.aes.clone())))
    }
}

impl Aead for CountingAead {
    fn seal(&self, nonce: &Nonce, associated: &[u8], data: &mut [u8]) -> Tag {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.seal(nonce, associated, data)
    }

    fn open(
        &self,
        nonce: &Nonce,
        associated: &[u8],
        data: &mut [u8],
        tag: &Tag,
    ) -> Result<(), SealBroken> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.open(nonce, associated, data, tag)
    }
}

async fn node(medium: &Medium, name: &str, ciphers: Option<&Counting>) -> Mesh {
    let builder =
        Mesh::builder().name(name).network("test").own_drivers_only().driver(medium.driver(name));
    let builder = match ciphers {
        Some(ciphers) => builder.ciphers(ciphers.clone()),
        None => builder,
    };
    builder.start().await.unwrap()
}

/// Messages of all sizes go both ways between two nodes.
async fn exchange(ciphers: [Option<&Counting>; 2]) {
    let medium = Medium::new();
    medium.connect("a", "b", Shape::lan()).unwrap();
    let nodes = [node(&medium, "a", ciphers[0]).await, node(&medium, "b", ciphers[1]).await];
    for (from, to) in [(&nodes[0], &nodes[1]), (&nodes[1], &nodes[0])] {
        let presence = from.presence();
        let found = presence.wait_for(|graph| graph.remote_peers.len() == 1);
        tokio::time::timeout(SOON, found).await.unwrap().unwrap();
        let mut messages = to.bus().messages();
        for length in [0, 1, 64, 1_024, 200_000] {
            let data: Vec<u8> = (0..length).map(|at: u32| at as u8).collect();
            from.bus().send_reliable(to.peer_key(), data.clone()).await.unwrap();
            assert_eq!(messages.next().await.unwrap().data[..], data[..]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_is_sealed_with_aes_where_both_processors_have_it() {
    let detected = Accelerated::detect();
    let ciphers = [Counting::new(detected), Counting::new(detected)];
    exchange([Some(&ciphers[0]), Some(&ciphers[1])]).await;
    for end in &ciphers {
        assert_eq!(end.aes() > 10, detected.has_aes(), "{} seals and openings", end.aes());
    }
}

#[tokio::test(start_paused = true)]
async fn the_default_of_a_node_is_what_this_machine_has() {
    let detected = Accelerated::detect();
    let counting = Counting::new(detected);
    exchange([Some(&counting), None]).await;
    assert_eq!(counting.aes() > 10, detected.has_aes());
}

#[tokio::test(start_paused = true)]
async fn a_node_with_less_is_understood_by_one_with_more_and_the_other_way_round() {
    for less_first in [true, false] {
        let (more, less) = (Counting::new(Accelerated::detect()), Counting::new(Portable));
        let ends = [Some(&less), Some(&more)];
        exchange(if less_first { ends } else { [ends[1], ends[0]] }).await;
        assert_eq!((more.aes(), less.aes()), (0, 0));
    }
}
