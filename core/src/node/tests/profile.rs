//! What a node tells of itself.

use super::*;

/// A host with a second cipher.
struct TwoCiphers;

impl AeadProvider for TwoCiphers {
    fn chacha20_poly1305(&self, key: &[u8; 32]) -> Box<dyn Aead> {
        Portable.chacha20_poly1305(key)
    }

    fn aes_256_gcm(&self, key: &[u8; 32]) -> Option<Box<dyn Aead>> {
        Some(Portable.chacha20_poly1305(key))
    }
}

#[test]
fn the_profile_tells_what_the_host_can_seal_with() {
    let hosts: [(Arc<dyn AeadProvider>, u32); 2] =
        [(Arc::new(Portable), 0b01), (Arc::new(TwoCiphers), 0b11)];
    for (aead, abilities) in hosts {
        let local = Local {
            identity: identity(0),
            network: Network::open("test").unwrap(),
            instance: Instance::from_bytes([1; 8]),
            epoch: 1,
            aead,
            verifier: Arc::new(Strict),
        };
        let node = Node::new(Instant::EPOCH, local, NodeConfig::default(), Box::new(Seeded(1)));
        assert_eq!(node.own.profile().abilities.0, abilities);
    }
}
