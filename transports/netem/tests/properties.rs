//! What holds for every pipe, whatever its shape and whatever is sent when.

use std::time::Duration;

use hedgerow_netem::{Counters, PPM, Pipe, Shape, Verdict};
use proptest::prelude::*;

/// An item to send: after which pause, and how large.
type Step = (Duration, usize);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pause = prop_oneof![Just(0), 0_u64..100_000].prop_map(Duration::from_micros);
    prop::collection::vec((pause, 0_usize..3_000), 1..120)
}

fn shape() -> impl Strategy<Value = Shape> {
    (
        0_u64..200_000,
        0_u64..200_000,
        prop::option::of(1_u64..2_000_000),
        prop_oneof![Just(0), Just(PPM), 0..=PPM],
        prop::option::of(0_usize..3_000),
        0_usize..10_000,
    )
        .prop_map(|(delay, jitter, rate_bytes_per_s, loss_ppm, mtu_bytes, queue_bytes_max)| {
            Shape {
                delay: Duration::from_micros(delay),
                jitter: Duration::from_micros(jitter),
                rate_bytes_per_s,
                loss_ppm,
                mtu_bytes,
                queue_bytes_max,
            }
        })
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

proptest! {
    #[test]
    fn order_is_kept_whatever_the_jitter(shape in shape(), steps in steps(), seed: u64) {
        let arrivals = send_all(&mut Pipe::new(shape, seed), &steps);
        prop_assert!(arrivals.is_sorted_by(|a, b| a.1 < b.1 && a.0 <= b.0));
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
            match pipe.send(now, bytes, bytes) {
                Verdict::Queued => expected.sent += 1,
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
                expected.delivered += u64::from(pipe.poll(now).is_some());
            }
            prop_assert_eq!(pipe.counters(), expected);
            let on_the_way = expected.sent - expected.delivered - expected.lost;
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
