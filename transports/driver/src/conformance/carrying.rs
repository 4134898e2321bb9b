//! Bytes: whole, in order, and no more of them under way than there is room for.

use hedgerow_core::limits::{PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MIN};
use tokio::time::sleep;

use super::pair::{Linked, Pair, chunk_bytes};
use super::{Bench, Breach, End, Tried, post, require};
use crate::port::QUEUE;
use crate::{CHUNKS_IN_DRIVER, LinkOrigin, LinkShape, LinkUp, PACKETS_IN_DRIVER};

/// Chunks that the driver at an end has in its hands, beside those that wait in `Outgoing`: one
/// that it writes, or one that it reports.
const CHUNKS_IN_HAND: usize = 1;

pub(super) async fn shape(bench: impl Bench) -> Result<Tried, Breach> {
    let (mut pair, linked) = Pair::linked(bench).await?;
    for up in [&linked.here, &linked.there] {
        is_possible(up)?;
    }
    let each_size = each_size_bytes(&linked.here)?.max(each_size_bytes(&linked.there)?);
    pair.exchange(&linked, each_size).await?;
    pair.quiet().await?;
    Ok(Tried::Kept)
}

/// So many bytes have a chunk or packet of each size in them.
fn each_size_bytes(up: &LinkUp) -> Result<usize, Breach> {
    let chunk = chunk_bytes(up)?;
    Ok(match up.shape {
        LinkShape::Packet { .. } => chunk * (chunk + 1) / 2,
        // Five chunks are one of each size.
        _ => 10 * chunk,
    })
}

fn is_possible(up: &LinkUp) -> Result<(), Breach> {
    let frame_is_possible = |frame_bytes_max: usize| {
        require((PAYLOAD_BYTES_MIN..=PAYLOAD_BYTES_MAX).contains(&frame_bytes_max), || {
            format!(
                "frame_bytes_max is {frame_bytes_max}, not from {PAYLOAD_BYTES_MIN} to \
                 {PAYLOAD_BYTES_MAX}"
            )
        })
    };
    match up.shape {
        LinkShape::Packet { packet_bytes, frame_bytes_max, .. } => {
            frame_is_possible(frame_bytes_max)?;
            post::is_possible(packet_bytes)
        }
        LinkShape::Stream { chunk_bytes, frame_bytes_max } => {
            frame_is_possible(frame_bytes_max)?;
            require(chunk_bytes >= frame_bytes_max, || {
                format!("a chunk of {chunk_bytes} bytes holds no frame of {frame_bytes_max}")
            })
        }
        #[allow(unreachable_patterns, reason = "the core may learn other shapes")]
        other => Err(Breach(format!("{other:?}: a shape that this suite does not know yet"))),
    }
}

pub(super) async fn order(bench: impl Bench) -> Result<Tried, Breach> {
    let (mut pair, linked) = Pair::linked(bench).await?;
    let load = pair.bench.figures().load_bytes;
    pair.exchange(&linked, load).await?;
    pair.quiet().await?;
    Ok(Tried::Kept)
}

pub(super) async fn back_pressure(bench: impl Bench) -> Result<Tried, Breach> {
    let (mut pair, linked) = Pair::linked(bench).await?;
    let is_packets = matches!(linked.here.shape, LinkShape::Packet { .. });
    if is_packets {
        // Ends that agree on another size of packets have done so then.
        pair.exchange(&linked, 20 * chunk_bytes(&linked.here)?).await?;
        pair.quiet().await?;
    }
    let Some(flow) = pair.here.flows.get_mut(&linked.here.link) else {
        return Err(Breach("a link without a flow".to_owned()));
    };
    flow.out.goal = usize::MAX;
    flow.out.fill_up();
    let (before, chunk) = (flow.out.done, flow.out.chunk_bytes());
    let in_driver = if is_packets { PACKETS_IN_DRIVER } else { CHUNKS_IN_DRIVER + CHUNKS_IN_HAND };
    // What both drivers may hold, and what the node there has been given and not read.
    let in_both = (in_driver + CHUNKS_IN_HAND) * chunk;
    let given_max = QUEUE * chunk.max(flow.back.chunk_bytes());
    let buffered_max = pair.bench.figures().buffered_bytes_max;
    let lost_max = flow.out.losable_bytes(in_both + buffered_max + given_max);
    let held_max = in_both + buffered_max + lost_max;

    let taken_max = held_max + given_max;
    let taken = pair.here.fill(linked.here.link, before + taken_max).await?;
    require(taken - before <= taken_max, || {
        format!(
            "{} bytes were taken while the other node reads nothing, over {taken_max}: it takes \
             too much in advance, or without end",
            taken - before
        )
    })?;
    pair.there.read_waiting()?;
    let given = pair.there.flows.get(&linked.there.link).map_or(0, |flow| flow.back.done);
    require(taken - given <= held_max, || {
        format!(
            "{} bytes were taken that the other node could not have read, over {held_max}: \
             {in_driver} chunks or packets of {chunk} in the driver here, one there, and what the \
             medium holds",
            taken - given
        )
    })?;

    // The node reads again, and there is room again.
    if let Some(flow) = pair.here.flows.get_mut(&linked.here.link) {
        flow.out.goal = flow.out.done;
    }
    pair.exchange(&linked, 3 * chunk).await?;
    Ok(Tried::Kept)
}

pub(super) async fn nodes_that_pause(bench: impl Bench) -> Result<Tried, Breach> {
    let (mut pair, linked) = Pair::linked(bench).await?;
    let figures = pair.bench.figures();
    pair.plan(&linked, figures.load_bytes)?;
    for pause in 0..3 {
        // Both send what is taken, and read nothing.
        for _ in 0..100 {
            pair.here.push();
            pair.there.push();
            tokio::task::yield_now().await;
        }
        if pause == 0 {
            let nowhere = pair.bench.nowhere();
            pair.here.dial(nowhere).await?;
        }
        sleep(figures.quiet).await;
        pair.here.read_waiting()?;
        pair.there.read_waiting()?;
    }
    pair.carry().await?;
    let answered = |ledger: &super::ledger::Ledger| (ledger.unanswered() == 0).then_some(());
    pair.here.until_noted("answer to a dial", answered).await?;
    Ok(Tried::Kept)
}

pub(super) async fn links_do_not_mix(mut bench: impl Bench) -> Result<Tried, Breach> {
    if bench.driver(End::Here).profile().links_max < 3 {
        return Ok(Tried::Not("the driver holds fewer than three links"));
    }
    // One link that says nothing; with it, both ends accept others.
    let (mut pair, _) = Pair::linked(bench).await?;
    let (there, here) = (pair.endpoint(End::There).await?, pair.endpoint(End::Here).await?);
    let dial = pair.here.dial(there).await?;
    pair.there.dial(here).await?;
    let at_here = [pair.here.link_up().await?, pair.here.link_up().await?];
    let at_there = [pair.there.link_up().await?, pair.there.link_up().await?];
    for at_here in at_here {
        let is_ours = at_here.origin == LinkOrigin::Dialled(dial);
        let at_there = at_there.iter().find(|up| (up.origin == LinkOrigin::Accepted) == is_ours);
        let Some(at_there) = at_there else {
            return Err(Breach("two links between two ends, and not one from each".to_owned()));
        };
        let linked = Linked { here: at_here, there: at_there.clone() };
        pair.add_flow(&linked)?;
        pair.plan(&linked, pair.bench.figures().load_bytes / 4)?;
    }
    pair.carry().await?;
    pair.quiet().await?;
    Ok(Tried::Kept)
}
