//! Three nodes in a row: the ends are out of each other's reach and talk over the middle.

use std::time::Instant;

use anyhow::ensure;

use super::{MEET_SECONDS, links_up, ms, nodes_with, say};
use crate::outcome::Figures;
use crate::stage::{Node, Stage};

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<Figures> {
    let [left, middle, right] = row(stage, "")?;
    let met = ms(right.ready_at());

    let since = Instant::now();
    say(stage, &left, &right, "over the middle")?;
    say(stage, &right, &left, "and back")?;
    let talked = ms(since);
    apart(&left, &right)?;

    // Without the middle there is no way; the ends know that.
    drop(middle);
    left.await_gone(&right, stage.limit(super::GONE_SECONDS))?;
    Ok(Figures::from([("metMs".to_owned(), met), ("messagesMs".to_owned(), talked)]))
}

/// The three, once each sees the other two, with more lines for the section of the transport.
pub(super) fn row(stage: &Stage, more: &str) -> anyhow::Result<[Node; 3]> {
    stage.part(&stage.adapter(0)?, &stage.adapter(2)?)?;
    let [left, middle, right] = nodes_with(stage, more)?;
    let limit = stage.limit(MEET_SECONDS);
    left.await_peer(&middle, Some(1), limit)?;
    right.await_peer(&middle, Some(1), limit)?;
    left.await_peer(&right, Some(2), limit)?;
    right.await_peer(&left, Some(2), limit)?;
    Ok([left, middle, right])
}

pub(super) fn apart(left: &Node, right: &Node) -> anyhow::Result<()> {
    ensure!(links_up(left, right)? == 0, "the ends have a link: they are not out of reach");
    Ok(())
}
