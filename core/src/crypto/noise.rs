//! Noise handshakes: XX for links, KK for sessions (Noise specification, revision 34).
//!
//! snow runs the handshake; the two transport keys are then taken and used with [`super::aead`],
//! because sealing needs associated data and explicit nonces.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::{Zeroize, Zeroizing};

use crate::entropy::{self, Entropy};
use crate::identity::Identity;

/// The largest handshake message that is read or written, in bytes: far above what protocol 3
/// and 8 need, far below Noise's 65,535.
pub(crate) const HANDSHAKE_BYTES_MAX: usize = 1_024;

/// Which end of a handshake this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends the first message.
    Initiator,
    /// Answers it.
    Responder,
}

/// The keys that a finished handshake leaves.
pub(crate) struct Keys {
    pub(crate) send: Zeroizing<[u8; 32]>,
    pub(crate) receive: Zeroizing<[u8; 32]>,
    /// The handshake hash: equal at both ends, unique to this handshake.
    pub(crate) hash: [u8; 32],
}

/// A handshake under way.
pub(crate) struct Handshake {
    role: Role,
    state: snow::HandshakeState,
}

/// A handshake message that does not verify: altered, for another peer, version or network, or
/// made with another secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandshakeFailed;

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("role", &self.role).finish_non_exhaustive()
    }
}

/// What both kinds of handshake start from.
pub(crate) struct Start<'a> {
    pub(crate) role: Role,
    pub(crate) identity: &'a Identity,
    /// The pre-shared key of a closed network.
    pub(crate) psk: Option<&'a [u8; 32]>,
    pub(crate) prologue: &'a [u8],
}

impl Handshake {
    /// A link's handshake: `XX`, or `XXpsk0` with a pre-shared key.
    pub(crate) fn link(start: &Start<'_>, entropy: &mut dyn Entropy) -> Self {
        let pattern = match start.psk {
            None => "Noise_XX_25519_ChaChaPoly_BLAKE2s",
            Some(_) => "Noise_XXpsk0_25519_ChaChaPoly_BLAKE2s",
        };
        Self::build(pattern, start, 0, None, entropy)
    }

    /// A session's handshake: `KK`, or `KKpsk2` with a pre-shared key. `remote_static` is the
    /// other peer's X25519 key.
    pub(crate) fn session(
        start: &Start<'_>,
        remote_static: &[u8; 32],
        entropy: &mut dyn Entropy,
    ) -> Self {
        let pattern = match start.psk {
            None => "Noise_KK_25519_ChaChaPoly_BLAKE2s",
            Some(_) => "Noise_KKpsk2_25519_ChaChaPoly_BLAKE2s",
        };
        Self::build(pattern, start, 2, Some(remote_static), entropy)
    }

    fn build(
        pattern: &str,
        start: &Start<'_>,
        psk_location: u8,
        remote_static: Option<&[u8; 32]>,
        entropy: &mut dyn Entropy,
    ) -> Self {
        const WELL_FORMED: &str = "pattern, key lengths and order of building are constants";
        let resolver = Resolver { seed: Zeroizing::new(entropy::array(entropy)) };
        let params = pattern.parse().expect(WELL_FORMED);
        let mut builder = snow::Builder::with_resolver(params, Box::new(resolver))
            .local_private_key(start.identity.noise_secret())
            .and_then(|builder| builder.prologue(start.prologue))
            .expect(WELL_FORMED);
        if let Some(psk) = start.psk {
            builder = builder.psk(psk_location, psk).expect(WELL_FORMED);
        }
        if let Some(remote) = remote_static {
            builder = builder.remote_public_key(remote).expect(WELL_FORMED);
        }
        let state = match start.role {
            Role::Initiator => builder.build_initiator(),
            Role::Responder => builder.build_responder(),
        };
        Self { role: start.role, state: state.expect(WELL_FORMED) }
    }

    /// The next message, with `payload` inside.
    ///
    /// # Panics
    /// When it is the other side's turn or `payload` is larger than [`HANDSHAKE_BYTES_MAX`]
    /// leaves room for: both are errors of this crate.
    pub(crate) fn write(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut message = vec![0; HANDSHAKE_BYTES_MAX];
        let length = self
            .state
            .write_message(payload, &mut message)
            .expect("a handshake is written in turn, with a small payload");
        message.truncate(length);
        message
    }

    /// Reads the other side's message and returns its payload.
    pub(crate) fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, HandshakeFailed> {
        if message.len() > HANDSHAKE_BYTES_MAX {
            return Err(HandshakeFailed);
        }
        let mut payload = vec![0; message.len()];
        let length = self.state.read_message(message, &mut payload).map_err(|_| HandshakeFailed)?;
        payload.truncate(length);
        Ok(payload)
    }

    /// The other side's X25519 key, once it is known.
    pub(crate) fn remote_static(&self) -> Option<[u8; 32]> {
        self.state.get_remote_static()?.try_into().ok()
    }

    /// Takes the keys of a handshake that has sent and read all its messages.
    ///
    /// # Panics
    /// When messages are missing.
    pub(crate) fn finish(mut self) -> Keys {
        assert!(self.state.is_handshake_finished(), "keys are taken after the last message");
        let mut hash = [0; 32];
        hash.copy_from_slice(self.state.get_handshake_hash());
        let (mut first, mut second) = self.state.dangerously_get_raw_split();
        let keys = match self.role {
            Role::Initiator => {
                Keys { send: Zeroizing::new(first), receive: Zeroizing::new(second), hash }
            }
            Role::Responder => {
                Keys { send: Zeroizing::new(second), receive: Zeroizing::new(first), hash }
            }
        };
        first.zeroize();
        second.zeroize();
        keys
    }
}

/// snow's default primitives with the caller's randomness.
struct Resolver {
    seed: Zeroizing<[u8; 32]>,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(Some(self.seed.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// Gives its 32 bytes once: the one ephemeral key that each end of XX and KK makes.
struct Once(Option<Zeroizing<[u8; 32]>>);

impl Random for Once {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        match self.0.take() {
            Some(seed) if seed.len() == dest.len() => {
                dest.copy_from_slice(seed.as_slice());
                Ok(())
            }
            _ => Err(snow::Error::Rng),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::tests::Seeded;

    fn start<'a>(role: Role, identity: &'a Identity, psk: Option<&'a [u8; 32]>) -> Start<'a> {
        Start { role, identity, psk, prologue: b"prologue" }
    }

    fn xx(psk_a: Option<&[u8; 32]>, psk_b: Option<&[u8; 32]>) -> Result<(), HandshakeFailed> {
        let mut entropy = Seeded(1);
        let (a, b) = (Identity::generate(&mut entropy), Identity::generate(&mut entropy));
        let mut left = Handshake::link(&start(Role::Initiator, &a, psk_a), &mut entropy);
        let mut right = Handshake::link(&start(Role::Responder, &b, psk_b), &mut entropy);
        assert_eq!(right.read(&left.write(b""))?, b"");
        assert_eq!(left.read(&right.write(b"two"))?, b"two");
        assert_eq!(right.read(&left.write(b"three"))?, b"three");
        assert_eq!(left.remote_static(), Some(b.peer_key().noise_static()));
        assert_eq!(right.remote_static(), Some(a.peer_key().noise_static()));
        let (left, right) = (left.finish(), right.finish());
        assert_eq!(left.send, right.receive);
        assert_eq!(left.receive, right.send);
        assert_eq!(left.hash, right.hash);
        Ok(())
    }

    #[test]
    fn both_ends_of_a_link_agree() {
        assert_eq!(xx(None, None), Ok(()));
        assert_eq!(xx(Some(&[9; 32]), Some(&[9; 32])), Ok(()));
    }

    #[test]
    fn another_secret_does_not_get_past_the_first_message() {
        assert_eq!(xx(Some(&[9; 32]), Some(&[8; 32])), Err(HandshakeFailed));
    }

    #[test]
    fn a_session_needs_the_right_peer() {
        let mut entropy = Seeded(2);
        let [a, b, c] = [(); 3].map(|()| Identity::generate(&mut entropy));
        let to_b = b.peer_key().noise_static();
        let from_a = a.peer_key().noise_static();
        let mut left = Handshake::session(&start(Role::Initiator, &a, None), &to_b, &mut entropy);
        let mut right =
            Handshake::session(&start(Role::Responder, &b, None), &from_a, &mut entropy);
        let mut other =
            Handshake::session(&start(Role::Responder, &c, None), &from_a, &mut entropy);
        let first = left.write(b"hello");
        assert_eq!(other.read(&first), Err(HandshakeFailed));
        assert_eq!(right.read(&first), Ok(b"hello".to_vec()));
        assert_eq!(left.read(&right.write(b"")), Ok(Vec::new()));
        assert_eq!(left.finish().hash, right.finish().hash);
    }
}
