//! What happens to radios: the mesh mends itself, without anybody's help.

use std::time::Instant;

use anyhow::Context;

use super::{GONE_SECONDS, await_silence, doctor_says, meet, ms, nodes};
use crate::outcome::Figures;
use crate::stage::Stage;

/// An adapter is switched off: the peer leaves; on again: it is back.
pub(super) fn adapter(stage: &mut Stage) -> anyhow::Result<Figures> {
    let [one, other] = nodes(stage)?;
    meet(stage, &one, &other)?;
    let adapter = stage.adapter(1)?;
    let since = Instant::now();
    stage.power(&adapter, false)?;
    one.await_gone(&other, stage.limit(GONE_SECONDS))?;
    other.await_gone(&one, stage.limit(GONE_SECONDS))?;
    let gone = ms(since);
    doctor_says(&other, "Bluetooth", &["RadioOff", "bluetoothctl power on"])?;
    doctor_says(&one, "Bluetooth", &["works"])?;
    let since = Instant::now();
    stage.power(&adapter, true)?;
    meet(stage, &one, &other).context("after the adapter was switched on again")?;
    Ok(Figures::from([("goneMs".to_owned(), gone), ("backMs".to_owned(), ms(since))]))
}

/// bluetoothd starts anew, and forgets all that nodes had asked of it.
pub(super) fn bluetoothd(stage: &mut Stage) -> anyhow::Result<Figures> {
    let [mut one, mut other] = nodes(stage)?;
    meet(stage, &one, &other)?;
    let adapter = stage.adapter(0)?;
    let mut figures = Figures::new();
    for round in ["first", "second"] {
        let since = Instant::now();
        stage.restart_bluetoothd(&adapter)?;
        meet(stage, &one, &other).with_context(|| format!("after the {round} restart"))?;
        figures.insert(format!("{round}BackMs"), ms(since));
    }
    // A connection that ends behind the nodes' backs is as good as one of the above.
    let since = Instant::now();
    for device in stage.connected(&adapter)? {
        stage.disconnect(&adapter, &device)?;
    }
    meet(stage, &one, &other).context("after a disconnect")?;
    figures.insert("reconnectedMs".to_owned(), ms(since));
    // Who says goodbye leaves nothing behind that a controller would have to hold on to.
    one.interrupt()?;
    other.interrupt()?;
    await_silence(stage, &adapter).context("after both nodes have ended")?;
    // Without a node, too, it is told what is there and what is not.
    doctor_says(&one, "Bluetooth", &["works"])?;
    stage.power(&adapter, false)?;
    doctor_says(&one, "Bluetooth", &["RadioOff", "bluetoothctl power on"])?;
    stage.power(&adapter, true)?;
    stage.stop_bluetoothd(&adapter)?;
    doctor_says(&one, "Bluetooth", &["TemporarilyUnavailable", "systemctl start bluetooth"])?;
    stage.restart_bluetoothd(&adapter)?;
    Ok(figures)
}
