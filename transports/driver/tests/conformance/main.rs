//! The suite finds a driver that breaks a rule, and finds nothing in one that does not.

mod board;
mod fault;
mod link;
mod wire;

use std::collections::HashSet;

use board::{Kind, Patch};
use fault::Fault;
use hedgerow_driver::conformance::{Check, Verdict, assert_all};

#[tokio::test(start_paused = true)]
async fn a_driver_that_keeps_every_rule_passes() {
    for is_sighted in [false, true] {
        for kind in [Kind::Stream, Kind::Ordered, Kind::Open] {
            let findings = assert_all(|_| Patch::new(kind, None, is_sighted)).await;
            for (check, verdict) in findings.0 {
                let is_tried = is_sighted || check != Check::Sightings;
                assert_eq!(verdict == Verdict::Kept, is_tried, "{kind:?} {check:?}: {verdict:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_suite_finds_a_driver_that_breaks_a_rule() {
    let of_streams = fault::ALL.map(|(fault, check, words)| (fault, Kind::Stream, check, words));
    let mut missed = Vec::new();
    for (fault, kind, check, words) in of_streams.into_iter().chain(fault::OF_PACKETS) {
        let patch = Patch::new(kind, Some(fault), check == Check::Sightings);
        match check.run(patch).await {
            Verdict::Broken(what) if what.contains(words) => {}
            other => missed.push(format!("{fault:?}, {kind:?}: not {words:?}, but {other:?}")),
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn every_check_finds_something() {
    let finding: HashSet<Check> = fault::ALL.into_iter().map(|(_, check, _)| check).collect();
    for check in Check::ALL {
        assert!(finding.contains(&check), "no faulty driver shows that {check:?} can fail");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_names_the_rule_and_what_happened() {
    let make = |_| Patch::new(Kind::Stream, Some(Fault::DropsChunks), false);
    let panic = tokio::spawn(async move { assert_all(make).await }).await.unwrap_err();
    let panic = panic.into_panic();
    let text = panic.downcast_ref::<String>().expect("a message");
    assert!(text.contains("\nOrder                  BROKEN: here: byte "), "{text}");
    assert!(text.contains("\nProfile                kept\n"), "{text}");
}
