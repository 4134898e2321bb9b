//! Centrals that are not ours, four at a time: they look, read, write what they like and hang up in
//! the middle.

use std::ops::Range;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{MEET_SECONDS, meet, millis, ms, nodes_with};
use crate::bare::{Bare, Central, Characteristic, NodeService, discover};
use crate::outcome::{Figures, Skip};
use crate::random::Random;
use crate::stage::running::{Lines, Running};
use crate::stage::{Node, Stage};

/// After so many rounds everything has its size.
const SETTLED: usize = 8;
/// What a node may have taken more by the end: allocators keep some.
const GROWTH_KB_MAX: u64 = 2_048;
const FILES_MORE_MAX: u64 = 4;
/// Attempts to connect, each after another look.
const ATTEMPTS: usize = 5;
/// How long one round may take.
const ROUND_SECONDS: u64 = 60;
/// From one message of the neighbours to the next.
const PAUSE: Duration = Duration::from_millis(50);

/// 24 rounds.
pub(super) fn play(stage: &mut Stage) -> anyhow::Result<Figures> {
    rounds(stage, 24)
}

/// 1,000 of them.
pub(super) fn play_long(stage: &mut Stage) -> anyhow::Result<Figures> {
    rounds(stage, 1_000)
}

/// What a stranger does once it is connected.
#[derive(Clone, Copy)]
enum Manner {
    /// Writes, and listens to nothing.
    Writes,
    /// Subscribes and writes, as a node does that speaks nonsense.
    Babbles,
    /// Subscribes and sends the first fragment of a frame, and never the rest.
    Stops,
}

fn rounds(stage: &mut Stage, count: usize) -> anyhow::Result<Figures> {
    let home = stage.adapter(0)?;
    let strangers = [stage.adapter(2)?, stage.adapter(3)?, stage.adapter(4)?, stage.adapter(5)?];
    if !strangers.iter().chain([&home]).all(|adapter| stage.is_local(adapter)) {
        bail!(Skip("needs adapters of one machine".to_owned()));
    }
    let [one, other] = nodes_with(stage, "[bus]\nwhen_full = \"wait\"")?;
    meet(stage, &one, &other)?;
    let address = stage.objects(&home)?.address(&home.name).context("no address")?;
    let known = other.ask(&["peers"])?.pop().context("no peer")?;

    let strangers = Strangers {
        bare: Bare::open()?,
        adapters: strangers.map(|adapter| adapter.name),
        address,
        known,
        limit: stage.limit(ROUND_SECONDS),
        dialling: Mutex::new(()),
    };
    let found = Instant::now();
    strangers.find()?;
    let found = ms(found);
    let talk = Talk::begin(&other, &one)?;
    let since = Instant::now();
    let mut random = Random::new(stage.seed());
    let mut chances = [(); 4].map(|()| Random::new(random.below(u32::MAX)));
    let settled = SETTLED.min(count);
    strangers.play(0..settled, &mut chances)?;
    let before = one.size()?;
    strangers.play(settled..count, &mut chances)?;
    let took = since.elapsed();
    let messages = talk.end(stage)?;
    let after = one.size()?;
    ensure!(
        after.memory_kb <= before.memory_kb + GROWTH_KB_MAX
            && after.files <= before.files + FILES_MORE_MAX,
        "the node has grown: {before:?} after {SETTLED} rounds, {after:?} after {count}"
    );
    // The link between both is the one from before.
    let links = one.ask(&["links"])?;
    let link = links.iter().find(|link| link["peerKeyString"] == other.key());
    let age = link.and_then(|link| link["ageMs"].as_u64()).context("no link")?;
    ensure!(Duration::from_millis(age) > took, "the link was made anew: {age} ms old");
    let mut figures =
        Figures::from([("foundMs".to_owned(), found), ("tookMs".to_owned(), millis(took))]);
    for (name, value) in [
        ("rounds", count as u64),
        ("messagesBeside", messages),
        ("memoryKbBefore", before.memory_kb),
        ("memoryKbAfter", after.memory_kb),
        ("filesBefore", before.files),
        ("filesAfter", after.files),
    ] {
        figures.insert(name.to_owned(), value.into());
    }
    Ok(figures)
}

/// Four centrals that are not ours, and the device that they go to.
struct Strangers {
    bare: Bare,
    adapters: [String; 4],
    address: String,
    /// The device as its neighbour knows it.
    known: Value,
    /// For one round.
    limit: Duration,
    /// One connects while the others read and write: who calls a device that is just being connected
    /// waits for its next time, which the emulator forgets.
    dialling: Mutex<()>,
}

impl Strangers {
    /// Each looks for the device.
    fn find(&self) -> anyhow::Result<()> {
        for adapter in &self.adapters {
            let found = discover(self.bare.connection(), adapter, &self.address);
            self.bare
                .run(self.limit, found)
                .with_context(|| format!("{adapter} does not find the service"))?;
        }
        Ok(())
    }

    /// Plays these rounds, four at a time.
    fn play(&self, rounds: Range<usize>, chances: &mut [Random; 4]) -> anyhow::Result<()> {
        let limit = self.limit * u32::try_from(rounds.len())?;
        let of = |index: usize| rounds.clone().skip(index).step_by(self.adapters.len());
        let [a, b, c, d] = &self.adapters;
        let [first, second, third, fourth] = chances;
        let all = async {
            tokio::try_join!(
                self.play_of(a, of(0), first),
                self.play_of(b, of(1), second),
                self.play_of(c, of(2), third),
                self.play_of(d, of(3), fourth),
            )
        };
        self.bare.run(limit, all)?;
        Ok(())
    }

    /// Plays the rounds of one of them, at its own pace.
    async fn play_of(
        &self,
        adapter: &str,
        rounds: impl Iterator<Item = usize>,
        random: &mut Random,
    ) -> anyhow::Result<()> {
        for round in rounds {
            let manner = [Manner::Writes, Manner::Babbles, Manner::Stops][round % 3];
            let within = timeout(self.limit, self.play_round(adapter, manner, random)).await;
            let late = |_| Err(anyhow!("not done within {} s", self.limit.as_secs()));
            within
                .unwrap_or_else(late)
                .with_context(|| format!("in round {round}, by {adapter}"))?;
        }
        Ok(())
    }

    /// Connects, reads `info`, writes, and hangs up.
    async fn play_round(
        &self,
        adapter: &str,
        manner: Manner,
        random: &mut Random,
    ) -> anyhow::Result<()> {
        let central = Central::new(self.bare.connection(), adapter, &self.address).await?;
        let turn = self.dialling.lock().await;
        let mut attempt = 1;
        while let Err(error) = central.connect().await {
            ensure!(attempt < ATTEMPTS, "{error}");
            attempt += 1;
            // BlueZ forgets who is not connected and was not heard for half a minute, perhaps between
            // the look and the call.
            discover(self.bare.connection(), adapter, &self.address).await?;
        }
        drop(turn);
        let NodeService { info, rx, tx } = central.node_service().await?;
        check_info(&info.read().await?, &self.known)?;
        misbehave(manner, &rx, &tx, random).await?;
        central.disconnect().await
    }
}

/// Writes, in a manner.
async fn misbehave(
    manner: Manner,
    rx: &Characteristic<'_>,
    tx: &Characteristic<'_>,
    random: &mut Random,
) -> anyhow::Result<()> {
    let _subscribed = match manner {
        Manner::Writes => None,
        Manner::Babbles | Manner::Stops => Some(tx.notified().await?),
    };
    match manner {
        // A call for each value, as most apps do.
        Manner::Writes => {
            for size in [0, 1, 20, 300] {
                rx.write(&noise(random, size)).await?;
            }
        }
        Manner::Babbles => {
            let (line, bytes_max) = rx.writing().await?;
            for _ in 0..10 {
                let size = 1 + random.below(bytes_max as u32) as usize;
                line.send(&noise(random, size)).await?;
            }
        }
        Manner::Stops => {
            let (line, bytes_max) = rx.writing().await?;
            // Lane 0, the first fragment and not the last, number 0; then a frame's prefix.
            let mut fragment = noise(random, bytes_max);
            fragment[..8].copy_from_slice(&[0x20, 0, 0x08, 0, 0, 0, 0, 200]);
            line.send(&fragment).await?;
        }
    }
    Ok(())
}

/// `info` of an open network (protocol 2.2): versions, a channel, tag, and the address that others
/// see the node by.
fn check_info(info: &[u8], known: &Value) -> anyhow::Result<()> {
    let &[lowest, highest, ..] = info else { bail!("info is {info:?}") };
    ensure!(info.len() == 16 && 0 < lowest && lowest <= highest, "info is {info:?}");
    let address: String = info[8..].iter().map(|byte| format!("{byte:02x}")).collect();
    ensure!(known.to_string().contains(&address), "info tells {address}, not of {known}");
    Ok(())
}

/// Messages between two, one after the other, while the stranger is about.
struct Talk {
    is_over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<anyhow::Result<u64>>,
    sending: Running,
    listening: Running,
}

impl Talk {
    fn begin(from: &Node, to: &Node) -> anyhow::Result<Self> {
        let listening = to.spawn(&["listen"], Lines::Stdout, Stdio::null())?;
        let words = ["send", to.key(), "--lines"];
        let mut sending = from.spawn(&words, Lines::Stdout, Stdio::piped())?;
        let mut input = sending.take_input().context("no input")?;
        let is_over = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || {
                let mut sent = 0;
                while !is_over.load(Ordering::Relaxed) {
                    sent += 1;
                    std::io::Write::write_all(&mut input, format!("{sent}\n").as_bytes())?;
                    std::thread::sleep(PAUSE);
                }
                Ok(sent)
            }
        });
        Ok(Self { is_over, thread, sending, listening })
    }

    /// Stops talking: every message was heard, once and in order.
    fn end(mut self, stage: &Stage) -> anyhow::Result<u64> {
        self.is_over.store(true, Ordering::Relaxed);
        let sent = self.thread.join().map_err(|_| anyhow!("who talks panicked"))??;
        let limit = stage.limit(MEET_SECONDS);
        let summary = self.sending.event("summary", limit)?;
        ensure!(summary["delivered"] == sent && summary["failed"] == 0, "of {sent}: {summary}");
        for number in 1..=sent {
            let heard = self.listening.event("message", limit)?;
            let text = number.to_string();
            ensure!(heard["text"] == *text, "{heard} in place of {number}");
        }
        Ok(sent)
    }
}

fn noise(random: &mut Random, count: usize) -> Vec<u8> {
    (0..count).map(|_| random.below(256) as u8).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_info_is_checked_byte_for_byte() {
        let known = json!({"address": "08090a0b0c0d0e0f"});
        let info = [1, 1, 0x91, 0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        check_info(&info, &known).unwrap();
        assert!(check_info(&info[..15], &known).is_err());
        assert!(check_info(&info, &json!({"address": "0"})).is_err());
        assert!(check_info(&[2; 16], &known).is_err());
        assert!(check_info(&[], &known).is_err());
    }
}
