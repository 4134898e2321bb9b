//! What holds for every pipe, whatever its shape and whatever is sent when.

use std::time::Duration;

use hedgerow_netem::{Arrival, Burst, Counters, PPM, Pipe, Shape, Verdict};
use proptest::prelude::*;

/// An item to send: after which pause, and how large.
type Step = (Duration, usize);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pause = prop_oneof![Just(0), 0_u64..100_000].prop_map(Duration::from_micros);
    prop::collection::vec((pause, 0_usize..3_000), 1..120)
}

fn ppm() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(PPM), 0..=PPM]
}

fn burst() -> impl Strategy<Value = Option<Burst>> {
    let burst = (ppm(), ppm(), ppm());
    prop::option::of(burst.prop_map(|(begin_ppm, end_ppm, loss_ppm)| Burst {
        begin_ppm,
        end_ppm,
        loss_ppm,
    }))
}

fn figures() -> impl Strategy<Value = Shape> {
    (
        0_u64..200_000,
        0_u64..200_000,
        prop::option::of(1_u64..2_000_000),
        prop::option::of(0_usize..3_000),
        0_usize..10_000,
    )
        .prop_map(|(delay, jitter, rate_bytes_per_s, mtu_bytes, queue_bytes_max)| Shape {
            delay: Duration::from_micros(delay),
            jitter: Duration::from_micros(jitter),
            rate_bytes_per_s,
            mtu_bytes,
            queue_bytes_max,
            ..Shape::perfect()
        })
}

fn shape() -> impl Strategy<Value = Shape> {
    let mischief = (ppm(), burst(), ppm(), 0_u64..300_000, ppm(), ppm());
    (figures(), mischief).prop_map(
        |(figures, (loss_ppm, burst, reorder_ppm, reorder_delay, duplicate_ppm, corrupt_ppm))| {
            Shape {
                loss_ppm,
                burst,
                reorder_ppm,
                reorder_delay: Duration::from_micros(reorder_delay),
                duplicate_ppm,
                corrupt_ppm,
                ..figures
            }
        },
    )
}

/// Sends every step, waiting for room first; gives the arrivals as (when, which).
fn send_all(pipe: &mut Pipe<usize>, steps: &[Step]) -> Vec<(Duration, usize)> {
    let mut now = Duration::ZERO;
    let mut arrivals = Vec::new();
    for (number, &(pause, bytes)) in steps.iter().enumerate() {
        now = (now + pause).max(pipe.writable_at(bytes));
        receive_until(pipe, now, &mut arrivals);
        let verdict = pipe.send(now, bytes, number);
        assert!(!matches!(verdict, Verdict::Full(_)), "full after writable_at");
    }
    receive_until(pipe, Duration::MAX, &mut arrivals);
    arrivals
}

fn receive_until(pipe: &mut Pipe<usize>, until: Duration, to: &mut Vec<(Duration, usize)>) {
    while let Some(at) = pipe.next_timeout().filter(|&at| at <= until) {
        if let Some(before) = at.checked_sub(Duration::from_nanos(1)) {
            assert_eq!(pipe.poll(before), None, "too early");
        }
        to.push((at, pipe.poll(at).expect("something arrives at the next timeout")));
    }
}

/// What becomes of each step, without regard to when it leaves the line: none, one or two times
/// (how long it took, whether it is damaged and how).
fn fates(shape: Shape, steps: &[Step], seed: u64, until: usize, first: Shape) -> Vec<String> {
    let mut pipe = Pipe::new(first, seed);
    let mut now = Duration::ZERO;
    let mut fates = Vec::new();
    for (number, &(_, bytes)) in steps.iter().enumerate() {
        // Nothing of one item is left when the next one is sent.
        now += Duration::from_secs(3_600);
        if number == until {
            pipe.set_shape(now, shape);
            pipe.mend();
        }
        let _ = pipe.send(now, bytes, ());
        let mut fate = String::new();
        while let Some(at) = pipe.next_timeout() {
            let Arrival { damage, .. } = pipe.poll_arrival(at).expect("something arrives");
            fate.push_str(&format!("{:?} {damage:?};", at - now));
        }
        fates.push(fate);
    }
    fates.split_off(until.min(fates.len()))
}

proptest! {
    #[test]
    fn order_is_kept_whatever_the_jitter_where_nothing_is_reordered(
        shape in shape(),
        steps in steps(),
        seed: u64,
    ) {
        let shape = Shape { reorder_ppm: 0, ..shape };
        let arrivals = send_all(&mut Pipe::new(shape, seed), &steps);
        prop_assert!(arrivals.is_sorted_by(|a, b| a.1 <= b.1 && a.0 <= b.0));
    }

    #[test]
    fn arrivals_never_go_back_in_time(shape in shape(), steps in steps(), seed: u64) {
        let arrivals = send_all(&mut Pipe::new(shape, seed), &steps);
        prop_assert!(arrivals.is_sorted_by(|a, b| a.0 <= b.0));
    }

    #[test]
    fn nobody_is_later_than_the_shape_allows(
        shape in shape(),
        steps in steps(),
        seed: u64,
    ) {
        let faithful = Shape { reorder_ppm: 0, loss_ppm: 0, burst: None, ..shape };
        let in_turn = send_all(&mut Pipe::new(faithful, seed), &steps);
        for (at, number) in send_all(&mut Pipe::new(shape, seed), &steps) {
            let latest = in_turn.iter().rev().find(|(_, other)| *other == number);
            prop_assert!(at <= latest.expect("nothing is lost").0 + shape.reorder_delay);
        }
    }

    #[test]
    fn a_faithful_shape_carries_everything_once_in_order_and_unharmed(
        figures in figures(),
        steps in steps(),
        seed: u64,
    ) {
        let figures = Shape { mtu_bytes: None, ..figures };
        prop_assert!(figures.is_faithful());
        let mut pipe = Pipe::new(figures, seed);
        let numbers: Vec<_> =
            send_all(&mut pipe, &steps).into_iter().map(|(_, number)| number).collect();
        prop_assert_eq!(numbers, (0..steps.len()).collect::<Vec<_>>());
        prop_assert_eq!(pipe.counters().damaged, 0);
    }

    #[test]
    fn the_past_does_not_change_the_luck_of_later_items(
        past in shape(),
        present in shape(),
        steps in steps(),
        seed: u64,
        until in any::<prop::sample::Index>(),
    ) {
        // Bursts are what ties items together, so the two have that in common.
        let past = Shape { burst: present.burst, ..past };
        let until = until.index(steps.len());
        // What is too big is not sent, and takes no luck.
        let (past, present) = (Shape { mtu_bytes: None, ..past }, Shape { mtu_bytes: None, ..present });
        prop_assert_eq!(
            fates(present, &steps, seed, until, past),
            fates(present, &steps, seed, until, present)
        );
    }

    #[test]
    fn what_differs_in_one_respect_is_the_same_in_others(
        shape in shape(),
        steps in steps(),
        seed: u64,
    ) {
        let arrivals = |shape| {
            let mut pipe = Pipe::new(shape, seed);
            let arrivals = send_all(&mut pipe, &steps);
            (arrivals, pipe.counters())
        };
        let (plain, counted) = arrivals(shape);
        let unharmed = arrivals(Shape { corrupt_ppm: 0, ..shape });
        prop_assert_eq!((&plain, counted.lost), (&unharmed.0, unharmed.1.lost));
        let (_, single) = arrivals(Shape { duplicate_ppm: 0, ..shape });
        prop_assert_eq!(single.lost, counted.lost);
        let lost = |loss_ppm| fates(Shape { loss_ppm, ..shape }, &steps, seed, 0, shape);
        for (some, all) in lost(shape.loss_ppm).iter().zip(lost(0)) {
            prop_assert!(some.is_empty() || *some == all);
        }
    }

    #[test]
    fn every_item_sent_is_delivered_lost_or_on_its_way(
        shape in shape(),
        steps in steps(),
        seed: u64,
        cut_at in any::<prop::sample::Index>(),
    ) {
        let mut pipe = Pipe::new(shape, seed);
        let mut expected = Counters::default();
        let mut now = Duration::ZERO;
        let cut_at = cut_at.index(steps.len());
        for (number, &(pause, bytes)) in steps.iter().enumerate() {
            now += pause;
            if number == cut_at {
                expected.lost += pipe.len() as u64;
                pipe.cut();
            }
            let doubled = pipe.counters().duplicated;
            match pipe.send(now, bytes, bytes) {
                Verdict::Queued => {
                    expected.sent += 1;
                    expected.duplicated += u64::from(pipe.counters().duplicated > doubled);
                }
                Verdict::Lost => {
                    expected.sent += 1;
                    expected.lost += 1;
                }
                Verdict::TooBig(_) => expected.too_big += 1,
                Verdict::Full(_) => expected.full += 1,
            }
            if number == cut_at + 10 {
                pipe.mend();
            }
            if number % 3 == 0 {
                let arrival = pipe.poll_arrival(now);
                expected.delivered += u64::from(arrival.is_some());
                expected.damaged += u64::from(arrival.is_some_and(|it| it.damage.is_some()));
            }
            prop_assert_eq!(pipe.counters(), expected);
            let on_the_way =
                expected.sent + expected.duplicated - expected.delivered - expected.lost;
            prop_assert_eq!(pipe.len() as u64, on_the_way);
            prop_assert_eq!(pipe.is_empty(), on_the_way == 0);
        }
        let mut bytes_left = pipe.bytes_len();
        while let Some(bytes) = pipe.poll(Duration::MAX) {
            bytes_left -= bytes;
        }
        prop_assert_eq!(bytes_left, 0);
    }

    #[test]
    fn the_same_seed_gives_the_same_result(shape in shape(), steps in steps(), seed: u64) {
        let first = send_all(&mut Pipe::new(shape, seed), &steps);
        prop_assert_eq!(first, send_all(&mut Pipe::new(shape, seed), &steps));
    }

    #[test]
    fn without_rate_and_jitter_each_item_takes_exactly_the_delay(
        delay in 0_u64..10_000_000,
        steps in steps(),
    ) {
        let delay = Duration::from_micros(delay);
        let mut pipe = Pipe::new(Shape { delay, ..Shape::perfect() }, 0);
        let mut sent_at = Duration::ZERO;
        for (arrived_at, number) in send_all(&mut pipe, &steps) {
            sent_at += steps[number].0;
            prop_assert_eq!(arrived_at, sent_at + delay);
        }
    }

    #[test]
    fn a_line_that_is_kept_busy_carries_exactly_its_rate(
        rate in 1_u64..200_000_000,
        queue_bytes_max in 0_usize..10_000,
        sizes in prop::collection::vec(1_usize..3_000, 1..120),
    ) {
        let shape = Shape { rate_bytes_per_s: Some(rate), queue_bytes_max, ..Shape::perfect() };
        let steps: Vec<Step> = sizes.iter().map(|&bytes| (Duration::ZERO, bytes)).collect();
        let mut sum = 0;
        for (arrived_at, number) in send_all(&mut Pipe::new(shape, 0), &steps) {
            sum += sizes[number] as u128;
            prop_assert_eq!(arrived_at.as_micros(), (sum * 1_000_000).div_ceil(rate.into()));
        }
    }

    #[test]
    fn jitter_stays_within_its_bound(seed: u64, jitter in 0_u64..100_000) {
        let jitter = Duration::from_micros(jitter);
        let mut pipe = Pipe::new(Shape { jitter, ..Shape::lan() }, seed);
        assert_eq!(pipe.send(Duration::ZERO, 0, ()), Verdict::Queued);
        let extra = pipe.next_timeout().unwrap() - Shape::lan().delay;
        prop_assert!(extra <= jitter);
    }

    #[test]
    fn what_waits_for_the_line_stays_within_the_queue(
        queue_bytes_max in 0_usize..10_000,
        steps in steps(),
    ) {
        let shape =
            Shape { rate_bytes_per_s: Some(10_000), queue_bytes_max, ..Shape::perfect() };
        let mut pipe = Pipe::new(shape, 0);
        let mut now = Duration::ZERO;
        for (pause, bytes) in steps {
            now += pause;
            if pipe.send(now, bytes, ()) == Verdict::Queued {
                let bytes_max = queue_bytes_max.max(bytes) as u64;
                prop_assert!(pipe.writable_at(usize::MAX) <= now + Duration::from_micros(100 * bytes_max));
            } else {
                prop_assert!(now < pipe.writable_at(bytes));
            }
        }
    }
}

#[test]
fn loss_comes_as_often_as_asked() {
    let mut pipe = Pipe::new(Shape { loss_ppm: 50_000, ..Shape::perfect() }, 1);
    for _ in 0..100_000 {
        let _ = pipe.send(Duration::ZERO, 1, ());
    }
    let lost = pipe.counters().lost;
    assert!((4_700..5_300).contains(&lost), "{lost} of 100,000 lost at 5 %");
}

#[test]
fn losses_come_in_bursts_as_long_and_as_often_as_asked() {
    let burst = Burst { begin_ppm: 10_000, end_ppm: 200_000, loss_ppm: PPM };
    let mut pipe = Pipe::new(Shape { burst: Some(burst), ..Shape::perfect() }, 1);
    let (mut bursts, mut in_burst) = (0, false);
    for _ in 0..200_000 {
        let is_lost = pipe.send(Duration::ZERO, 1, ()) == Verdict::Lost;
        bursts += u64::from(is_lost && !in_burst);
        in_burst = is_lost;
    }
    // Of the time, 0.01 / (0.01 + 0.2) is foul; a foul time lasts five items.
    let lost = pipe.counters().lost;
    assert!((9_000..10_050).contains(&lost), "{lost} of 200,000 lost, not 4.8 %");
    assert!((43..57).contains(&(lost * 10 / bursts)), "{bursts} bursts of {lost}");
}

#[test]
fn what_may_happen_happens_as_often_as_asked() {
    let shape = Shape {
        reorder_ppm: 20_000,
        reorder_delay: Duration::from_millis(10),
        duplicate_ppm: 30_000,
        corrupt_ppm: 40_000,
        ..Shape::perfect()
    };
    let mut pipe = Pipe::new(shape, 1);
    let steps = vec![(Duration::from_millis(1), 1); 50_000];
    let arrivals = send_all(&mut pipe, &steps);
    let mut highest = 0;
    let overtaken = arrivals.iter().filter(|(_, number)| {
        highest = highest.max(*number);
        *number < highest
    });
    let overtaken = overtaken.count();
    // One late by less than the pause is not overtaken.
    assert!((820..1_060).contains(&overtaken), "{overtaken} overtaken, not about 940");
    let Counters { duplicated, damaged, .. } = pipe.counters();
    assert!((1_350..1_650).contains(&duplicated), "{duplicated} doubled, not 1,500");
    assert!((1_880..2_240).contains(&damaged), "{damaged} damaged, not 2,060");
}

#[test]
fn a_slower_line_makes_what_follows_wait_and_leaves_what_is_on_its_way() {
    let mut pipe = Pipe::new(Shape::slow_radio(), 0);
    let now = Duration::ZERO;
    assert_eq!(pipe.send(now, 1_000, 1), Verdict::Queued);
    pipe.set_shape(now, Shape { rate_bytes_per_s: Some(1_000), ..Shape::slow_radio() });
    assert_eq!(pipe.send(now, 500, 2), Verdict::Queued);
    assert_eq!(pipe.next_timeout(), Some(Duration::from_millis(80)));
    assert_eq!(pipe.poll(Duration::from_millis(80)), Some(1));
    assert_eq!(pipe.next_timeout(), Some(Duration::from_millis(1_530)));
    // 1,536 bytes may wait, of which 1,500 do.
    assert_eq!(pipe.writable_at(36), Duration::ZERO);
    assert_eq!(pipe.writable_at(37), Duration::from_millis(1));
}

#[test]
fn a_smaller_mtu_holds_from_then_on() {
    let mut pipe = Pipe::new(Shape::lan(), 0);
    assert_eq!(pipe.send(Duration::ZERO, 245, 'x'), Verdict::Queued);
    pipe.set_shape(Duration::ZERO, Shape { mtu_bytes: Some(244), ..Shape::lan() });
    assert_eq!(pipe.send(Duration::ZERO, 245, 'y'), Verdict::TooBig('y'));
    assert_eq!(pipe.poll(Duration::from_secs(1)), Some('x'));
}

#[test]
fn a_cut_of_one_direction_leaves_the_other() {
    let mut ways = [Pipe::new(Shape::lan(), 0), Pipe::new(Shape::lan(), 1)];
    ways[0].cut();
    assert_eq!(ways[0].send(Duration::ZERO, 1, ()), Verdict::Lost);
    assert_eq!(ways[1].send(Duration::ZERO, 1, ()), Verdict::Queued);
    assert_eq!(ways[1].poll(Duration::from_secs(1)), Some(()));
}

#[test]
fn another_seed_gives_another_result() {
    let steps = [(Duration::from_secs(1), 1); 50];
    let run =
        |seed| send_all(&mut Pipe::new(Shape { loss_ppm: PPM / 2, ..Shape::lan() }, seed), &steps);
    assert_ne!(run(1), run(2));
}

#[test]
fn items_over_the_mtu_come_back_and_take_no_time() {
    let shape = Shape { mtu_bytes: Some(244), ..Shape::slow_radio() };
    let mut pipe = Pipe::new(shape, 0);
    assert_eq!(pipe.send(Duration::ZERO, 245, 'x'), Verdict::TooBig('x'));
    assert_eq!(pipe.writable_at(usize::MAX), Duration::ZERO);
    assert_eq!(pipe.send(Duration::ZERO, 244, 'y'), Verdict::Queued);
}

#[test]
fn a_cut_loses_what_is_on_its_way_and_a_mended_pipe_carries_again() {
    let mut pipe = Pipe::new(Shape::slow_radio(), 0);
    assert_eq!(pipe.send(Duration::ZERO, 10, 1), Verdict::Queued);
    pipe.cut();
    assert_eq!(pipe.next_timeout(), None);
    assert_eq!(pipe.send(Duration::ZERO, 10, 2), Verdict::Lost);
    pipe.mend();
    assert_eq!(pipe.send(Duration::ZERO, 10, 3), Verdict::Queued);
    assert_eq!(pipe.poll(Duration::from_secs(1)), Some(3));
    assert_eq!(pipe.poll(Duration::from_secs(1)), None);
}

#[test]
#[should_panic(expected = "at least one byte a second")]
fn a_rate_of_zero_is_refused() {
    let _ = Pipe::<()>::new(Shape { rate_bytes_per_s: Some(0), ..Shape::lan() }, 0);
}

#[test]
#[should_panic(expected = "more than there are")]
fn a_chance_over_certainty_is_refused() {
    Pipe::<()>::new(Shape::lan(), 0)
        .set_shape(Duration::ZERO, Shape { corrupt_ppm: PPM + 1, ..Shape::lan() });
}
