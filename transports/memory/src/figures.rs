//! What follows from a shape: how a link carries bytes and what it promises.

use std::time::Duration;

use hedgerow_core::limits::{PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MIN};
use hedgerow_driver::{LinkEstimate, LinkShape};
use hedgerow_netem::Shape;

/// What a frame takes beside its payload, at most, in bytes; generous.
const FRAME_OVERHEAD_BYTES_MAX: usize = 128;
/// How long one frame may keep the line, where frames can be small enough.
const FRAME_TIME: Duration = Duration::from_millis(50);
/// How long one chunk may keep the line, where it still holds a frame.
const CHUNK_TIME: Duration = Duration::from_millis(60);
/// How long one frame of packets may take: higher lanes interrupt it between any two of them.
const INTERRUPTED_FRAME_TIME: Duration = Duration::from_millis(500);
/// How late a reader may wake up: timers are good to a millisecond, tasks to a few.
const WAKE_UP_TIME: Duration = Duration::from_millis(5);
/// What a link without a rate promises: no cost should overflow, and nothing be cheaper.
const RATE_UNLIMITED_BYTES_PER_S: u64 = 1_000_000_000;

/// How a link of this shape carries bytes.
pub(crate) fn link_shape(shape: &Shape) -> LinkShape {
    let passes = |time| shape.rate_bytes_per_s.map_or(usize::MAX, |rate| bytes_in(rate, time));
    if let Some(packet_bytes) = shape.mtu_bytes {
        let frame_bytes_max =
            passes(INTERRUPTED_FRAME_TIME).clamp(PAYLOAD_BYTES_MIN, PAYLOAD_BYTES_MAX);
        return LinkShape::Packet { packet_bytes, is_ordered: false, frame_bytes_max };
    }
    let power_of_two = 1_usize << passes(FRAME_TIME).max(1).ilog2();
    let frame_bytes_max = power_of_two.clamp(PAYLOAD_BYTES_MIN, PAYLOAD_BYTES_MAX);
    let chunk_bytes = passes(CHUNK_TIME).clamp(
        frame_bytes_max + FRAME_OVERHEAD_BYTES_MAX,
        PAYLOAD_BYTES_MAX + FRAME_OVERHEAD_BYTES_MAX,
    );
    LinkShape::Stream { chunk_bytes, frame_bytes_max }
}

/// What a link of this shape promises.
pub(crate) fn link_estimate(shape: &Shape) -> LinkEstimate {
    LinkEstimate {
        rate_bytes_per_s: shape.rate_bytes_per_s.unwrap_or(RATE_UNLIMITED_BYTES_PER_S),
        delay: shape.delay.saturating_add(shape.jitter / 2),
    }
}

/// Bytes that one direction holds at once: what waits for the line, what is in the air, and
/// what the reader has not fetched. More is back-pressure.
pub(crate) fn window_bytes(shape: &Shape) -> usize {
    let late = if shape.reorder_ppm > 0 { shape.reorder_delay } else { Duration::ZERO };
    let in_air = [shape.delay, shape.jitter, late, WAKE_UP_TIME]
        .into_iter()
        .fold(Duration::ZERO, Duration::saturating_add);
    let chunk_bytes = match link_shape(shape) {
        LinkShape::Stream { chunk_bytes, .. } => chunk_bytes,
        LinkShape::Packet { packet_bytes, .. } => packet_bytes,
        other => unreachable!("{other:?} is not made here"),
    };
    shape
        .rate_bytes_per_s
        .map_or(0, |rate| bytes_in(rate, in_air))
        .saturating_add(shape.queue_bytes_max)
        .saturating_add(chunk_bytes)
}

fn bytes_in(rate_bytes_per_s: u64, time: Duration) -> usize {
    let bytes = u128::from(rate_bytes_per_s) * time.as_micros() / 1_000_000;
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk_and_frame(rate_bytes_per_s: Option<u64>) -> (usize, usize) {
        match link_shape(&Shape { rate_bytes_per_s, ..Shape::perfect() }) {
            LinkShape::Stream { chunk_bytes, frame_bytes_max } => (chunk_bytes, frame_bytes_max),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_slow_line_gets_small_frames_and_a_fast_one_large_ones() {
        assert_eq!(chunk_and_frame(Some(1)), (1_408, 1_280));
        assert_eq!(chunk_and_frame(Some(20_000)), (1_408, 1_280));
        assert_eq!(chunk_and_frame(Some(40_000)), (2_400, 1_280));
        assert_eq!(chunk_and_frame(Some(41_000)), (2_460, 2_048));
        assert_eq!(chunk_and_frame(Some(100_000)), (6_000, 4_096));
        assert_eq!(chunk_and_frame(Some(100_000_000)), (65_664, 65_536));
        assert_eq!(chunk_and_frame(None), (65_664, 65_536));
    }

    #[test]
    fn a_chunk_always_holds_a_frame() {
        for rate in (0..40).map(|power| 3_u64 << power) {
            let (chunk, frame) = chunk_and_frame(Some(rate));
            assert!(chunk >= frame + FRAME_OVERHEAD_BYTES_MAX, "at {rate} bytes a second");
        }
    }

    #[test]
    fn an_mtu_makes_packets_and_frames_of_half_a_second() {
        let frame = |rate_bytes_per_s| {
            let shape = Shape { rate_bytes_per_s, mtu_bytes: Some(244), ..Shape::perfect() };
            match link_shape(&shape) {
                LinkShape::Packet { packet_bytes: 244, is_ordered: false, frame_bytes_max } => {
                    frame_bytes_max
                }
                other => panic!("{other:?}"),
            }
        };
        let rates = [Some(1), Some(2_560), Some(20_000), Some(1_000_000), None];
        assert_eq!(rates.map(frame), [1_280, 1_280, 10_000, 65_536, 65_536]);
    }

    #[test]
    fn a_direction_holds_what_waits_what_is_in_the_air_and_a_packet() {
        let shape = Shape::bluetooth();
        // 30 ms in the air, and 5 ms until somebody looks.
        assert_eq!(window_bytes(&shape), 2 * 182 + 700 + 182);
        let late = Duration::from_millis(50);
        let shape = Shape { reorder_ppm: 1, reorder_delay: late, ..shape };
        assert_eq!(window_bytes(&shape), 2 * 182 + 1_700 + 182);
    }

    #[test]
    fn the_estimate_is_what_the_shape_gives_on_average() {
        let estimate = link_estimate(&Shape::lan());
        assert_eq!(estimate.rate_bytes_per_s, 100_000_000);
        assert_eq!(estimate.delay, Duration::from_micros(350));
        assert_eq!(link_estimate(&Shape::perfect()).rate_bytes_per_s, 1_000_000_000);
    }
}
