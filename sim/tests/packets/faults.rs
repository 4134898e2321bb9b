//! Whatever happens to packets: frames arrive whole, once and in order, or the link closes.

use std::time::Duration;

use hedgerow_core::io::{Lane, LinkLoss};
use hedgerow_core::limits::{FRAGMENTS_EARLY_BYTES_MAX, PAYLOAD_BYTES_MAX};
use hedgerow_core::link::{HandshakeFailure, LinkEnd};
use hedgerow_core::wire::control::CloseCode;
use hedgerow_core::wire::frame::DataFrame;
use hedgerow_netem::{Burst, Shape};
use proptest::prelude::*;

use crate::rig::{Rig, frame};

/// What happens to a link in the middle of it.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// The driver of an end says that its packets have another size.
    Told { end: usize, packet_bytes: usize },
    /// The operating system of an end cuts packets from now on, and nobody says so.
    Cuts { end: usize, at: usize },
}

#[derive(Clone, Debug)]
struct Story {
    packet_bytes: usize,
    shapes: [Shape; 2],
    /// By which end, on which lane, of how many bytes.
    frames: Vec<(usize, Lane, usize)>,
    /// After how many milliseconds.
    changes: Vec<(u64, Change)>,
    seed: u64,
}

fn shape(damage: bool) -> impl Strategy<Value = Shape> {
    let corrupt = if damage { 0..=2_000_u32 } else { 0..=0 };
    let times = (0..=80_u64, 0..=40_u64, 0..=200_u64);
    let luck = (0..=200_000_u32, 0..=100_000_u32, 0..=50_000_u32, corrupt);
    let burst = prop::option::of((1_000..=20_000_u32, 100_000..=500_000_u32));
    (times, prop_oneof![Just(8_000), Just(20_000), Just(170_000)], luck, burst).prop_map(
        |(
            (delay, jitter, late),
            rate,
            (loss_ppm, reorder_ppm, duplicate_ppm, corrupt_ppm),
            burst,
        )| {
            Shape {
                delay: Duration::from_millis(delay),
                jitter: Duration::from_millis(jitter),
                rate_bytes_per_s: Some(rate),
                loss_ppm,
                burst: burst.map(|(begin_ppm, end_ppm)| Burst {
                    begin_ppm,
                    end_ppm,
                    loss_ppm: 900_000,
                }),
                reorder_ppm,
                reorder_delay: Duration::from_millis(late),
                duplicate_ppm,
                corrupt_ppm,
                mtu_bytes: None,
                queue_bytes_max: 1_024,
            }
        },
    )
}

fn packet_bytes() -> impl Strategy<Value = usize> {
    prop_oneof![Just(20), Just(182), Just(244), Just(495), 20..=512_usize]
}

fn story(damage: bool) -> impl Strategy<Value = Story> {
    let lane = prop_oneof![Just(Lane::Realtime), Just(Lane::Normal), Just(Lane::Bulk)];
    let bytes = prop_oneof![8..=64_usize, 8..=1_280_usize, 8..=9_000_usize];
    let frames = prop::collection::vec((0..2_usize, lane, bytes), 1..30);
    let change = prop_oneof![
        (0..2_usize, packet_bytes())
            .prop_map(|(end, packet_bytes)| Change::Told { end, packet_bytes }),
        (0..2_usize, packet_bytes()).prop_map(|(end, at)| Change::Cuts { end, at }),
    ];
    let changes = prop::collection::vec((0..4_000_u64, change), 0..4);
    (packet_bytes(), [shape(damage), shape(damage)], frames, changes, any::<u64>()).prop_map(
        |(packet_bytes, shapes, frames, mut changes, seed)| {
            changes.sort_by_key(|(at, _)| *at);
            Story { packet_bytes, shapes, frames, changes, seed }
        },
    )
}

/// Plays a story for at most three minutes. Gives the rig, and for each end what it was sent.
fn play(story: &Story) -> (Rig, [Vec<DataFrame>; 2]) {
    let Story { packet_bytes, shapes, seed, .. } = story;
    let mut rig = Rig::new(*packet_bytes, false, *shapes, *seed);
    let mut sent = [Vec::new(), Vec::new()];
    for (number, (from, lane, bytes)) in story.frames.iter().enumerate() {
        let frame = frame(*lane, number as u64, *bytes);
        rig.ends[*from].shelf.data.push_back(frame.clone());
        sent[1 - from].push(frame);
    }
    let begin = rig.now;
    for (at, change) in &story.changes {
        let at = begin + Duration::from_millis(*at);
        rig.run_while(at.since(rig.now), |_| true);
        match *change {
            Change::Told { end, packet_bytes } => rig.ends[end].set_packet_bytes(packet_bytes),
            Change::Cuts { end, at } => rig.ends[end].cuts_at = at,
        }
    }
    rig.run_while(Duration::from_secs(180), |rig| {
        let is_over =
            |end: usize| rig.ends[end].data.len() >= sent[end].len() || rig.ends[end].end.is_some();
        for end in &rig.ends {
            let held = end.link.packets().unwrap().held_bytes;
            let most = FRAGMENTS_EARLY_BYTES_MAX + 3 * 2 * PAYLOAD_BYTES_MAX;
            assert!(held <= most, "{held} bytes are held");
        }
        !(is_over(0) && is_over(1))
    });
    (rig, sent)
}

/// Each lane's frames that came are the first ones that were sent.
fn check_lanes(rig: &Rig, sent: &[Vec<DataFrame>; 2]) {
    for (end, sent) in rig.ends.iter().zip(sent) {
        for lane in Lane::DATA {
            let of_lane = |frames: &[DataFrame]| {
                let frames = frames.iter().filter(|frame| frame.lane == lane);
                frames.cloned().collect::<Vec<_>>()
            };
            let (came, sent) = (of_lane(&end.data), of_lane(sent));
            assert!(came.len() <= sent.len(), "{} frames of {}", came.len(), sent.len());
            for (at, (came, sent)) in came.iter().zip(&sent).enumerate() {
                assert!(came == sent, "frame {at} of {lane:?}");
            }
        }
    }
}

fn cases(default: u32) -> ProptestConfig {
    let cases = std::env::var("HEDGEROW_TEST_CASES").ok();
    let cases = cases.map_or(default, |cases| cases.parse().expect("a number of cases"));
    ProptestConfig { cases, max_shrink_iters: 2_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn all_frames_arrive_whatever_is_lost_doubled_reordered_or_cut(story in story(false)) {
        let (rig, sent) = play(&story);
        check_lanes(&rig, &sent);
        // A foul time lasts some packets, however few are sent: probes alone may not outlive it. And
        // where more than one packet in twenty is lost, a handshake may need more than its time.
        let is_silent = rig.ends.iter().any(|end| {
            let timed_out = LinkEnd::Handshake(HandshakeFailure::TimedOut);
            let (code, retry_after) = (CloseCode::Stalled, Duration::ZERO);
            let by_peer = LinkEnd::ByPeer { code, retry_after };
            let quiet = [LinkEnd::Silent, LinkEnd::Stalled, timed_out, by_peer];
            end.end.as_ref().is_some_and(|end| quiet.contains(end))
        });
        let is_rough = |shape: &Shape| shape.burst.is_some() || shape.loss_ppm > 50_000;
        if is_silent && story.shapes.iter().any(is_rough) {
            return Ok(());
        }
        for (end, sent) in rig.ends.iter().zip(&sent) {
            let ends = rig.ends.each_ref().map(|end| &end.end);
            prop_assert!(end.end.is_none(), "{ends:?} at {:?}", rig.now);
            prop_assert_eq!(end.data.len(), sent.len());
        }
    }

    #[test]
    fn damaged_packets_alter_no_frame_and_a_link_that_closes_says_why(story in story(true)) {
        let (rig, sent) = play(&story);
        check_lanes(&rig, &sent);
        let ended = rig.ends.iter().any(|end| end.end.is_some());
        for (end, sent) in rig.ends.iter().zip(&sent) {
            prop_assert!(ended || end.data.len() == sent.len(), "it got no further");
            let lost = matches!(end.end, Some(LinkEnd::Lost(LinkLoss::ClosedByRemote)));
            prop_assert!(!lost, "no driver said so");
        }
    }
}
