//! Which cipher two ends agree on, and that nobody between them has a say.

use alloc::boxed::Box;

use super::*;
use crate::crypto::aead::{Aead, AeadProvider, Nonce, SealBroken};
use crate::crypto::cipher::Cipher;
use crate::limits::{KEY_PACKETS_MAX, REKEY_PACKETS};

/// A host with a second cipher: a toy that the portable one does not understand.
struct Toy;

struct Mirrored(Box<dyn Aead>);

fn mirrored(nonce: &Nonce) -> Nonce {
    let mut nonce = *nonce;
    nonce.reverse();
    nonce
}

impl Aead for Mirrored {
    fn seal(&self, nonce: &Nonce, associated: &[u8], data: &mut [u8]) -> Tag {
        self.0.seal(&mirrored(nonce), associated, data)
    }

    fn open(
        &self,
        nonce: &Nonce,
        associated: &[u8],
        data: &mut [u8],
        tag: &Tag,
    ) -> Result<(), SealBroken> {
        self.0.open(&mirrored(nonce), associated, data, tag)
    }
}

impl AeadProvider for Toy {
    fn chacha20_poly1305(&self, key: &[u8; 32]) -> Box<dyn Aead> {
        Portable.chacha20_poly1305(key)
    }

    fn aes_256_gcm(&self, key: &[u8; 32]) -> Option<Box<dyn Aead>> {
        Some(Box::new(Mirrored(Portable.chacha20_poly1305(key))))
    }
}

fn pair(seed: u64, aes: [bool; 2]) -> Pair {
    let mut pair = Pair::new(seed);
    pair.ends = [0, 1].map(|end| {
        let mut local = local(&pair.identities[end], end as u8);
        if aes[end] {
            local.aead = Arc::new(Toy);
        }
        Bus::new(local, pair.config.clone())
    });
    pair.set_paths(Some(path(0, 1_280)));
    pair
}

/// The ciphers of the sessions that came up, by end.
fn ciphers(pair: &Pair) -> [Vec<Cipher>; 2] {
    [0, 1].map(|end| {
        let ups = pair.events[end].iter().filter_map(|event| match event {
            BusEvent::SessionUp { cipher, .. } => Some(*cipher),
            _ => None,
        });
        ups.collect()
    })
}

fn exchange(pair: &mut Pair) {
    for from in 0..2 {
        let id = pair.send(from, "text");
        assert!(pair.run_until(20 * SECOND, |pair| is_delivered(pair.outcome(from, id))));
    }
}

#[test]
fn aes_is_taken_when_both_have_it_whoever_calls() {
    for (seed, aes) in
        [[true, true], [true, false], [false, true], [false, false]].into_iter().enumerate()
    {
        for caller in 0..2 {
            let mut pair = pair(seed as u64, aes);
            let id = pair.send(caller, "first");
            assert!(pair.run_until(SECOND, |pair| is_delivered(pair.outcome(caller, id))));
            exchange(&mut pair);
            let expected = match aes {
                [true, true] => Cipher::Aes256Gcm,
                _ => Cipher::ChaCha20Poly1305,
            };
            assert_eq!(ciphers(&pair), [[expected], [expected]], "{aes:?}, end {caller} calls");
        }
    }
}

/// The set of ciphers is the last byte of both messages' payloads, and what encrypts it is a
/// stream cipher: without a tag, flipping a bit on the way would flip it inside.
#[test]
fn a_bit_of_the_set_stripped_or_forged_on_the_way_makes_no_session() {
    for aes in [[true, true], [false, true], [true, false]] {
        for (altered, bit) in [(0, 0b10), (1, 0b10), (0, 0b01), (1, 0b01)] {
            let mut pair = pair(9, aes);
            pair.send(0, "text");
            let mut unaltered = None;
            for at in 0..2 {
                pair.collect();
                pair.transmit();
                let ((time, _), (to, mut frame)) = pair.flight.pop_first().unwrap();
                assert_eq!((to, frame.header.kind), (1 - at, DataKind::Handshake));
                pair.now = time;
                if at == altered {
                    unaltered = Some(frame.clone());
                    *frame.payload.last_mut().unwrap() ^= bit;
                    pair.deliver(to, frame);
                    break;
                }
                pair.deliver(to, frame);
            }
            assert_eq!(pair.ends[1 - altered].counters().handshakes_refused, 1);
            pair.collect();
            assert_eq!(ciphers(&pair), [[], []]);
            // It was no more than a loss: the true message still does it.
            pair.deliver(1 - altered, unaltered.unwrap());
            exchange(&mut pair);
            let expected =
                if aes == [true, true] { Cipher::Aes256Gcm } else { Cipher::ChaCha20Poly1305 };
            assert_eq!(ciphers(&pair), [[expected], [expected]]);
        }
    }
}

pub(super) fn keys(pair: &mut Pair, end: usize) -> &mut super::seal::Keys {
    let peer = pair.keys[1 - end];
    let session = pair.ends[end].peers.get_mut(&peer).unwrap().session.as_mut().unwrap();
    session.keys.as_mut().unwrap()
}

#[test]
fn new_keys_after_many_packets_are_for_the_same_cipher() {
    for (aes, expected) in [(true, Cipher::Aes256Gcm), (false, Cipher::ChaCha20Poly1305)] {
        let mut pair = pair(3, [true, aes]);
        exchange(&mut pair);
        pair.run(3 * SECOND);
        let before = keys(&mut pair, 0).local_index;
        keys(&mut pair, 0).sealed = REKEY_PACKETS - 2;
        exchange(&mut pair);
        exchange(&mut pair);
        pair.run(SECOND);
        assert_ne!(keys(&mut pair, 0).local_index, before);
        for end in 0..2 {
            assert_eq!(pair.ends[end].counters().rekeys, 1);
            assert_eq!(keys(&mut pair, end).cipher(), expected);
            assert!(keys(&mut pair, end).sealed < 20, "counted anew");
        }
        assert_eq!(ciphers(&pair), [[expected], [expected]], "one session throughout");
    }
}

#[test]
fn nothing_is_sealed_under_a_spent_key_and_new_ones_free_the_way() {
    let mut pair = pair(4, [true, true]);
    exchange(&mut pair);
    pair.run(3 * SECOND);
    let spent = keys(&mut pair, 0).remote_index;
    keys(&mut pair, 0).sealed = KEY_PACKETS_MAX;
    pair.recorded = Some(Vec::new());
    pair.pipes[1].lost_percent = 100;
    let id = pair.send(0, "text");
    pair.run(10 * SECOND);
    let recorded = pair.recorded.take().unwrap();
    assert!(recorded.len() > 3, "handshakes are tried");
    assert!(recorded.iter().all(|(_, frame)| frame.header.kind == DataKind::Handshake));
    pair.pipes[1].lost_percent = 0;
    assert!(pair.run_until(10 * SECOND, |pair| is_delivered(pair.outcome(0, id))));
    assert_ne!(keys(&mut pair, 0).remote_index, spent);
}
