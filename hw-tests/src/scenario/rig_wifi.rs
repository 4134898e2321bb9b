//! The rig tries its radios of Wi-Fi, without Hedgerow's: what scenarios of Wi-Fi Direct stand on.

use std::time::Instant;

use anyhow::{Context, ensure};

use super::tcp::bytes_per_s;
use crate::outcome::Figures;
use crate::stage::running::until;
use crate::stage::supplicant::Group;
use crate::stage::{Radio, Stage};

/// From the start of a search to a sight of each other.
const FIND_SECONDS: u64 = 40;
/// From the wish for a group to its keys, and from there to an address; or to its end.
const GROUP_SECONDS: u64 = 40;
/// How often two ask for a group at most: a frame of a negotiation may be lost.
const ASKED_MAX: u64 = 3;
const TCP_BYTES: usize = 10_000_000;

/// What the two want: to own the group, or rather not.
const INTENTS: [u8; 2] = [14, 1];

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<Figures> {
    let mut figures = Figures::new();
    let mut note = |name: &str, value: u64| figures.insert(name.to_owned(), value.into());
    let radios = [stage.radio(0)?, stage.radio(1)?];
    let [owner, client] = &radios;

    note("foundMs", find(stage, &radios)?);
    let since = Instant::now();
    note("groupAsked", connect(stage, &radios)?);
    note("groupMs", ms(since));
    let since = Instant::now();
    let has_address = |group: &Group| group.address.is_some();
    let groups = await_groups(stage, &radios, "both have an address in the group", has_address)?;
    note("addressMs", ms(since));
    for (radio, group, is_owner) in [(owner, &groups[0], true), (client, &groups[1], false)] {
        let is_it = stage.supplicant(radio).is_owner(group)?;
        ensure!(is_it == is_owner, "{}: the wrong one owns the group", radio.name());
    }

    note("tcpBytesPerS", bytes_per_s(stage, owner, client, TCP_BYTES).context("to the client")?);
    note("tcpBackBytesPerS", bytes_per_s(stage, client, owner, TCP_BYTES).context("to the owner")?);
    nodes(stage, &radios, &groups).context("nodes beside the radios")?;
    stage.supplicant(owner).leave(&groups[0])?;
    note("goneMs", await_none(stage, &radios)?);

    stage.restart_wpa_supplicant(client)?;
    stage.stop_wpa_supplicant(client)?;
    ensure!(stage.supplicant(client).peers().is_err(), "wpa_supplicant answers after its end");
    stage.restart_wpa_supplicant(client)?;
    note("foundAgainMs", find(stage, &radios).context("after a restart")?);

    connect(stage, &radios).context("after a restart")?;
    stage.kill_wpa_supplicant(owner)?;
    note("goneByCrashMs", await_none(stage, &radios).context("after a crash")?);
    stage.restart_wpa_supplicant(owner)?;
    find(stage, &radios).context("after a crash")?;
    Ok(figures)
}

/// Two radios find each other and are in a group, which the first one owns.
pub(super) fn form(stage: &Stage, radios: &[Radio; 2]) -> anyhow::Result<[Group; 2]> {
    find(stage, radios)?;
    connect(stage, radios)?;
    let has_address = |group: &Group| group.address.is_some();
    await_groups(stage, radios, "both have an address in the group", has_address)
}

/// Both forget what they know and look for each other; how long until both have found.
fn find(stage: &Stage, [one, other]: &[Radio; 2]) -> anyhow::Result<u64> {
    for radio in [one, other] {
        stage.supplicant(radio).flush()?;
    }
    let since = Instant::now();
    for radio in [one, other] {
        stage.supplicant(radio).find()?;
    }
    until("two radios find each other", stage.limit(FIND_SECONDS), || {
        let seen = [stage.supplicant(one).peer(other)?, stage.supplicant(other).peer(one)?];
        Ok(seen.iter().all(Option::is_some))
    })?;
    Ok(ms(since))
}

/// Both ask for a group with the other one, and are in it; how often they asked. Whether the last
/// frame of a negotiation arrived, only one of the two knows: where it is lost, wpa_supplicant waits
/// 15 s for nobody, and gives up. Then both ask again, as people do.
fn connect(stage: &Stage, radios: &[Radio; 2]) -> anyhow::Result<u64> {
    let [one, other] = radios;
    let mut asked = 0;
    loop {
        asked += 1;
        stage.supplicant(one).connect(other, INTENTS[0])?;
        stage.supplicant(other).connect(one, INTENTS[1])?;
        match await_groups(stage, radios, "both are in a group", |_| true) {
            Ok(_) => return Ok(asked),
            Err(error) if asked == ASKED_MAX => return Err(error),
            Err(error) => eprintln!("{error}; they ask again"),
        }
        find(stage, radios)?;
    }
}

/// Waits until neither is in a group; how long that took.
fn await_none(stage: &Stage, [one, other]: &[Radio; 2]) -> anyhow::Result<u64> {
    let gone = until("the group ends at both", stage.limit(GROUP_SECONDS), || {
        let groups = [stage.supplicant(one).group()?, stage.supplicant(other).group()?];
        Ok(groups == [None, None])
    })?;
    Ok(u64::try_from(gone.as_millis())?)
}

/// Waits until both are in a group that carries data and is as it should be.
fn await_groups(
    stage: &Stage,
    [one, other]: &[Radio; 2],
    what: &str,
    is_right: impl Fn(&Group) -> bool,
) -> anyhow::Result<[Group; 2]> {
    let mut groups = None;
    until(what, stage.limit(GROUP_SECONDS), || {
        let both = (stage.supplicant(one).group()?, stage.supplicant(other).group()?);
        let is_ready = |group: &Group| group.is_up && is_right(group);
        groups = match (both.0.filter(is_ready), both.1.filter(is_ready)) {
            (Some(one), Some(other)) => Some([one, other]),
            _ => None,
        };
        Ok(groups.is_some())
    })?;
    groups.context("no groups")
}

/// Two nodes, each in the namespace of its radio, reach each other over the group.
fn nodes(stage: &Stage, radios: &[Radio; 2], groups: &[Group; 2]) -> anyhow::Result<()> {
    let [owner, client] = radios;
    let config = "[transports.ble]\nenabled = false\n[transports.lan]\nmdns_enabled = false\n";
    let first = stage.node_beside("owner", owner, config)?;
    let listening = first.ready()["listen"][0].as_str().context("`ready` has no address")?;
    let port = listening.rsplit(':').next().unwrap_or_default();
    let address = groups[0].address.context("no address")?;
    let address = format!("[{address}%{}]:{port}", groups[1].interface);
    let config = format!("{config}[connect]\ntcp_servers = [\"{address}\"]\n");
    let second = stage.node_beside("client", client, &config)?;
    first.await_peer(&second, Some(1), stage.limit(20))?;
    second.send(&first, "hello", stage.limit(20))?;
    let heard = first.ask(&["listen", "--count", "1", "--timeout", "5"])?;
    ensure!(heard.len() == 1 && heard[0]["text"] == "hello", "heard {heard:?}");
    Ok(())
}

fn ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
