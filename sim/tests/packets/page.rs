//! How much of a radio reaches the application, and when: docs/packets.md.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use hedgerow_core::io::Lane;
use hedgerow_core::wire::control::Control;
use hedgerow_netem::Shape;

use crate::rig::{Rig, frame};

/// Set to write the page anew.
const WRITE: &str = "HEDGEROW_WRITE_PAGES";

/// The values of ATT MTUs of 23, 185, 247 and 517, in whole link-layer PDUs.
const PACKETS: [(usize, usize); 4] = [(23, 20), (185, 182), (247, 244), (517, 495)];
const LOSSES_PPM: [u32; 5] = [0, 1_000, 10_000, 50_000, 100_000];
const RADIOS: [(u64, Duration); 2] =
    [(20_000, Duration::from_millis(60)), (170_000, Duration::from_millis(100))];
const FRAME_BYTES: usize = 16_384;

pub(crate) fn radio(packet_bytes: usize, rate: u64, trip: Duration, loss_ppm: u32) -> Shape {
    Shape {
        delay: trip / 2,
        rate_bytes_per_s: Some(rate),
        loss_ppm,
        // What a driver may hold: two packets, the one on its way among them.
        queue_bytes_max: 2 * packet_bytes,
        ..Shape::perfect()
    }
}

/// Bytes of payload that arrive, of all that the line could carry.
fn goodput(packet_bytes: usize, rate: u64, trip: Duration, loss_ppm: u32) -> f64 {
    let shape = radio(packet_bytes, rate, trip, loss_ppm);
    let mut rig = Rig::up(packet_bytes, false, shape, 1);
    rig.ends[0].shelf.again = Some(frame(Lane::Bulk, 0, FRAME_BYTES));
    rig.ends[1].keeps = false;
    rig.run(Duration::from_secs(2));
    let before = rig.ends[1].data_bytes;
    rig.run(Duration::from_secs(60));
    assert!(rig.ends.iter().all(|end| end.end.is_none()));
    (rig.ends[1].data_bytes - before) as f64 / (rate * 60) as f64
}

fn goodput_table(page: &mut String) {
    for (rate, trip) in RADIOS {
        let rate_kb = rate / 1_000;
        writeln!(
            page,
            "| {rate_kb} KB/s, {} ms | 0 % | 0.1 % | 1 % | 5 % | 10 % |",
            trip.as_millis()
        )
        .unwrap();
        writeln!(page, "|---|---|---|---|---|---|").unwrap();
        for (mtu, packet_bytes) in PACKETS {
            write!(page, "| MTU {mtu}, packets of {packet_bytes} |").unwrap();
            for loss_ppm in LOSSES_PPM {
                let share = goodput(packet_bytes, rate, trip, loss_ppm);
                write!(page, " {:.0} % |", share * 100.0).unwrap();
            }
            page.push('\n');
        }
        page.push('\n');
    }
}

/// Shares of all bytes both ways: headers of fragments, acknowledgements, what frames take.
fn shares(packet_bytes: usize, message_bytes: usize, messages: u64) -> [f64; 4] {
    let (rate, trip) = RADIOS[0];
    let mut rig = Rig::up(packet_bytes, false, radio(packet_bytes, rate, trip, 0), 1);
    rig.run(Duration::from_secs(1));
    for end in &mut rig.ends {
        end.sent = Default::default();
    }
    for number in 0..messages {
        rig.ends[0].shelf.data.push_back(frame(Lane::Normal, number, message_bytes));
    }
    let count = usize::try_from(messages).unwrap();
    rig.run_while(Duration::from_secs(600), |rig| rig.ends[1].data.len() < count);
    rig.run(Duration::from_secs(1));
    let [there, back] = rig.ends.each_ref().map(|end| end.sent);
    let all = (there.bytes + back.bytes) as f64;
    let payload = (messages * message_bytes as u64) as f64;
    let headers = (there.headers + back.headers) as f64;
    let acks = (there.acks + back.acks) as f64;
    [headers, acks, all - payload - headers - acks, payload].map(|bytes| bytes / all)
}

fn shares_table(page: &mut String) {
    writeln!(page, "| message | headers of fragments | acknowledgements | frames | payload |")
        .unwrap();
    writeln!(page, "|---|---|---|---|---|").unwrap();
    for (message_bytes, messages) in [(20, 1_000), (1_280, 120), (4_096, 40), (65_536, 4)] {
        let [headers, acks, frames, payload] =
            shares(244, message_bytes, messages).map(|share| share * 100.0);
        writeln!(
            page,
            "| {message_bytes} bytes | {headers:.1} % | {acks:.1} % | {frames:.1} % | {payload:.1} % |"
        )
        .unwrap();
    }
    page.push('\n');
}

/// How much later each of many short messages arrives behind bulk than alone, sorted.
fn delays(packet_bytes: usize, lane: Lane) -> Vec<Duration> {
    let (rate, trip) = RADIOS[0];
    let shape = radio(packet_bytes, rate, trip, 0);
    let mut rig = Rig::up(packet_bytes, false, shape, 1);
    let alone = arrival(&mut rig, lane, 0);
    rig.ends[0].shelf.again = Some(frame(Lane::Bulk, 1 << 32, 65_536));
    rig.run(Duration::from_secs(3));
    let mut later: Vec<_> = (1..=500)
        .map(|number| {
            // At any moment of a packet's time on the line.
            rig.run(Duration::from_micros(40_000 + number * 377 % 12_200));
            arrival(&mut rig, lane, number).saturating_sub(alone)
        })
        .collect();
    later.sort_unstable();
    later
}

/// How long a short message takes.
fn arrival(rig: &mut Rig, lane: Lane, number: u64) -> Duration {
    let (begin, came) = (rig.now, rig.ends[1].control.len());
    if lane == Lane::Control {
        rig.ends[0].shelf.control.push_back(Control::BodyHave([7; 32]));
        rig.run_while(Duration::from_secs(5), |rig| rig.ends[1].control.len() == came);
        assert!(rig.ends[1].control.len() > came);
    } else {
        rig.ends[0].shelf.data.push_back(frame(lane, number, 20));
        let is_it = |rig: &Rig| {
            let mut data = rig.ends[1].data.iter().rev().take(2);
            data.any(|frame| frame.lane == lane && frame.payload[..8] == number.to_be_bytes())
        };
        rig.run_while(Duration::from_secs(5), |rig| !is_it(rig));
        assert!(is_it(rig));
    }
    rig.now.since(begin)
}

fn delay_table(page: &mut String) {
    writeln!(page, "| packets | lane | median | p99 | p99 in packets |").unwrap();
    writeln!(page, "|---|---|---|---|---|").unwrap();
    for packet_bytes in [182, 244, 495] {
        for lane in [Lane::Control, Lane::Realtime] {
            let later = delays(packet_bytes, lane);
            let [median, p99] = [50, 99].map(|part| later[later.len() * part / 100]);
            let packet = Duration::from_micros(packet_bytes as u64 * 1_000_000 / RADIOS[0].0);
            let packets = p99.as_secs_f64() / packet.as_secs_f64();
            assert!(packets <= 2.0, "{lane:?} waits for {packets} packets");
            let [median, p99] = [median, p99].map(|delay| delay.as_secs_f64() * 1_000.0);
            writeln!(
                page,
                "| {packet_bytes} bytes | {} | {median:.1} ms | {p99:.1} ms | {packets:.2} |",
                if lane == Lane::Control { "control" } else { "realtime" },
            )
            .unwrap();
        }
    }
}

fn page() -> String {
    let mut page = String::from(
        "\
# What a packet-shaped link carries

Measured in emulated radios on virtual time, both ways alike, with drivers that hold two packets.
A test compares this page with what it measures; `HEDGEROW_WRITE_PAGES=1 cargo test -p hedgerow-sim
--test packets page` writes it anew. Section 4.5 of [the protocol](protocol.md) says how.

## Goodput

Payload that arrives in a minute, of what the line could carry in it: bulk data in frames of 16 KiB,
after two seconds. Each packet is lost by itself, acknowledgements as well. Of a packet of 20 bytes,
two are its header; where 170 KB/s take 100 ms, 850 of them are on their way and half as many again
wait for a lost one, which is more than sequence numbers can tell apart (1,024).

",
    );
    goodput_table(&mut page);
    page.push_str(
        "\
## What it costs

Shares of all bytes both ways, packets of 244 bytes, 20 KB/s, 60 ms, nothing lost. \"Frames\" are
routing header, the tags of both seals, checksum and lengths, and keepalives.

",
    );
    shares_table(&mut page);
    page.push_str(
        "\
## Who waits for bulk

How much later a control message of 34 bytes, or a realtime message of 20, arrives while frames of
64 KiB fill the link (20 KB/s, 60 ms), than alone. 500 of each, at any moment of a packet.

",
    );
    delay_table(&mut page);
    page
}

#[test]
fn the_page_says_what_is_measured() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/packets.md");
    let page = page();
    if std::env::var_os(WRITE).is_some() {
        return std::fs::write(path, page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap();
    for (at, (written, measured)) in written.lines().zip(page.lines()).enumerate() {
        assert_eq!(written, measured, "line {}; to write it anew set {WRITE}", at + 1);
    }
    assert_eq!(written.len(), page.len());
}

#[test]
fn goodput_reaches_its_aims() {
    // Two bytes of each packet are its header, and about 80 bytes of each frame are not payload.
    let header = |packet_bytes: usize| 2.0 / packet_bytes as f64 + 80.0 / FRAME_BYTES as f64;
    for (rate, trip) in RADIOS {
        for (mtu, packet_bytes) in PACKETS {
            let clean = goodput(packet_bytes, rate, trip, 0);
            assert!(clean >= 0.95 - header(packet_bytes), "MTU {mtu}: {clean}");
            // So many small packets are on their way that their numbers do not reach.
            if packet_bytes > 20 || rate < 100_000 {
                let lossy = goodput(packet_bytes, rate, trip, 10_000);
                let most = 0.90_f64.min(0.95 - header(packet_bytes));
                assert!(lossy >= most, "MTU {mtu} with 1 % lost: {lossy}");
            }
        }
    }
}
