//! Time of the hot paths in one process: `cargo bench --bench hot_paths`.

use bytes::Bytes;
use divan::Bencher;
use divan::counter::BytesCount;
use hedgerow_bench::{Ciphers, Line, Packets};

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

fn deliver(bencher: Bencher<'_, '_>, mut line: Line, bytes: usize, count: usize) {
    let message = Bytes::from(vec![7; bytes]);
    bencher.counter(BytesCount::new(bytes * count)).bench_local(|| line.deliver(&message, count));
}

/// Sealed, carried, opened and delivered.
#[divan::bench(args = [Ciphers::Accelerated, Ciphers::Portable])]
fn messages_of_64_kib(bencher: Bencher<'_, '_>, ciphers: Ciphers) {
    deliver(bencher, Line::new(2, ciphers), 65_536, 16);
}

/// In packets that they share.
#[divan::bench(args = [Ciphers::Accelerated, Ciphers::Portable])]
fn messages_of_1_kib(bencher: Bencher<'_, '_>, ciphers: Ciphers) {
    deliver(bencher, Line::new(2, ciphers), 1_024, 64);
}

/// Over a third node.
#[divan::bench]
fn relayed_messages_of_64_kib(bencher: Bencher<'_, '_>) {
    deliver(bencher, Line::new(3, Ciphers::Accelerated), 65_536, 16);
}

/// A message of one byte, and the word that it was delivered.
#[divan::bench]
fn one_small_message(bencher: Bencher<'_, '_>) {
    deliver(bencher, Line::new(2, Ciphers::Accelerated), 1, 1);
}

/// Sixteen frames of 4 KiB in packets of 244 bytes, there and acknowledged; ordered ones are not.
#[divan::bench(args = [false, true])]
fn packets_of_frames_of_4_kib(bencher: Bencher<'_, '_>, is_ordered: bool) {
    let mut packets = Packets::new(is_ordered, Ciphers::Accelerated);
    let payload = Bytes::from(vec![7; 4_096]);
    bencher
        .counter(BytesCount::new(16 * payload.len()))
        .bench_local(|| packets.carry(&payload, 16));
}
