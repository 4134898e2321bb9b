//! Who is seen, and how links come and go.

use std::time::Duration;

use super::pair::Pair;
use super::witness::beacon;
use super::{Bench, Breach, End, Tried, require};
use crate::LinkLoss;

/// Longer than anybody waits for a link.
const DIAL_TIMEOUT_MAX: Duration = Duration::from_secs(600);

pub(super) fn profile(mut bench: impl Bench) -> Result<Tried, Breach> {
    let profile = bench.driver(End::Here).profile();
    require(profile.links_max > 0, || "links_max is 0: nobody could be linked".to_owned())?;
    require(profile.dials_max > 0, || "dials_max is 0: nobody would be dialled".to_owned())?;
    let time = profile.dial_timeout;
    require(!time.is_zero() && time <= DIAL_TIMEOUT_MAX, || {
        format!("a dial_timeout of {time:?} is not between 0 and {DIAL_TIMEOUT_MAX:?}")
    })?;
    Ok(Tried::Kept)
}

pub(super) async fn sightings(bench: impl Bench) -> Result<Tried, Breach> {
    let mut pair = Pair::start(bench).await?;
    if pair.bench.endpoint(End::There).is_some() {
        return Ok(Tried::Not("the bench names the endpoints instead of waiting for sightings"));
    }
    pair.endpoint(End::There).await?;
    pair.endpoint(End::Here).await?;
    let patience = pair.bench.figures().patience;
    pair.there.end_commands();
    pair.there.ended(patience).await?;
    pair.here
        .until_noted("`Lost` of an end that is gone", |ledger| {
            let is_seen = ledger.seen.values().any(|seen| *seen == Some(beacon(End::There)));
            (!is_seen).then_some(())
        })
        .await?;
    Ok(Tried::Kept)
}

pub(super) async fn nobody_before_advertise(bench: impl Bench) -> Result<Tried, Breach> {
    let mut pair = Pair::silent(bench);
    let Some(endpoint) = pair.bench.endpoint(End::There) else {
        pair.here.advertise().await?;
        pair.quiet().await?;
        let seen = &pair.here.ledger.seen;
        require(!seen.values().any(|seen| *seen == Some(beacon(End::There))), || {
            "an end was sighted that does not advertise".to_owned()
        })?;
        return Ok(Tried::Kept);
    };
    pair.here.dial(endpoint).await?;
    // The ledger knows that nobody may come in.
    pair.there.quiet().await?;
    pair.there.advertise().await?;
    pair.here.read_waiting()?;
    pair.there.read_waiting()?;
    Ok(Tried::Kept)
}

pub(super) async fn life_of_a_link(bench: impl Bench) -> Result<Tried, Breach> {
    let (mut pair, linked) = Pair::linked(bench).await?;
    pair.quiet().await?;
    pair.exchange(&linked, 1).await?;
    pair.here.close(linked.here.link).await?;
    let at_here = pair.here.link_down(linked.here.link).await?;
    require(at_here == LinkLoss::Closed, || {
        format!("a link that this node closed is down because \"{at_here}\"")
    })?;
    let at_there = pair.there.link_down(linked.there.link).await?;
    require(!matches!(at_there, LinkLoss::Closed | LinkLoss::Shutdown), || {
        format!("a link that the other node closed is down because \"{at_there}\"")
    })?;
    // Late, and harmless.
    pair.here.close(linked.here.link).await?;
    pair.there.close(linked.there.link).await?;
    pair.quiet().await?;
    let again = pair.link().await?;
    pair.exchange(&again, 1).await?;
    Ok(Tried::Kept)
}
