//! A peer whose radio is in a group of another program says no, which is told with the reason; once
//! that group has ended, the two meet.

use std::time::Instant;

use anyhow::{Context, ensure};

use super::{AGAIN_SECONDS, ms, node, says};
use crate::outcome::Figures;
use crate::scenario::{rig_wifi, talk};
use crate::stage::Stage;
use crate::stage::running::until;

/// From the start of both to the first dial that was refused.
const TOLD_SECONDS: u64 = 90;

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<Figures> {
    // What the two last radios do is none of Hedgerow's: somebody shows a screen, say.
    let others = [stage.radio(1)?, stage.radio(2)?];
    let [groups, _] = rig_wifi::form(stage, &others)?;

    let (busy, _) = node(stage, 1)?;
    says(&busy, &["is in a Wi-Fi Direct group of another program", "end that"])?;
    let (one, radio) = node(stage, 0)?;
    let since = Instant::now();
    until("the refusal is told", stage.limit(TOLD_SECONDS), || {
        Ok(says(&one, &["is not reached over Wi-Fi Direct", "the other device said no"]).is_ok())
    })?;
    let told = ms(since);
    ensure!(stage.supplicant(&radio).group()?.is_none(), "it is in a group all the same");
    let still = stage.supplicant(&others[0]).group()?.context("the others' group ended")?;
    ensure!(still == groups, "another group: {still:?}");

    stage.supplicant(&others[0]).leave(&groups)?;
    let since = Instant::now();
    one.await_peer(&busy, Some(1), stage.limit(AGAIN_SECONDS)).context("when it is free")?;
    let met = ms(since);
    talk::say(stage, &one, &busy, "at last")?;
    Ok(Figures::from([("toldMs".to_owned(), told), ("metMs".to_owned(), met)]))
}
