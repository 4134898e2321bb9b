//! Each dial is answered once.

use super::ledger::Ledger;
use super::pair::Pair;
use super::{Bench, Breach, End, Tried, require};
use crate::{DialFailure, DialId, LinkId, TransportCommand, TransportId};

/// A number that no dial and no link has.
const NEVER: u64 = 1 << 60;

fn all_answered(ledger: &Ledger) -> Option<()> {
    (ledger.unanswered() == 0).then_some(())
}

pub(super) async fn that_fails(bench: impl Bench) -> Result<Tried, Breach> {
    let mut pair = Pair::start(bench).await?;
    for endpoint in [pair.bench.nowhere(), pair.bench.invalid()] {
        let dial = pair.here.dial(endpoint).await?;
        let reason = pair.here.dial_failed(dial).await?;
        require(reason != DialFailure::Cancelled, || {
            "a dial failed as cancelled that nobody has cancelled".to_owned()
        })?;
    }
    pair.quiet().await?;
    Ok(Tried::Kept)
}

pub(super) async fn cancel_before_up(bench: impl Bench) -> Result<Tried, Breach> {
    let mut pair = Pair::start(bench).await?;
    if let Some(silent) = pair.bench.silent() {
        let dial = pair.here.dial(silent).await?;
        pair.here.quiet().await?;
        pair.here.command(TransportCommand::CancelDial(dial)).await?;
        pair.here.dial_failed(dial).await?;
        pair.here.command(TransportCommand::CancelDial(dial)).await?;
        pair.quiet().await?;
    }
    // At once: either may come first, but one of them does.
    let endpoint = pair.endpoint(End::There).await?;
    for _ in 0..8 {
        let dial = pair.here.dial(endpoint.clone()).await?;
        pair.here.command(TransportCommand::CancelDial(dial)).await?;
        pair.here.until_noted("answer to a cancelled dial", all_answered).await?;
    }
    // The ledger has seen that none is answered twice.
    tokio::time::sleep(pair.bench.figures().quiet).await;
    pair.here.read_waiting()?;
    Ok(Tried::Kept)
}

pub(super) async fn cancel_after_up(bench: impl Bench) -> Result<Tried, Breach> {
    let (mut pair, linked) = Pair::linked(bench).await?;
    let crate::LinkOrigin::Dialled(dial) = linked.here.origin else {
        return Err(Breach("a dialled link says that it came in".to_owned()));
    };
    pair.here.command(TransportCommand::CancelDial(dial)).await?;
    pair.exchange(&linked, 1).await?;
    pair.quiet().await?;
    pair.exchange(&linked, 1).await?;
    Ok(Tried::Kept)
}

pub(super) async fn unknown(bench: impl Bench) -> Result<Tried, Breach> {
    let (mut pair, linked) = Pair::linked(bench).await?;
    let transport = TransportId(linked.here.link.transport.0);
    pair.here.command(TransportCommand::CancelDial(DialId(NEVER))).await?;
    pair.here.command(TransportCommand::Close(LinkId { transport, number: NEVER })).await?;
    pair.quiet().await?;
    pair.exchange(&linked, 1).await?;
    Ok(Tried::Kept)
}

pub(super) async fn beside_each_other(mut bench: impl Bench) -> Result<Tried, Breach> {
    if bench.driver(End::Here).profile().dials_max < 2 {
        return Ok(Tried::Not("the driver runs one dial at a time"));
    }
    let Some(silent) = bench.silent() else {
        return Ok(Tried::Not("the bench has no endpoint without an answer"));
    };
    let mut pair = Pair::start(bench).await?;
    let stuck = pair.here.dial(silent).await?;
    let linked = pair.link().await?;
    pair.exchange(&linked, 1).await?;
    require(pair.here.ledger.unanswered() == 1, || {
        "the endpoint that the bench calls silent gave an answer".to_owned()
    })?;
    pair.here.close(linked.here.link).await?;
    pair.both_down(&linked).await?;
    pair.here.command(TransportCommand::CancelDial(stuck)).await?;
    pair.here.dial_failed(stuck).await?;
    pair.quiet().await?;
    Ok(Tried::Kept)
}
