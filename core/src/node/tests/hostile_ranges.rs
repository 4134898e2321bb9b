//! Questions about ranges of adverts without end: the dearest thing a neighbour can ask.

use super::evil::{head, profile, sign};
use super::*;
use crate::id::Address;
use crate::limits::{
    ASK_AGAIN_AFTER, RANGE_LISTED_MAX, RANGES_MAX, SYNC_BURST, SYNC_BURST_BYTES_MAX,
    SYNC_BURST_BYTES_MIN, SYNC_BYTES_PER_S_MIN, SYNC_IDLE_SHARE, VERIFICATIONS_BURST,
};
use crate::link::Violation;
use crate::wire::advert::AdvertKind;
use crate::wire::control::Control;
use crate::wire::ranges::{Content, Part, Range, Ranges};

/// So many ranges, of which whoever holds anything there holds something else.
fn questions(parts: usize, salt: u8) -> Control {
    let step = 256 / parts;
    let part = |number: usize| {
        let mut last = [0xff; 8];
        last[0] = u8::try_from((number + 1) * step - 1).unwrap();
        Part { last: Address::from_bytes(last), content: Content::Fingerprint([salt; 8]) }
    };
    let mut parts: Vec<Part> = (0..parts).map(part).collect();
    parts.last_mut().unwrap().last = Range::ALL.last;
    Control::Ranges(Ranges { first: Range::ALL.first, parts })
}

/// What a neighbour may be told of adverts and ranges in `time`, at most.
fn budget(rate_bytes_per_s: u64, time: Duration) -> u64 {
    let burst = rate_bytes_per_s * SYNC_BURST.as_secs() / 2;
    let burst = burst.clamp(SYNC_BURST_BYTES_MIN, SYNC_BURST_BYTES_MAX);
    // No data goes to it.
    burst + (rate_bytes_per_s / SYNC_IDLE_SHARE).max(SYNC_BYTES_PER_S_MIN) * time.as_secs()
}

#[test]
fn a_flood_of_questions_about_ranges_is_answered_within_the_budget() {
    let mut world = World::line(12);
    world.converge();
    world.run(Duration::from_secs(2));
    let evil = world.attack(1);
    let (begin, before) = (world.now, world.evils[evil].received);
    for salt in 0..200_u8 {
        for _ in 0..20 {
            world.evils[evil].say(&questions(RANGES_MAX, salt));
        }
        world.run(Duration::from_millis(20));
    }
    let took = world.now.since(begin) + Duration::from_secs(1);
    let told = (world.evils[evil].received - before) as u64;
    let asked = world.evils[evil].sent as u64;
    assert!(told > 0 && told <= budget(1_000_000, took), "{told} bytes to {asked}");
    let listed = world.evils[evil].heard.iter().flat_map(|heard| match heard {
        Control::Ranges(ranges) => ranges.parts.clone(),
        _ => Vec::new(),
    });
    let listed = listed.filter_map(|part| match part.content {
        Content::List(stamps) => Some(stamps.len()),
        Content::Fingerprint(_) => None,
    });
    assert!(listed.max().is_some_and(|most| most <= RANGE_LISTED_MAX), "what is more is split");
    assert!(world.evils[evil].ended.is_none());
    assert!(world.honest(0, 3, Duration::from_secs(1)) < Duration::from_millis(200));
}

#[test]
fn more_ranges_than_one_message_may_have_close_the_link() {
    let mut world = World::line(2);
    world.converge();
    let evil = world.attack(1);
    let bytes = |parts| {
        let mut bytes = Vec::new();
        questions(parts, 1).encode(&mut bytes);
        bytes
    };
    world.evils[evil].words.control.push_back(bytes(RANGES_MAX));
    world.run(Duration::from_secs(1));
    assert_eq!(world.node(1).counters().violations, 0);
    world.evils[evil].words.control.push_back(bytes(RANGES_MAX + 1));
    world.run(Duration::from_secs(1));
    assert_eq!(world.node(1).counters().violations, 1);
    let malformed = |event: &Event| {
        let end = LinkEnd::Violation(Violation::Malformed);
        matches!(event, Event::LinkDown { end: why, .. } if *why == end)
    };
    assert!(world.events[1].iter().any(malformed));
    assert!(world.honest(0, 1, Duration::from_secs(1)) < Duration::from_millis(100));
}

#[test]
fn what_there_was_no_time_to_check_is_asked_for_again_after_a_while() {
    let mut world = World::line(2);
    world.converge();
    world.run(Duration::from_secs(2));
    let evil = world.attack(1);
    world.evils[evil].heard.clear();
    for number in 0..VERIFICATIONS_BURST as usize + 200 {
        let peer = identity(500 + number);
        let about = head(peer.peer_key(), AdvertKind::Profile, 1, 1);
        world.evils[evil].tell(sign(&peer, about, &profile("x").encode()));
    }
    let begin = world.now;
    let asked = |world: &mut World| {
        world.evils[evil].heard.iter().any(|heard| matches!(heard, Control::Want(_)))
    };
    assert!(world.run_until(begin + 3 * ASK_AGAIN_AFTER, asked));
    assert!(world.now.since(begin) >= ASK_AGAIN_AFTER, "{:?}", world.now.since(begin));
    assert!(world.node(1).counters().adverts_deferred > 100);
}
