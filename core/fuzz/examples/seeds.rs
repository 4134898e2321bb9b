//! Writes `seeds/` anew: the bytes of the worked example in docs/protocol.md, and scripts.
//!
//! ```text
//! RUSTFLAGS="--cfg fuzzing" cargo run --no-default-features --example seeds
//! ```

use std::path::Path;

use hedgerow_core::crypto::verifier::Strict;
use hedgerow_core::network::Network;
use hedgerow_core::wire::advert::{AdvertKind, SignedAdvert};
use hedgerow_core::wire::routing::ROUTING_HEADER_BYTES;

/// Where something is written: target, name, the bytes ahead that choose what is done with it.
struct Place(&'static str, &'static str, &'static [u8]);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = root().join("seeds").join(target);
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    let name = name.replace(", ", "-").replace(' ', "-");
    std::fs::write(folder.join(name), bytes).expect("the file can be written");
}

/// The blocks of hex of the document, by name.
fn blocks(document: &str) -> Vec<(String, Vec<u8>)> {
    let mut blocks = Vec::new();
    let mut open = None;
    for line in document.lines() {
        if let Some(name) = line.strip_prefix("```hex ") {
            open = Some((name.to_owned(), Vec::new()));
        } else if line == "```" {
            blocks.extend(open.take());
        } else if let Some((_, bytes)) = &mut open {
            let digits = line.split(';').next().unwrap_or_default();
            let digits = digits.split_whitespace();
            // What a line leaves out, it says in words.
            bytes.extend(digits.filter_map(|pair| u8::from_str_radix(pair, 16).ok()));
        }
    }
    blocks
}

/// What the bytes of a block are, by its name.
fn places(name: &str) -> Vec<Place> {
    let header = Place("headers", "fixed", &[0]);
    match name {
        "preamble" => vec![header],
        _ if name.starts_with("link hello") => vec![Place("headers", "hello", &[1])],
        _ if name.starts_with("first frame") && name.ends_with("opened") => {
            vec![Place("control", "frame", &[0])]
        }
        _ if name.starts_with("session hello") => vec![Place("bus_frames", "hello", &[1])],
        _ if name.ends_with("opened by the link") => vec![header],
        _ if name.ends_with(", opened") => vec![Place("bus_frames", "packet", &[5])],
        "first packet of A" | "ack of B" | "delivered" => vec![header],
        _ => Vec::new(),
    }
}

fn golden() {
    let network = Network::open("example").expect("the document's network");
    let document = std::fs::read_to_string(root().join("../../docs/protocol.md"));
    for (name, bytes) in blocks(&document.expect("the document is there")) {
        for Place(target, kind, ahead) in places(&name) {
            write(target, &format!("{kind}-{name}"), &[ahead, bytes.as_slice()].concat());
        }
        let signed = |at: usize| {
            let advert = SignedAdvert::decode(bytes.get(at..)?.to_vec().into())?;
            advert.verify(&Strict, &network).map(|_| advert)
        };
        // Behind two ages and a length of one or two bytes.
        if let Some(advert) = (3..5).find_map(signed)
            && let Some(choice) = kind_of(&advert)
        {
            write("adverts", &format!("signed-{name}"), &[&[0], &*advert.bytes].concat());
            write("adverts", &format!("body-{name}"), &[&[choice], &*advert.body].concat());
        }
        if name == "session message 1, opened by the link" {
            let (header, rest) = bytes.split_at(ROUTING_HEADER_BYTES);
            let call = [&[2], &header[4..12], &rest[16..]].concat();
            write("bus_frames", &format!("call-{name}"), &call);
        }
    }
}

/// How the target reads its body, if the owner says what it is.
fn kind_of(advert: &SignedAdvert) -> Option<u8> {
    match advert.head.kind {
        AdvertKind::Profile if advert.head.key == 0 => Some(1),
        AdvertKind::Adjacency if advert.head.key == 0 => Some(2),
        _ => None,
    }
}

/// Numbers that count up, behind the byte that chooses: every arm is walked.
fn ramps() {
    let arms = [("headers", 8_u8), ("control", 2), ("adverts", 8), ("bus_frames", 8)];
    let nodes = [("reassembly", 6), ("link", 4), ("node", 4), ("session", 4), ("pair", 4)];
    for (target, arms) in arms.into_iter().chain(nodes) {
        for arm in 0..arms {
            let ramp = (0..192_u8).map(|at| at.wrapping_mul(5).wrapping_add(arm));
            let bytes: Vec<u8> = std::iter::once(arm).chain(ramp).collect();
            write(target, &format!("ramp-{arm}"), &bytes);
        }
    }
}

/// Short stories for the targets of whole nodes: each line is one thing that happens, as the
/// target's `operation` reads it.
fn stories() {
    let story = |lines: &[&[u8]]| lines.concat();
    let join: &[u8] = &[2, 1, 0];
    let second: &[u8] = &[18, 0xe8, 0x03];
    write("node", "sighted-and-dialled", &story(&[&[0, 0, 1, 1, 1, 1], &[23], &[1, 1, 2], second]));
    write(
        "node",
        "joined-and-heard",
        &story(&[join, second, &[20, 0, 1, 2, b'h', b'i', 0], second]),
    );
    write("node", "asked-and-left", &story(&[join, &[4, 0, 65, 4, 1], second, &[4, 0, 71]]));
    write("node", "two-links-of-one", &story(&[join, join, second, second, second, join]));
    let run: &[u8] = &[8, 50];
    let say: &[u8] = &[10, 1, 0, 0x40, 0];
    write("session", "said-and-altered", &story(&[say, run, &[1, 1, 60, 0, 0x10], say, run]));
    write(
        "session",
        "stream-and-doubled",
        &story(&[&[11, 1, b't', 0, 1, 0, 0], run, &[5, 7], &[12, 0, 0, 9, 0], run]),
    );
    let pass: &[u8] = &[17, 40];
    let send: &[u8] = &[0, 1, 255, 3, 1];
    write("pair", "sent-and-cut", &story(&[send, send, &[15, 3], &[20], send, pass]));
    write(
        "pair",
        "sent-and-restarted",
        &story(&[send, pass, &[0x80 | 24], send, pass, &[24], pass]),
    );
    let open: &[u8] = &[7, 1, 1];
    let on_it: &[u8] = &[9, 0, 2, 50, 1];
    write("pair", "stream-to-its-end", &story(&[open, on_it, pass, on_it, &[9, 0, 0, 0, 0], pass]));
    write(
        "pair",
        "silence-and-sleep",
        &story(&[send, &[22, 0], pass, &[19, 0, 80], &[22, 1], pass]),
    );
    let both: &[u8] = &[6, 0x80, 255, 255, 0x86, 0, 255, 255, 6, 0x80, 255, 255];
    write("link", "handshake-and-words", &story(&[both, &[9, 9], &[11, 1, 1, 5, 60, 0, 0], both]));
    write("link", "byte-by-byte", &story(&[&[6], &[0x85; 40], &[13, 3, 0, 2], both]));
}

fn main() {
    golden();
    ramps();
    stories();
}
