//! Two hundred fixed seeds: worlds of 3 to 20 nodes in which everything goes wrong.

use hedgerow_sim::scenario::{Given, Scenario};
use hedgerow_sim::story::Story;

fn play(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let report = Story::new(Scenario::draw(seed, Given::default())).play();
        if let Some(failure) = report.failure {
            panic!("{failure}seed={seed} checker={}", failure.checker);
        }
    }
}

#[test]
fn the_first_fifty_worlds_keep_their_promises() {
    play(1..51);
}

#[test]
fn the_second_fifty_worlds_keep_their_promises() {
    play(51..101);
}

#[test]
fn the_third_fifty_worlds_keep_their_promises() {
    play(101..151);
}

#[test]
fn the_fourth_fifty_worlds_keep_their_promises() {
    play(151..201);
}
