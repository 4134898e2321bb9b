//! The limits of packet-shaped links, reached on purpose.

use std::time::Duration;

use hedgerow_core::io::Lane;
use hedgerow_core::limits::{
    FRAGMENT_ACK_DELAY, FRAGMENT_ACK_EVERY, FRAGMENTS_EARLY_BYTES_MAX, FRAGMENTS_STALLED,
    FRAGMENTS_WINDOW, PACKET_BYTES_MAX, PACKET_BYTES_MIN,
};
use hedgerow_core::link::LinkEnd;
use hedgerow_core::wire::control::{CloseCode, Control};
use hedgerow_core::wire::fragment::Header;
use hedgerow_netem::Shape;

use crate::page::radio;
use crate::rig::{Rig, Seeded, frame};

const TRIP: Duration = Duration::from_millis(60);

/// A clean link that carries bulk data without end.
fn busy(packet_bytes: usize, rate: u64, trip: Duration) -> Rig {
    let mut rig = Rig::up(packet_bytes, false, radio(packet_bytes, rate, trip, 0), 3);
    rig.ends[0].shelf.again = Some(frame(Lane::Bulk, 0, 16_384));
    rig.ends[1].keeps = false;
    rig
}

#[test]
fn no_more_fragments_are_under_way_than_numbers_tell_apart() {
    let window = usize::from(FRAGMENTS_WINDOW);
    let mut rig = busy(20, 170_000, Duration::from_millis(400));
    let mut most = 0;
    for _ in 0..2_000 {
        rig.run(Duration::from_millis(5));
        most = most.max(rig.ends[0].link.packets().unwrap().under_way_bytes);
    }
    // A fragment or two of the control lane beside them.
    assert!((window * 20..=(window + 4) * 20).contains(&most), "{most} bytes");
    let per_s = rig.ends[1].data_bytes as f64 / 10.0;
    assert!(per_s > 0.7 * (window * 18) as f64 / 0.4, "{per_s} bytes a second");
}

#[test]
fn eight_fragments_are_acknowledged_together_and_none_waits_longer_than_it_may() {
    for packet_bytes in [20, 244, 495] {
        let mut rig = busy(packet_bytes, 20_000, TRIP);
        rig.run(Duration::from_secs(1));
        let before = rig.ends.each_ref().map(|end| end.sent.packets);
        rig.run(Duration::from_secs(10));
        let [there, back] = [0, 1].map(|end| (rig.ends[end].sent.packets - before[end]) as f64);
        let in_delay = 20_000.0 * FRAGMENT_ACK_DELAY.as_secs_f64() / packet_bytes as f64;
        let together = (in_delay + 1.0).min(f64::from(FRAGMENT_ACK_EVERY)).floor();
        let each = there / back;
        assert!((each - together).abs() < 0.6, "{packet_bytes}: one for {each} of {together}");
    }
}

#[test]
fn a_lane_that_gets_no_further_ends_the_link_though_keepalives_pass() {
    let mut rig = Rig::up(244, false, radio(244, 20_000, TRIP, 0), 3);
    rig.ends[0].loses = Some((Lane::Bulk, None));
    rig.ends[0].shelf.data.push_back(frame(Lane::Bulk, 1, 5_000));
    rig.ends[0].shelf.data.push_back(frame(Lane::Normal, 2, 5_000));
    let begin = rig.now;
    rig.run_while(FRAGMENTS_STALLED * 2, |rig| rig.ends.iter().any(|end| end.end.is_none()));
    assert_eq!(rig.ends[0].end, Some(LinkEnd::Stalled));
    let (code, retry_after) = (CloseCode::Stalled, Duration::ZERO);
    assert_eq!(rig.ends[1].end, Some(LinkEnd::ByPeer { code, retry_after }));
    let after = rig.now.since(begin);
    assert!((FRAGMENTS_STALLED..FRAGMENTS_STALLED + TRIP * 4).contains(&after), "{after:?}");
    assert_eq!(rig.ends[1].data.len(), 1, "the other lane went on");
}

#[test]
fn what_waits_behind_a_missing_fragment_is_bounded_and_comes_again() {
    let mut rig = Rig::up(495, false, radio(495, 170_000, Duration::from_millis(100), 0), 3);
    rig.ends[0].loses = Some((Lane::Bulk, Some(3)));
    for number in 0..20 {
        rig.ends[0].shelf.data.push_back(frame(Lane::Bulk, number, 16_384));
    }
    let mut most = 0;
    for _ in 0..200 {
        rig.run(Duration::from_millis(20));
        most = most.max(rig.ends[1].link.packets().unwrap().held_bytes);
    }
    let crowded = rig.ends[1].link.packets().unwrap().figures.crowded;
    assert!(crowded > 0, "the limit was reached");
    assert!(most > FRAGMENTS_EARLY_BYTES_MAX * 9 / 10, "{most} bytes");
    assert!(most <= FRAGMENTS_EARLY_BYTES_MAX + 2 * 1_980, "{most} bytes");
    rig.ends[0].loses = None;
    rig.run(Duration::from_secs(20));
    assert!(rig.ends.iter().all(|end| end.end.is_none()));
    assert_eq!(rig.ends[1].data.len(), 20);
}

#[test]
fn packets_are_neither_smaller_nor_larger_than_there_are() {
    for (said, is) in [(0, PACKET_BYTES_MIN), (usize::MAX / 4, PACKET_BYTES_MAX)] {
        let shape = radio(is, 100_000, TRIP, 0);
        let mut rig = Rig::new(said, false, [shape, shape], 3);
        for end in &mut rig.ends {
            end.packet_bytes = is;
        }
        rig.ends[0].shelf.data.push_back(frame(Lane::Normal, 1, 9_000));
        rig.run(Duration::from_secs(2));
        assert_eq!(rig.ends[0].link.packets().unwrap().packet_bytes, is);
        assert_eq!(rig.ends[1].data, [frame(Lane::Normal, 1, 9_000)]);
    }
}

#[test]
fn a_reliable_link_repeats_nothing_and_acknowledges_nothing() {
    let mut rig = Rig::up(244, true, radio(244, 20_000, TRIP, 0), 3);
    for number in 0..30 {
        rig.ends[0].shelf.data.push_back(frame(Lane::Normal, number, 1_000));
        rig.ends[1].shelf.data.push_back(frame(Lane::Realtime, number, 10));
    }
    rig.ends[0].set_packet_bytes(495);
    rig.run(Duration::from_secs(30));
    let ends = rig.ends.each_ref().map(|end| &end.end);
    assert_eq!([rig.ends[0].data.len(), rig.ends[1].data.len()], [30, 30], "{ends:?}");
    for end in &rig.ends {
        assert_eq!((end.sent.acks, &end.end), (0, &None));
        assert_eq!(end.link.packets().unwrap().figures.repeated, 0);
    }
    // One that loses a packet after all is closed by whoever misses it.
    rig.ends[0].loses = Some((Lane::Normal, None));
    rig.ends[0].shelf.data.push_back(frame(Lane::Normal, 31, 10));
    rig.run(Duration::from_secs(1));
    rig.ends[0].loses = None;
    rig.ends[0].shelf.data.push_back(frame(Lane::Normal, 32, 10));
    rig.run(Duration::from_secs(1));
    assert!(matches!(rig.ends[1].end, Some(LinkEnd::Violation(_))), "{:?}", rig.ends[1].end);
}

#[test]
fn an_idle_link_costs_what_a_stream_does() {
    for packet_bytes in [20, 244] {
        let mut rig = Rig::up(packet_bytes, false, radio(packet_bytes, 20_000, TRIP, 0), 3);
        rig.run(Duration::from_secs(60));
        let before = rig.ends.each_ref().map(|end| end.sent.bytes);
        rig.run(Duration::from_secs(3_600));
        for (end, before) in rig.ends.iter().zip(before) {
            let per_s = (end.sent.bytes - before) as f64 / 3_600.0;
            // On the smallest packets a keepalive takes two.
            let most = if packet_bytes < 40 { 8.0 } else { 6.0 };
            assert!(per_s <= most, "{packet_bytes}: {per_s} bytes a second");
            assert_eq!(end.link.packets().unwrap().figures.repeated, 0);
        }
    }
}

#[test]
fn a_packet_size_that_shrinks_under_a_frame_in_flight_repeats_the_frame_in_smaller_packets() {
    for (before, after) in [(495, 244), (244, 20), (182, 495)] {
        let mut rig = Rig::up(before, false, radio(before, 20_000, TRIP, 0), 3);
        for number in 0..4 {
            rig.ends[0].shelf.data.push_back(frame(Lane::Normal, number, 3_000));
        }
        rig.ends[0].shelf.control.push_back(Control::BodyHave([1; 32]));
        rig.run(Duration::from_millis(190));
        rig.ends[0].set_packet_bytes(after);
        rig.run(Duration::from_secs(10));
        let expected: Vec<_> = (0..4).map(|number| frame(Lane::Normal, number, 3_000)).collect();
        assert_eq!(rig.ends[1].data, expected);
        assert_eq!(rig.ends[1].control.len(), 1);
    }
}

#[test]
fn packets_that_are_cut_or_dropped_for_their_size_become_smaller() {
    for real in [20, 100, 182, 244, 300] {
        for cuts in [true, false] {
            let mut shape = radio(495, 20_000, TRIP, 0);
            if !cuts {
                shape = Shape { mtu_bytes: Some(real), ..shape };
            }
            let mut rig = Rig::new(495, false, [shape, shape], 3);
            if cuts {
                rig.ends[0].cuts_at = real;
                rig.ends[1].cuts_at = real;
            }
            rig.ends[0].shelf.data.push_back(frame(Lane::Normal, 1, 4_000));
            rig.ends[1].shelf.data.push_back(frame(Lane::Bulk, 2, 4_000));
            rig.run_while(Duration::from_secs(60), |rig| {
                rig.ends.iter().any(|end| end.data.is_empty() && end.end.is_none())
            });
            for end in &rig.ends {
                assert_eq!(end.data.len(), 1, "{real} {cuts}: {:?}", end.end);
                assert!(end.link.packets().unwrap().figures.shrunk > 0);
                assert!(end.link.packets().unwrap().packet_bytes <= real);
            }
            let most = Duration::from_secs(if cuts { 8 } else { 25 });
            assert!(rig.now.since(hedgerow_core::time::Instant::from_millis(1_000)) < most);
        }
    }
}

#[test]
fn a_frame_that_was_begun_is_not_given_up_while_realtime_fills_the_link() {
    let mut rig = Rig::up(244, false, radio(244, 20_000, TRIP, 0), 3);
    rig.ends[1].keeps = false;
    rig.ends[0].shelf.data.push_back(frame(Lane::Normal, 1, 60_000));
    rig.run(Duration::from_secs(1));
    rig.ends[0].shelf.again = Some(frame(Lane::Realtime, 2, 1_000));
    rig.run(FRAGMENTS_STALLED * 4);
    assert!(rig.ends.iter().all(|end| end.end.is_none()), "{:?}", rig.ends[1].end);
    rig.ends[0].shelf.again = None;
    rig.ends[1].keeps = true;
    rig.run(Duration::from_secs(5));
    assert_eq!(rig.ends[1].data.last(), Some(&frame(Lane::Normal, 1, 60_000)));
}

#[test]
fn the_last_words_of_a_busy_link_arrive_and_nothing_follows_them() {
    for loss_ppm in [0, 100_000] {
        let shape = radio(244, 170_000, Duration::from_millis(100), loss_ppm);
        let mut rig = Rig::up(244, false, shape, 3);
        rig.ends[0].shelf.again = Some(frame(Lane::Bulk, 0, 16_384));
        rig.run(Duration::from_secs(2));
        let (now, retry_after) = (rig.now, Duration::from_secs(3));
        rig.ends[0].link.close(now, CloseCode::AtCapacity, retry_after);
        rig.run_while(TRIP * 20, |rig| rig.ends.iter().any(|end| end.end.is_none()));
        assert_eq!(rig.ends[0].end, Some(LinkEnd::Here(CloseCode::AtCapacity)));
        let by_peer = LinkEnd::ByPeer { code: CloseCode::AtCapacity, retry_after };
        assert_eq!(rig.ends[1].end, Some(by_peer), "{loss_ppm}");
        if loss_ppm == 0 {
            assert!(rig.now.since(now) <= TRIP * 4, "{:?}", rig.now.since(now));
        }
        let sent = rig.ends.each_ref().map(|end| end.sent.packets);
        rig.run(Duration::from_secs(5));
        assert_eq!(rig.ends.each_ref().map(|end| end.sent.packets), sent);
    }
}

#[test]
fn a_stranger_makes_a_link_keep_no_more_than_a_message_of_the_handshake() {
    let mut rig = Rig::new(244, false, [radio(244, 170_000, TRIP, 0); 2], 3);
    let end = &mut rig.ends[1];
    for sequence in 1..FRAGMENTS_WINDOW {
        let header =
            Header { lane: Lane::Control, first: false, last: false, ack: false, sequence };
        let packet = [&header.encode()[..], &[7; 242]].concat();
        end.link.handle_bytes(rig.now, &end.local, &mut Seeded(1), packet[..].into());
    }
    let view = end.link.packets().unwrap();
    assert!(view.held_bytes <= 1_100 && view.figures.crowded > 0, "{view:?}");
}
