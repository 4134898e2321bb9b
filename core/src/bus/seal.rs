//! The seal of session packets (protocol 8.3).

use core::fmt;

use zeroize::Zeroizing;

use super::config::Local;
use crate::crypto::aead::{SealBroken, Tag};
use crate::crypto::cipher::{Cipher, Keyed};
use crate::crypto::hash::{Domain, digest};
use crate::crypto::noise;
use crate::id::Address;
use crate::io::Lane;
use crate::limits::{KEY_PACKETS_MAX, VERSION_HIGHEST};
use crate::time::Instant;

/// The keys of one handshake, and the numbers that name them.
pub(super) struct Keys {
    send: Direction,
    receive: Direction,
    pub(super) local_index: u32,
    pub(super) remote_index: u32,
    pub(super) phase: bool,
    pub(super) made: Instant,
    pub(super) sealed: u64,
    pub(super) local: Address,
    pub(super) remote: Address,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("local_index", &self.local_index)
            .field("cipher", &self.cipher())
            .finish_non_exhaustive()
    }
}

struct Direction {
    key: Keyed,
    associated: Associated,
}

/// Both ends' numbers of a handshake's keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Indices {
    pub(super) local: u32,
    pub(super) remote: u32,
}

/// What a packet's seal covers beside its payload. Only the last nine bytes change.
struct Associated([u8; 30]);

impl Associated {
    fn new(source: Address, destination: Address, session: u32) -> Self {
        let mut bytes = [0; 30];
        bytes[0] = VERSION_HIGHEST;
        bytes[1..9].copy_from_slice(source.as_bytes());
        bytes[9..17].copy_from_slice(destination.as_bytes());
        bytes[17..21].copy_from_slice(&session.to_be_bytes());
        Self(bytes)
    }

    fn of(&self, number: u64, lane: Lane) -> [u8; 30] {
        let mut bytes = self.0;
        bytes[21..29].copy_from_slice(&number.to_be_bytes());
        bytes[29] = lane.bits();
        bytes
    }
}

/// Lanes count packets each for itself, so the lane makes the nonce unique.
fn nonce(number: u64, lane: Lane) -> u64 {
    (u64::from(lane.bits()) << 62) | number
}

impl Keys {
    pub(super) fn new(
        local: &Local,
        remote: Address,
        cipher: Cipher,
        keys: &noise::Keys,
        indices: Indices,
        now: Instant,
    ) -> Self {
        // The label keeps a key of one cipher from ever being used with the other.
        let direction = |key: &[u8; 32], associated| {
            let key = Zeroizing::new(digest(Domain::SessionKey, &[&[cipher.code()], key]));
            Direction { key: Keyed::new(local.aead.as_ref(), cipher, &key), associated }
        };
        let own = local.address();
        Self {
            send: direction(&keys.send, Associated::new(own, remote, indices.remote)),
            receive: direction(&keys.receive, Associated::new(remote, own, indices.local)),
            local_index: indices.local,
            remote_index: indices.remote,
            phase: false,
            made: now,
            sealed: 0,
            local: own,
            remote,
        }
    }

    pub(super) const fn cipher(&self) -> Cipher {
        self.send.key.cipher()
    }

    /// Whether these keys have sealed all they may.
    pub(super) const fn is_spent(&self) -> bool {
        self.sealed >= KEY_PACKETS_MAX
    }

    pub(super) fn seal(&mut self, number: u64, lane: Lane, data: &mut [u8]) -> Tag {
        self.sealed += 1;
        let Direction { key, associated } = &self.send;
        key.seal(nonce(number, lane), &associated.of(number, lane), data)
    }

    pub(super) fn open(
        &self,
        number: u64,
        lane: Lane,
        data: &mut [u8],
        tag: &Tag,
    ) -> Result<(), SealBroken> {
        let Direction { key, associated } = &self.receive;
        key.open(nonce(number, lane), &associated.of(number, lane), data, tag)
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::sync::Arc;

    use super::*;
    use crate::crypto::aead::{Aead, AeadProvider, Portable};
    use crate::crypto::verifier::Strict;
    use crate::entropy::tests::Seeded;
    use crate::id::Instance;
    use crate::identity::Identity;
    use crate::network::Network;

    /// Both ciphers are one: only keys and nonces tell them apart.
    struct Same;

    impl AeadProvider for Same {
        fn chacha20_poly1305(&self, key: &[u8; 32]) -> Box<dyn Aead> {
            Portable.chacha20_poly1305(key)
        }

        fn aes_256_gcm(&self, key: &[u8; 32]) -> Option<Box<dyn Aead>> {
            Some(Portable.chacha20_poly1305(key))
        }
    }

    #[test]
    fn the_label_of_a_key_names_its_cipher() {
        let local = Local {
            identity: Identity::generate(&mut Seeded(1)),
            network: Network::open("test").unwrap(),
            instance: Instance::from_bytes([1; 8]),
            epoch: 1,
            aead: Arc::new(Same),
            verifier: Arc::new(Strict),
        };
        let remote = Address::from_bytes([2; 8]);
        let noise = noise::Keys {
            send: Zeroizing::new([3; 32]),
            receive: Zeroizing::new([4; 32]),
            hash: [5; 32],
        };
        let indices = Indices { local: 6, remote: 7 };
        for (cipher, code, nonce) in [
            (Cipher::ChaCha20Poly1305, 1, *b"\0\0\0\0\x09\0\0\0\0\0\0\x80"),
            (Cipher::Aes256Gcm, 2, *b"\0\0\0\0\x80\0\0\0\0\0\0\x09"),
        ] {
            let mut keys = Keys::new(&local, remote, cipher, &noise, indices, Instant::EPOCH);
            let mut sealed = *b"text";
            let tag = keys.seal(9, Lane::Normal, &mut sealed);
            let key = digest(Domain::SessionKey, &[&[code], &[3; 32]]);
            let mut expected = *b"text";
            let own = local.address();
            let associated: [&[u8]; 4] =
                [&[1], own.as_bytes(), &[2; 8], b"\0\0\0\x07\0\0\0\0\0\0\0\x09\x02"];
            let associated = associated.concat();
            let aead = Portable.chacha20_poly1305(&key);
            assert_eq!(aead.seal(&nonce, &associated, &mut expected), tag);
            assert_eq!(expected, sealed);
        }
    }
}
