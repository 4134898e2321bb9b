//! No node takes more memory than its tables may, and one that has nothing to do takes no more.

use hedgerow_core::time::Duration;

use super::{Breach, Checker, Phase, View, breach};
use crate::host::State;

/// What a node takes before it knows anybody, in bytes.
const ALONE_BYTES: i64 = 64 * 1_024;
/// What each peer of the world may add at rest, in bytes: adverts, routes, a session with keys, its
/// windows of packet numbers and its streams' names.
const PEER_BYTES: i64 = 32 * 1_024;
/// What each link may add, in bytes: keys, a frame that is being read, a chunk that is being filled.
const LINK_BYTES: i64 = 160 * 1_024;
/// What waits for others in the storm, in bytes: the traffic of a world adds up to less.
const WAITING_BYTES: i64 = 8 * 1_024 * 1_024;
/// How much more a node may take at the end of its rest than after a while of it, in bytes: less
/// than any advert, message or frame.
const GROWTH_BYTES: i64 = 64;
/// How much larger the buffer of an idle link may become, whose last chunk is still on its way when
/// the next one is made, in bytes.
const BUFFER_GROWTH_BYTES: i64 = 64;
/// Keepalives and acknowledgements of the last words have filled all buffers by then.
const SETTLED_AFTER: Duration = Duration::from_secs(20);
/// After news, until they have reached everybody and nobody holds them for others any more.
const NEWS_OVER_AFTER: Duration = Duration::from_secs(5);

/// What each node takes.
#[derive(Debug, Default)]
pub struct Memory {
    looked_at: u64,
    /// Bytes and links of each node once it had settled.
    settled: Option<Vec<(i64, usize)>>,
    /// Frames but keepalives that all have sent, and since when: news, as of a link in doubt,
    /// unsettle them.
    news: (u64, Duration),
    most: i64,
    growth: i64,
}

impl Checker for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn on_moment(&mut self, view: &View<'_>) -> Result<(), Breach> {
        // Ten times a second.
        let moment = view.now().as_micros() / 100_000;
        if core::mem::replace(&mut self.looked_at, moment) == moment {
            return Ok(());
        }
        let hosts = view.world.hosts();
        let at_rest = view.phase == Phase::Idle;
        for (node, host) in hosts.iter().enumerate() {
            let bytes = host.memory();
            self.most = self.most.max(bytes);
            if host.state() == State::Off {
                continue;
            }
            let (peers, links) = (hosts.len() as i64, host.links().count() as i64);
            let waiting = if at_rest { 0 } else { WAITING_BYTES };
            let budget = ALONE_BYTES + peers * PEER_BYTES + links * LINK_BYTES + waiting;
            if bytes > budget {
                return breach!("node {node} takes {bytes} bytes of memory, over {budget}");
            }
        }
        if at_rest && view.phase_time() >= SETTLED_AFTER {
            let now: Vec<_> =
                hosts.iter().map(|host| (host.memory(), host.links().count())).collect();
            let sent = hosts.iter().map(|host| host.sent());
            let news = sent.map(|sent| sent.control.frames + sent.handshake.frames).sum();
            if self.news.0 != news {
                self.news = (news, view.phase_time());
                self.settled = None;
            }
            if view.phase_time().saturating_sub(self.news.1) < NEWS_OVER_AFTER {
                return Ok(());
            }
            let settled = self.settled.get_or_insert_with(|| now.clone());
            for (node, ((bytes, links), (before, links_before))) in
                now.iter().zip(settled).enumerate()
            {
                // One who knocks where all slots are taken brings a link for a moment.
                if links > links_before {
                    continue;
                }
                self.growth = self.growth.max(bytes - *before);
                let buffers = *links as i64 * BUFFER_GROWTH_BYTES;
                if bytes - *before > GROWTH_BYTES + buffers {
                    return breach!("node {node} grew at rest from {before} to {bytes} bytes");
                }
            }
        }
        Ok(())
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let bytes = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
        vec![("most memory", bytes(self.most)), ("growth at rest", bytes(self.growth))]
    }
}
