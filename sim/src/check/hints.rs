//! What drivers tell is known to those of their medium at neighbours, and to nobody else.

use hedgerow_core::time::Duration;

use super::{Breach, Checker, View, breach};

/// A hint that is newer may be on its way: links that lose much repeat it for seconds.
const ON_ITS_WAY: Duration = Duration::from_secs(16);

/// At the end, every driver knows the newest hint of each neighbour.
#[derive(Debug, Default)]
pub struct Hints {
    compared: u64,
}

impl Checker for Hints {
    fn name(&self) -> &'static str {
        "hints"
    }

    fn on_end(&mut self, view: &View<'_>) -> Result<(), Breach> {
        for (node, host) in view.world.hosts().iter().enumerate() {
            let neighbours: Vec<_> = host.links_up().map(|(_, peer)| peer).collect();
            if let Some(stranger) = host.hints().tellers().find(|from| !neighbours.contains(from)) {
                return breach!("node {node} has a hint of {stranger:?}, who is no neighbour");
            }
            for peer in neighbours {
                let Some(other) = view.world.owner(&peer) else { continue };
                let told = view.world.host(other);
                let is_old = view.now().since(told.hints().told_at()) > ON_ITS_WAY;
                let is_mutual = told.links_up().any(|(_, key)| key == host.key());
                if told.key() != peer || !is_old || !is_mutual {
                    continue;
                }
                for medium in (0..=u8::MAX).take(view.world.plan().media.len()) {
                    let (own, heard) = (told.hints().own(medium), view.hint(node, medium, peer));
                    self.compared += 1;
                    if own != heard {
                        return breach!(
                            "node {node} has {heard:?} of node {other} on medium {medium}, not {own:?}"
                        );
                    }
                }
            }
        }
        Ok(())
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![("hints compared", self.compared)]
    }
}
