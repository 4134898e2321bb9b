//! What a host that does not look is owed all the same.

use alloc::collections::BTreeSet;

use super::*;
use crate::limits::{TRACE_HOP_TIMEOUT, TRACES_MAX};

/// What the host of 0 finds when it looks at last.
fn look(world: &mut World) -> Vec<Event> {
    let outputs = core::iter::from_fn(|| world.node(0).poll_output());
    let event = |output| if let Output::Event(event) = output { Some(event) } else { None };
    outputs.filter_map(event).collect()
}

fn flood(world: &mut World) {
    for number in 0..2 * EVENTS_MAX as u64 {
        nuisance(world, number);
    }
}

#[test]
fn the_epoch_to_persist_is_told_whatever_else_happens_and_only_the_newest() {
    let mut world = World::new(1, &[]);
    look(&mut world);
    world.node(0).outputs.epoch_stepped(7);
    flood(&mut world);
    world.node(0).outputs.epoch_stepped(9);
    flood(&mut world);
    let events = look(&mut world);
    let epochs: Vec<u64> = events
        .iter()
        .filter_map(|event| match event {
            Event::EpochStepped(epoch) => Some(*epoch),
            _ => None,
        })
        .collect();
    assert_eq!(epochs, [9]);
    assert!(events.iter().any(|event| matches!(event, Event::Overflow(_))));
}

#[test]
fn every_trace_has_its_end_though_its_host_looks_late_and_counts_until_then() {
    let mut world = World::line(2);
    world.converge();
    let now = world.now;
    let traces: Vec<TraceId> =
        (0..TRACES_MAX).map(|_| world.node(0).trace(now, key(1)).unwrap()).collect();
    // Nobody answers over as many hops as there may be, and the host does not look meanwhile.
    while world.node(0).traces.next_timeout().is_some() {
        world.now += TRACE_HOP_TIMEOUT;
        let now = world.now;
        world.node(0).handle_input(now, Input::Timeout);
    }
    flood(&mut world);
    let now = world.now;
    assert!(matches!(world.node(0).trace(now, key(1)), Err(TraceError::TooMany { .. })));

    world.node(0).cancel_trace(traces[0]);
    assert!(world.node(0).trace(now, key(1)).is_ok(), "its end is not waited for");
    let ended: BTreeSet<u32> = look(&mut world)
        .iter()
        .filter_map(|event| match event {
            Event::Trace(TraceEvent::Done { trace, end: TraceEnd::NoAnswer }) => Some(trace.0),
            _ => None,
        })
        .collect();
    assert_eq!(ended, traces[1..].iter().map(|trace| trace.0).collect());
    for _ in 1..TRACES_MAX {
        world.node(0).trace(now, key(1)).unwrap();
    }
}
