//! Writes `seeds/` anew: the bytes of the worked example in docs/protocol.md, and scripts.
//!
//! ```text
//! RUSTFLAGS="--cfg fuzzing" cargo run --no-default-features --example seeds
//! ```

use std::path::Path;

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
            advert.verify(&network).map(|_| advert)
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
    for (target, arms) in
        [("headers", 8_u8), ("control", 2), ("adverts", 8), ("bus_frames", 8), ("reassembly", 6)]
    {
        for arm in 0..arms {
            let ramp = (0..192_u8).map(|at| at.wrapping_mul(5).wrapping_add(arm));
            let bytes: Vec<u8> = std::iter::once(arm).chain(ramp).collect();
            write(target, &format!("ramp-{arm}"), &bytes);
        }
    }
}

fn main() {
    golden();
    ramps();
}
