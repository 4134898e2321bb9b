//! Three nodes in a row: the ends are out of each other's reach and talk over the middle.

use std::time::Instant;

use anyhow::ensure;

use super::{MEET_SECONDS, links_up, ms, nodes, say};
use crate::outcome::Figures;
use crate::stage::Stage;

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<Figures> {
    stage.part(&stage.adapter(0)?, &stage.adapter(2)?)?;
    let [left, middle, right] = nodes(stage)?;
    let limit = stage.limit(MEET_SECONDS);
    left.await_peer(&middle, Some(1), limit)?;
    right.await_peer(&middle, Some(1), limit)?;
    left.await_peer(&right, Some(2), limit)?;
    right.await_peer(&left, Some(2), limit)?;
    let met = ms(right.ready_at());

    let since = Instant::now();
    say(stage, &left, &right, "over the middle")?;
    say(stage, &right, &left, "and back")?;
    let talked = ms(since);
    ensure!(links_up(&left, &right)? == 0, "the ends have a link: they are not out of reach");

    // Without the middle there is no way; the ends know that.
    drop(middle);
    left.await_gone(&right, stage.limit(super::GONE_SECONDS))?;
    Ok(Figures::from([("metMs".to_owned(), met), ("messagesMs".to_owned(), talked)]))
}
