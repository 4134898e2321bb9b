//! How links and drivers end.

use std::time::Duration;

use tokio::time::timeout;

use super::pair::{Pair, chunk_bytes};
use super::witness::Witness;
use super::{Bench, Breach, End, Tried, require};
use crate::{LinkLoss, NodeSlot, TransportId, connect};

/// After this the node drops a driver that is shutting down.
const SHUTDOWN_WITHIN: Duration = Duration::from_millis(1_500);

pub(super) async fn close_flushes(bench: impl Bench) -> Result<Tried, Breach> {
    let (mut pair, linked) = Pair::linked(bench).await?;
    // The medium is full, so that the last chunks wait in the driver when the close comes.
    pair.plan(&linked, 0)?;
    let chunk = chunk_bytes(&linked.here)?;
    let goal = |pair: &mut Pair<_>, goal| {
        if let Some(flow) = pair.here.flows.get_mut(&linked.here.link) {
            flow.out.goal = goal;
        }
    };
    goal(&mut pair, usize::MAX);
    let limit = 256 * chunk + pair.bench.figures().buffered_bytes_max;
    let taken = pair.here.fill(linked.here.link, limit).await?;
    require(taken >= chunk, || "a new link has no room for a chunk".to_owned())?;
    goal(&mut pair, taken);
    pair.here.close(linked.here.link).await?;
    // The hardest for a driver: it hears of the close before there is room.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    if let Some(flow) = pair.there.flows.get_mut(&linked.there.link) {
        flow.back.goal = taken;
    }
    pair.there.carry().await.map_err(|Breach(what)| {
        Breach(format!("not all that was accepted before the close arrived: {what}"))
    })?;
    pair.both_down(&linked).await?;
    pair.quiet().await?;
    Ok(Tried::Kept)
}

pub(super) async fn close_unread(bench: impl Bench) -> Result<Tried, Breach> {
    let (mut pair, linked) = Pair::linked(bench).await?;
    let link = linked.here.link;
    pair.plan(&linked, 0)?;
    if let Some(flow) = pair.here.flows.get_mut(&link) {
        flow.out.goal = usize::MAX;
    }
    // A driver without back-pressure takes all of it: another check says so.
    let limit = 256 * chunk_bytes(&linked.here)? + pair.bench.figures().buffered_bytes_max;
    pair.here.fill(link, limit).await?;
    pair.here.close(link).await?;
    let reason = pair.here.link_down(link).await?;
    require(reason == LinkLoss::Closed, || {
        format!("a link that this node closed is down because \"{reason}\"")
    })?;
    pair.here.quiet().await?;
    Ok(Tried::Kept)
}

pub(super) async fn cut(bench: impl Bench) -> Result<Tried, Breach> {
    let (mut pair, linked) = Pair::linked(bench).await?;
    pair.exchange(&linked, 1).await?;
    pair.bench.cut();
    let at_here = pair.here.link_down(linked.here.link).await?;
    let at_there = pair.there.link_down(linked.there.link).await?;
    for reason in [at_here, at_there] {
        require(!matches!(reason, LinkLoss::Closed | LinkLoss::Shutdown), || {
            format!("a link that broke is down because \"{reason}\"")
        })?;
    }
    pair.quiet().await?;
    pair.bench.mend();
    let again = pair.link().await?;
    let load = pair.bench.figures().load_bytes / 4;
    pair.exchange(&again, load).await?;
    pair.quiet().await?;
    Ok(Tried::Kept)
}

pub(super) async fn restart(bench: impl Bench) -> Result<Tried, Breach> {
    let (mut pair, linked) = Pair::linked(bench).await?;
    pair.exchange(&linked, 1).await?;
    pair.there.drop_driver().await;
    pair.here.link_down(linked.here.link).await?;
    let quiet = pair.bench.figures().quiet;
    // What the driver started must have gone with it.
    let ending = async {
        while pair.there.next_or_end().await?.is_some() {}
        Ok(())
    };
    timeout(quiet, ending).await.unwrap_or_else(|_| {
        Err(Breach("the driver was dropped, but a task it started lives on".to_owned()))
    })?;
    pair.restart_there().await?;
    let again = pair.link().await?;
    pair.exchange(&again, 1).await?;
    Ok(Tried::Kept)
}

pub(super) async fn shutdown(bench: impl Bench) -> Result<Tried, Breach> {
    let (mut pair, linked) = Pair::linked(bench).await?;
    pair.exchange(&linked, 1).await?;
    if let Some(silent) = pair.bench.silent() {
        pair.here.dial(silent).await?;
    }
    pair.here.end_commands();
    // As a node, it reads on while it waits.
    let ending = async {
        while pair.here.next_or_end().await?.is_some() {}
        Ok::<_, Breach>(())
    };
    match timeout(SHUTDOWN_WITHIN, ending).await {
        Ok(read) => read?,
        // Either it does not end or something outlives it: what follows says which.
        Err(_) => pair.here.ended(Duration::from_millis(1)).await.and_then(|()| {
            Err(Breach("the driver has ended, but a task it started lives on".to_owned()))
        })?,
    }
    pair.here.ended(SHUTDOWN_WITHIN).await?;
    pair.there.link_down(linked.there.link).await?;
    pair.there.quiet().await?;
    Ok(Tried::Kept)
}

pub(super) async fn shutdown_unread(bench: impl Bench) -> Result<Tried, Breach> {
    let (mut pair, linked) = Pair::linked(bench).await?;
    pair.plan(&linked, 0)?;
    if let Some(flow) = pair.there.flows.get_mut(&linked.there.link) {
        flow.out.goal = usize::MAX;
    }
    let limit = 256 * chunk_bytes(&linked.there)? + pair.bench.figures().buffered_bytes_max;
    pair.there.fill(linked.there.link, limit).await?;
    pair.here.end_commands();
    pair.here.ended(SHUTDOWN_WITHIN).await?;
    pair.nothing_left_here().await?;
    pair.there.link_down(linked.there.link).await?;
    Ok(Tried::Kept)
}

pub(super) async fn hopeless(mut bench: impl Bench) -> Result<Tried, Breach> {
    let Some(driver) = bench.hopeless() else {
        return Ok(Tried::Not("the bench has no driver that cannot work"));
    };
    let figures = bench.figures();
    // Beside one that works, where there may be a reason.
    let _other = Witness::start(End::There, bench.driver(End::There), figures);
    let (slot, mut reports) = NodeSlot::new();
    let (port, driver_port) = connect(&slot, TransportId(9));
    drop(slot);
    let ended = timeout(figures.patience, tokio::spawn(driver.run(driver_port))).await;
    drop(port);
    match ended {
        Err(_) => return Err(Breach("a driver that cannot work runs on".to_owned())),
        Ok(Err(panic)) => return Err(Breach(format!("it panicked instead: {panic}"))),
        Ok(Ok(Ok(()))) => return Err(Breach("it ended as if it had been asked to".to_owned())),
        Ok(Ok(Err(error))) => {
            require(!error.to_string().is_empty(), || "it does not say why".to_owned())?;
        }
    }
    let rest = async { while reports.recv().await.is_some() {} };
    timeout(figures.quiet, rest)
        .await
        .map_err(|_| Breach("it has ended, but a task it started lives on".to_owned()))?;
    Ok(Tried::Kept)
}
