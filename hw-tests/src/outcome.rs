//! How a scenario ended, and what a run comes to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a scenario measured: told, never judged.
pub(crate) type Figures = BTreeMap<String, Value>;

/// How a scenario ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Pass,
    Fail,
    Skip,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
        })
    }
}

/// One scenario's line in the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    pub(crate) scenario: String,
    pub(crate) result: Verdict,
    pub(crate) wall_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) figures: Figures,
}

impl Outcome {
    /// What a scenario returned, as a line.
    pub(crate) fn of(scenario: &str, wall: Duration, played: anyhow::Result<Figures>) -> Self {
        let (result, reason, figures) = match played {
            Ok(figures) => (Verdict::Pass, None, figures),
            Err(error) => match error.downcast_ref::<Skip>() {
                Some(Skip(reason)) => (Verdict::Skip, Some(reason.clone()), Figures::new()),
                None => (Verdict::Fail, Some(format!("{error:#}")), Figures::new()),
            },
        };
        let wall_ms = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        Self { scenario: scenario.to_owned(), result, wall_ms, reason, figures }
    }
}

/// The error of a scenario that this rig cannot play.
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// The last line of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename = "summary")]
pub(crate) struct Summary {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Summary {
    pub(crate) fn of(outcomes: &[Outcome]) -> Self {
        let count = |verdict| outcomes.iter().filter(|o| o.result == verdict).count();
        Self {
            passed: count(Verdict::Pass),
            failed: count(Verdict::Fail),
            skipped: count(Verdict::Skip),
        }
    }

    /// 1 if anything failed; 77 if nothing did and something was skipped.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self { failed: 1.., .. } => 1,
            Self { skipped: 1.., .. } => 77,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn ended(played: anyhow::Result<Figures>) -> Outcome {
        Outcome::of("ble-graph", Duration::from_millis(1_500), played)
    }

    #[test]
    fn a_skip_is_told_from_a_failure_and_both_have_their_reason() {
        let skipped = ended(Err(Skip("no second adapter".to_owned()).into()));
        assert_eq!((skipped.result, skipped.reason.as_deref()), {
            (Verdict::Skip, Some("no second adapter"))
        });
        let failed = ended(Err(anyhow!("timed out").context("no peer")));
        assert_eq!((failed.result, failed.reason.as_deref()), {
            (Verdict::Fail, Some("no peer: timed out"))
        });
    }

    #[test]
    fn a_line_is_the_same_after_the_way_through_json() {
        let passed = ended(Ok(Figures::from([("foundMs".to_owned(), Value::from(12.5))])));
        let line = serde_json::to_string(&passed).unwrap();
        let expected =
            r#"{"scenario":"ble-graph","result":"pass","wallMs":1500,"figures":{"foundMs":12.5}}"#;
        assert_eq!(line, expected);
        assert_eq!(serde_json::from_str::<Outcome>(&line).unwrap(), passed);
        let failed = ended(Err(anyhow!("a \"quoted\"\nreason")));
        let line = serde_json::to_string(&failed).unwrap();
        assert!(!line.contains('\n'), "{line}");
        assert_eq!(serde_json::from_str::<Outcome>(&line).unwrap(), failed);
    }

    #[test]
    fn a_failure_goes_over_a_skip_and_a_skip_over_success() {
        let pass = ended(Ok(Figures::new()));
        let skip = ended(Err(Skip("why".to_owned()).into()));
        let fail = ended(Err(anyhow!("why")));
        let code = |outcomes: &[&Outcome]| {
            let outcomes: Vec<Outcome> = outcomes.iter().map(|o| (*o).clone()).collect();
            Summary::of(&outcomes).exit_code()
        };
        assert_eq!(code(&[]), 0);
        assert_eq!(code(&[&pass, &pass]), 0);
        assert_eq!(code(&[&pass, &skip]), 77);
        assert_eq!(code(&[&pass, &skip, &fail]), 1);
        let summary = Summary::of(&[pass, skip, fail]);
        let line = r#"{"event":"summary","passed":1,"failed":1,"skipped":1}"#;
        assert_eq!(serde_json::to_string(&summary).unwrap(), line);
    }
}
