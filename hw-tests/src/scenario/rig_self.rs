//! The rig tries itself, without Hedgerow's radio: what the other scenarios stand on.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};

use super::MTU_23;
use crate::outcome::Figures;
use crate::stage::bluez::Device;
use crate::stage::running::{Lines, Running, until};
use crate::stage::{Adapter, Node, Stage};

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<Figures> {
    let mut figures = Figures::new();
    let mut note = |name: &str, since: Instant| {
        let ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        figures.insert(name.to_owned(), ms.into());
    };
    let adapters = [stage.adapter(0)?, stage.adapter(1)?, stage.adapter(2)?];
    let [shown, seeing, other] = &adapters;

    let since = Instant::now();
    found(stage, shown, seeing).context("before any fault")?;
    note("foundMs", since);

    let since = Instant::now();
    connections(stage, shown, seeing).context("connections")?;
    note("connectionsMs", since);

    let since = Instant::now();
    stage.restart_bluetoothd(seeing)?;
    note("bluetoothdMs", since);
    found(stage, other, shown).context("after bluetoothd was started anew")?;

    let since = Instant::now();
    stage.power(seeing, false)?;
    stage.power(seeing, true)?;
    note("powerMs", since);
    found(stage, other, seeing).context("after the adapter was off")?;

    stage.configure_bluetoothd(MTU_23).context("bluetoothd with a configuration of ours")?;
    found(stage, shown, other).context("with a configuration of ours")?;

    let since = Instant::now();
    nodes(stage).context("nodes on the stage")?;
    note("nodesMs", since);
    Ok(figures)
}

/// A connection stands until it is taken down; where adapters are out of reach, there is none.
fn connections(stage: &Stage, shown: &Adapter, seeing: &Adapter) -> anyhow::Result<()> {
    let (device, _programs) = found(stage, shown, seeing)?;
    stage.connect(seeing, &device, stage.limit(20))?;
    ensure!(!stage.connected(seeing)?.is_empty(), "a connection is not seen");
    stage.disconnect(seeing, &device)?;
    until("the connection ends", stage.limit(20), || Ok(stage.connected(seeing)?.is_empty()))?;
    stage.part(shown, seeing)?;
    let connected = stage.connect(seeing, &device, stage.limit(5));
    ensure!(connected.is_err(), "adapters that are out of reach of each other connect");
    Ok(())
}

/// One adapter shows itself, another one finds it, as long as the programs run.
fn found(
    stage: &Stage,
    shown: &Adapter,
    seeing: &Adapter,
) -> anyhow::Result<(Device, [Running; 2])> {
    let name = format!("rig-{}", shown.name);
    let address =
        stage.objects(shown)?.address(&shown.name).context("an adapter has no address")?;
    let advertise = [format!("advertise.name {name}"), "advertise on".to_owned()];
    let advertising = bluetoothctl(stage, shown, &advertise)?;
    let scanning = bluetoothctl(stage, seeing, &["scan le".to_owned()])?;
    let mut found = None;
    until(&format!("{} finds {name}", seeing.name), stage.limit(30), || {
        let mut devices = stage.objects(seeing)?.devices(&seeing.name).into_iter();
        found = devices.find(|d| d.address == address && d.name.as_ref() == Some(&name));
        Ok(found.is_some())
    })?;
    Ok((found.context("nothing was found")?, [advertising, scanning]))
}

/// What is advertised, and a scan, last as long as the program that asked for it.
fn bluetoothctl(stage: &Stage, adapter: &Adapter, lines: &[String]) -> anyhow::Result<Running> {
    let address = stage.objects(adapter)?.address(&adapter.name).context("no address")?;
    let log = stage.logs().join(format!("bluetoothctl-{}.log", adapter.name));
    let mut command = Command::new("bluetoothctl");
    command.stdin(Stdio::piped());
    let mut running = Running::start("bluetoothctl", command, Lines::Stdout, &log)?;
    // It passes over commands until it has heard of the adapters.
    let end = stage.limit(20);
    while let Some(line) = running.line(end)? {
        if line.contains("new_settings") || line.contains("Agent registered") {
            break;
        }
    }
    let input = running.input().context("bluetoothctl has no input")?;
    writeln!(input, "select {address}\n{}", lines.join("\n"))?;
    Ok(running)
}

/// Two nodes that know each other's address, over loopback: one of them crashes and comes back.
fn nodes(stage: &Stage) -> anyhow::Result<()> {
    let lan = "[transports.lan]\nmdns_enabled = false\nlisten_ip = \"127.0.0.1\"\n";
    let first = stage.node_of("first", 0, lan)?;
    let address = first.ready()["listen"][0].as_str().context("`ready` has no address")?;
    let config = format!("{lan}[connect]\ntcp_servers = [\"{address}\"]\n");
    let mut second = stage.node_of("second", 0, &config)?;
    let limit = stage.limit(20);
    let both = |second: &Node| -> anyhow::Result<()> {
        first.await_peer(second, Some(1), limit)?;
        second.await_peers(1, limit)
    };
    both(&second)?;
    let (before, crashed) = (second.key().to_owned(), Instant::now());
    second.kill()?;
    first.await_gone(&second, limit)?;
    ensure!(crashed.elapsed() < limit, "a crash was noticed late");
    second.restart()?;
    ensure!(second.key() == before, "a node came back as another one");
    both(&second)?;
    second.send(&first, "hello", limit)?;
    let heard = first.ask(&["listen", "--count", "1", "--timeout", "5"])?;
    ensure!(heard.len() == 1 && heard[0]["text"] == "hello", "heard {heard:?}");
    second.interrupt()
}
