//! Instructions of the hot paths, the same in every run: `cargo bench --bench instructions`.
//!
//! Needs valgrind and the runner: `cargo install gungraun-runner --version 0.20.0`. Nothing is
//! sealed: what is measured is everything around the ciphers. Routes are those of a node in the middle
//! of a square, after the cost of one edge has changed.

#![allow(missing_docs, reason = "the macros make items without")]

use std::hint::black_box;

use bytes::Bytes;
use gungraun::{library_benchmark, library_benchmark_group, main};
use hedgerow_bench::{Ciphers, Grid, Line, Packets};

type Load = (Line, Bytes, usize);

/// A line that has carried as much before: its buffers and windows are what they stay.
fn line(length: usize, bytes: usize, count: usize) -> Load {
    let (mut line, message) = (Line::new(length, Ciphers::None), Bytes::from(vec![7; bytes]));
    for _ in 0..8 {
        line.deliver(&message, count);
    }
    (line, message, count)
}

#[library_benchmark]
#[bench::sealed_and_opened_64_kib(args = (2, 65_536, 1), setup = line)]
#[bench::batch_of_64_messages_of_1_kib(args = (2, 1_024, 64), setup = line)]
#[bench::relayed_64_kib(args = (3, 65_536, 1), setup = line)]
#[bench::one_byte_and_its_acknowledgement(args = (2, 1, 1), setup = line)]
fn deliver((mut line, message, count): Load) -> Line {
    line.deliver(&message, black_box(count));
    line
}

#[library_benchmark]
#[bench::of_1000_nodes(args = (1_000,), setup = Grid::changed)]
#[bench::of_2000_nodes(args = (2_000,), setup = Grid::changed)]
fn routes(mut grid: Grid) -> Grid {
    grid.compute();
    grid
}

#[library_benchmark]
#[bench::of_1000_nodes(args = (1_000,), setup = Grid::computed)]
#[bench::of_2000_nodes(args = (2_000,), setup = Grid::computed)]
fn alternates(mut grid: Grid) -> Grid {
    grid.compute_alternates();
    grid
}

/// A packet-shaped link that has carried as much before.
fn packets(is_ordered: bool, bytes: usize, count: usize) -> (Packets, Bytes, usize) {
    let (mut packets, payload) = (Packets::new(is_ordered, Ciphers::None), vec![7; bytes].into());
    for _ in 0..8 {
        packets.carry(&payload, count);
    }
    (packets, payload, count)
}

#[library_benchmark]
#[bench::of_16_frames_of_4_kib(args = (false, 4_096, 16), setup = packets)]
#[bench::of_16_ordered_frames_of_4_kib(args = (true, 4_096, 16), setup = packets)]
#[bench::of_a_short_frame(args = (false, 20, 1), setup = packets)]
fn carry((mut packets, payload, count): (Packets, Bytes, usize)) -> Packets {
    packets.carry(&payload, black_box(count));
    packets
}

library_benchmark_group!(name = hot_paths, benchmarks = [deliver, carry, routes, alternates]);
main!(library_benchmark_groups = hot_paths);
