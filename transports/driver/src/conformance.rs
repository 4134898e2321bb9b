//! Tries a driver on each rule of the contract.
//!
//! The suite plays the node at both ends of a medium, gives commands, reads reports, and says
//! which rule was broken and how. What it needs is a [`Bench`]: how to make two of your drivers
//! that can reach each other, and how to disturb them.
//!
//! ```no_run
//! use hedgerow_driver::conformance::{self, Bench, End, Figures};
//! use hedgerow_driver::{Driver, Endpoint};
//! # struct Pigeons;
//! # impl Pigeons {
//! #     fn release() -> Self { Self }
//! #     fn loft(&self, _: End) -> Box<dyn Driver> { unimplemented!() }
//! #     fn bad_weather(&mut self, _: bool) {}
//! # }
//!
//! impl Bench for Pigeons {
//!     fn driver(&mut self, end: End) -> Box<dyn Driver> { self.loft(end) }
//!     fn endpoint(&self, end: End) -> Option<Endpoint> { Some(Endpoint::new(end.name())) }
//!     fn nowhere(&self) -> Endpoint { Endpoint::new("the moon") }
//!     fn cut(&mut self) { self.bad_weather(true) }
//!     fn mend(&mut self) { self.bad_weather(false) }
//!     fn figures(&self) -> Figures { Figures::default() }
//! }
//!
//! #[tokio::test]
//! async fn pigeons_keep_the_contract() {
//!     conformance::assert_all(|_check| Pigeons::release()).await;
//! }
//! ```
//!
//! Times are tokio's: under `start_paused` a medium in memory is tried in no time. A driver that
//! blocks its thread stops the suite, too; it has no remedy for that.
//!
//! Each check runs on a bench of its own. Rules 1, 5 and 9 are watched with every report of every
//! check, so a driver that breaks one may be found by a check of another name.

mod bench;
mod carrying;
mod dialling;
mod ending;
mod flow;
mod hints;
mod ledger;
mod linking;
mod pair;
mod post;
mod witness;

use std::fmt;

pub use bench::{Bench, End, Figures};

/// A rule of the contract, as the suite tries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Check {
    /// The profile allows a link and a dial, and a dial has a sensible time.
    Profile,
    /// Who advertises is sighted by the other, and is lost when it ends.
    Sightings,
    /// Nobody comes in before the first `Advertise`.
    NobodyBeforeAdvertise,
    /// A link comes up and goes down once at both ends, with reasons, and says nothing later.
    LifeOfALink,
    /// A link carries chunks of its full size and of one byte, and keeps boundaries where it
    /// has some; a packet-shaped one carries packets of every size up to its largest, each as it
    /// was sent.
    Shape,
    /// Bytes arrive whole and in order, in both directions at once; packets without order arrive
    /// each by itself, and no more of them are missing than the medium loses.
    Order,
    /// A node that stops reading bounds what the driver takes, and nothing is lost. Of packets, a
    /// driver holds two that the medium has not accepted.
    BackPressure,
    /// Both nodes stop reading, with commands waiting, and go on: nothing is lost or stuck.
    NodesThatPause,
    /// Links that stand beside each other have numbers of their own and do not mix their bytes.
    LinksDoNotMix,
    /// A dial that cannot succeed is answered once, with a reason.
    DialThatFails,
    /// A dial that is given up before it is up is answered once.
    CancelBeforeUp,
    /// A dial that is given up after its link came up changes nothing.
    CancelAfterUp,
    /// Commands on dials and links that do not exist are harmless.
    Unknown,
    /// A dial without an answer holds up nothing else.
    DialsBesideEachOther,
    /// Hints from neighbours, true and false: of 512 at once, no more than 64 reports of no link
    /// follow, and the driver goes on with its work.
    Hints,
    /// What was accepted before a close arrives, and then the link is down.
    CloseFlushes,
    /// A close ends a link whose other end does not read.
    CloseUnread,
    /// A medium that breaks ends the link at both ends, and a new link can be made.
    Cut,
    /// A driver that is dropped takes everything along; a new one in its place can be reached.
    Restart,
    /// When the commands end, the driver does: in time, with all it started, and for good.
    Shutdown,
    /// The same while its node reads nothing.
    ShutdownUnread,
    /// A driver that cannot work returns an error that says why.
    Hopeless,
}

impl Check {
    /// All checks.
    pub const ALL: [Self; 22] = [
        Self::Profile,
        Self::Sightings,
        Self::NobodyBeforeAdvertise,
        Self::LifeOfALink,
        Self::Shape,
        Self::Order,
        Self::BackPressure,
        Self::NodesThatPause,
        Self::LinksDoNotMix,
        Self::DialThatFails,
        Self::CancelBeforeUp,
        Self::CancelAfterUp,
        Self::Unknown,
        Self::DialsBesideEachOther,
        Self::Hints,
        Self::CloseFlushes,
        Self::CloseUnread,
        Self::Cut,
        Self::Restart,
        Self::Shutdown,
        Self::ShutdownUnread,
        Self::Hopeless,
    ];

    /// Tries it on a fresh bench.
    pub async fn run(self, bench: impl Bench) -> Verdict {
        let tried = match self {
            Self::Profile => linking::profile(bench),
            Self::Sightings => linking::sightings(bench).await,
            Self::NobodyBeforeAdvertise => linking::nobody_before_advertise(bench).await,
            Self::LifeOfALink => linking::life_of_a_link(bench).await,
            Self::Shape => carrying::shape(bench).await,
            Self::Order => carrying::order(bench).await,
            Self::BackPressure => carrying::back_pressure(bench).await,
            Self::NodesThatPause => carrying::nodes_that_pause(bench).await,
            Self::LinksDoNotMix => carrying::links_do_not_mix(bench).await,
            Self::DialThatFails => dialling::that_fails(bench).await,
            Self::CancelBeforeUp => dialling::cancel_before_up(bench).await,
            Self::CancelAfterUp => dialling::cancel_after_up(bench).await,
            Self::Unknown => dialling::unknown(bench).await,
            Self::DialsBesideEachOther => dialling::beside_each_other(bench).await,
            Self::Hints => hints::heeded_with_care(bench).await,
            Self::CloseFlushes => ending::close_flushes(bench).await,
            Self::CloseUnread => ending::close_unread(bench).await,
            Self::Cut => ending::cut(bench).await,
            Self::Restart => ending::restart(bench).await,
            Self::Shutdown => ending::shutdown(bench).await,
            Self::ShutdownUnread => ending::shutdown_unread(bench).await,
            Self::Hopeless => ending::hopeless(bench).await,
        };
        match tried {
            Ok(Tried::Kept) => Verdict::Kept,
            Ok(Tried::Not(why)) => Verdict::NotTried(why),
            Err(Breach(what)) => Verdict::Broken(what),
        }
    }
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The driver keeps the rule.
    Kept,
    /// The bench has not what it takes to try it.
    NotTried(&'static str),
    /// The driver breaks the rule, in a sentence that says how.
    Broken(String),
}

/// The verdict on every check. Its text is a line for each.
#[derive(Clone, Debug)]
pub struct Findings(pub Vec<(Check, Verdict)>);

impl Findings {
    /// Whether no rule was broken.
    #[must_use]
    pub fn conforms(&self) -> bool {
        !self.0.iter().any(|(_, verdict)| matches!(verdict, Verdict::Broken(_)))
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (check, verdict) in &self.0 {
            let name = format!("{check:?}");
            match verdict {
                Verdict::Kept => writeln!(f, "{name:<22} kept")?,
                Verdict::NotTried(why) => writeln!(f, "{name:<22} not tried: {why}")?,
                Verdict::Broken(what) => writeln!(f, "{name:<22} BROKEN: {what}")?,
            }
        }
        Ok(())
    }
}

/// Tries every check, each on a bench that `make` makes for it.
pub async fn try_all<B: Bench>(mut make: impl FnMut(Check) -> B) -> Findings {
    let mut findings = Vec::with_capacity(Check::ALL.len());
    for check in Check::ALL {
        findings.push((check, check.run(make(check)).await));
    }
    Findings(findings)
}

/// [`try_all`], for a test.
///
/// # Panics
/// When a rule is broken; the message has the verdict on every check.
pub async fn assert_all<B: Bench>(make: impl FnMut(Check) -> B) -> Findings {
    let findings = try_all(make).await;
    assert!(findings.conforms(), "the driver breaks the contract:\n\n{findings}");
    findings
}

/// What a check came to that found nothing wrong.
enum Tried {
    Kept,
    Not(&'static str),
}

/// How a rule was broken.
#[derive(Debug)]
struct Breach(String);

/// Breaks off a check unless `holds`.
fn require(holds: bool, breach: impl FnOnce() -> String) -> Result<(), Breach> {
    if holds { Ok(()) } else { Err(Breach(breach())) }
}
