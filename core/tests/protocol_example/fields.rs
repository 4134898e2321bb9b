//! What the bytes of each layer mean, as docs/protocol.md has it.

use super::blocks::Line;
use super::noise::{Key, hash, open};
use super::reader::Reader;
use super::world::NETWORK;

const LANES: [&str; 4] = ["control", "realtime", "normal", "bulk"];

/// The hash of `parts` under a label of section 1.1.
pub(crate) fn labelled(label: &str, parts: &[&[u8]]) -> Key {
    hash(&[&[label.as_bytes(), &[0]], parts].concat())
}

pub(crate) fn network_id() -> [u8; 16] {
    labelled("hedgerow 1 network", &[NETWORK.as_bytes()])[..16].try_into().expect("16 bytes")
}

/// A frame on a stream-shaped link.
pub(crate) enum Frame {
    Control { shown: Vec<Line>, text: Vec<u8> },
    Data(Data),
}

/// A data frame, opened by its link.
pub(crate) struct Data {
    pub(crate) lane: u8,
    pub(crate) shown: Vec<Line>,
    pub(crate) header: Vec<u8>,
    pub(crate) tag: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

/// All frames that follow a handshake in one direction.
pub(crate) fn frames(mut stream: &[u8], key: &Key) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !stream.is_empty() {
        let length = u32::from_be_bytes([0, stream[1], stream[2], stream[3]]) as usize;
        let (frame, rest) = stream.split_at(4 + length);
        stream = rest;
        frames.push(frame_of(frame, key, frames.len() as u64));
    }
    frames
}

fn frame_of(frame: &[u8], key: &Key, number: u64) -> Frame {
    let (prefix, sealed) = frame.split_at(4);
    let (lane, data) = (prefix[0] >> 6, prefix[0] & 0x20 != 0);
    let mut reader = Reader::new(frame);
    let kind = if data { "data" } else { "control" };
    let name = LANES[usize::from(lane)];
    reader.bytes(4, &format!("lane {name}, {kind} frame, {} bytes follow", sealed.len()));
    if !data {
        let text = open(key, number, prefix, sealed);
        reader.bytes(text.len(), &format!("sealed messages, nonce {number}"));
        reader.bytes(16, "tag");
        return Frame::Control { shown: reader.end(), text };
    }
    reader.bytes(28, &format!("sealed routing header, nonce {number}"));
    reader.bytes(16, "tag of the header");
    let tag = reader.bytes(16, "tag of the payload").to_vec();
    let payload = reader.bytes(sealed.len() - 60, "payload, sealed by the session").to_vec();
    let associated = [prefix, &tag].concat();
    let header = open(key, number, &associated, &sealed[..44]);
    Frame::Data(Data { lane, shown: reader.end(), header, tag, payload })
}

fn binding(reader: &mut Reader<'_>) {
    assert_eq!(reader.byte("binding: the peer key, converted"), 0);
}

fn versions(reader: &mut Reader<'_>) {
    reader.byte("lowest version");
    reader.byte("highest version");
}

/// A LinkHello.
pub(crate) fn link_hello(bytes: &[u8]) -> Vec<Line> {
    let mut reader = Reader::new(bytes);
    reader.bytes(32, "peer key");
    binding(&mut reader);
    reader.bytes(8, "instance");
    reader.varint("boot epoch");
    versions(&mut reader);
    reader.varint("payload_bytes_max");
    reader.varint("control_bytes_max");
    reader.varint("fragments_max");
    reader.byte("lanes");
    reader.varint("profile_sequence");
    reader.end()
}

/// The messages of a control frame: kind and body.
pub(crate) fn messages(text: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut reader = Reader::new(text);
    let mut messages = Vec::new();
    while !reader.is_empty() {
        let kind = reader.varint("kind");
        messages.push((kind, reader.counted("body").to_vec()));
    }
    messages
}

/// What a control frame says.
pub(crate) fn control(text: &[u8]) -> Vec<Line> {
    let mut reader = Reader::new(text);
    while !reader.is_empty() {
        let kind = reader.varint("message of kind");
        reader.varint("length");
        match kind {
            1 => keepalive(&mut reader),
            3 => ranges(&mut reader),
            4 => advert_copy(&mut reader),
            5 => want(&mut reader),
            other => panic!("the example holds no message of kind {other} here"),
        }
    }
    reader.end()
}

fn keepalive(reader: &mut Reader<'_>) {
    reader.byte("Keepalive: sequence");
    reader.byte("flags");
    reader.byte("echo");
    reader.varint("held_us");
}

fn ranges(reader: &mut Reader<'_>) {
    reader.counted("Ranges: first");
    for _ in 0..reader.varint("ranges") {
        reader.counted("last");
        match reader.varint("content") {
            0 => drop(reader.bytes(8, "fingerprint")),
            1 => stamps(reader),
            other => panic!("no content of a range has the number {other}"),
        }
    }
}

fn want(reader: &mut Reader<'_>) {
    reader.bytes(8, "Want: owner's address");
    for _ in 0..reader.varint("which") {
        reader.byte("kind");
        reader.varint("key");
    }
}

fn stamps(reader: &mut Reader<'_>) {
    for _ in 0..reader.varint("stamps") {
        reader.bytes(8, "owner's address");
        reader.byte("kind");
        reader.varint("key");
        reader.varint("epoch");
        reader.varint("sequence");
        reader.identifier("hash");
    }
}

/// The stamps of the list that a Ranges message consists of, as a fingerprint takes them.
pub(crate) fn hashed_stamps(body: &[u8]) -> Vec<Line> {
    let mut reader = Reader::new(body);
    assert_eq!(reader.counted("first"), [0; 0]);
    assert_eq!(reader.varint("ranges"), 1);
    assert_eq!(reader.counted("last"), [0; 0]);
    assert_eq!(reader.varint("content"), 1);
    let mut lines = Vec::new();
    for _ in 0..reader.varint("stamps") {
        lines.push((reader.bytes(8, "").to_vec(), "owner's address".to_string()));
        lines.push((vec![reader.byte("")], "kind".to_string()));
        for name in ["key", "epoch", "sequence"] {
            lines.push((reader.varint("").to_be_bytes().to_vec(), name.to_string()));
        }
        let hash = u32::try_from(reader.varint("")).expect("32 bits");
        lines.push((hash.to_be_bytes().to_vec(), "hash".to_string()));
    }
    reader.end();
    lines
}

/// The signed bytes of an Advert message's body.
pub(crate) fn signed_advert(body: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(body);
    reader.varint("signed age");
    reader.varint("reachable age");
    reader.counted("advert").to_vec()
}

/// An Advert message's body, field by field.
pub(crate) fn advert(body: &[u8]) -> Vec<Line> {
    let mut reader = Reader::new(body);
    advert_copy(&mut reader);
    reader.end()
}

fn advert_copy(reader: &mut Reader<'_>) {
    reader.varint("signed age, s");
    reader.varint("reachable age, s");
    reader.varint("length of the advert");
    reader.bytes(32, "head: owner");
    let kind = reader.byte("kind");
    reader.varint("key");
    reader.bytes(8, "instance");
    reader.varint("epoch");
    reader.varint("sequence");
    match kind {
        1 => profile(reader),
        2 => adjacency(reader),
        other => panic!("the example holds no advert of kind {other}"),
    }
    reader.bytes(64, "signature");
}

fn profile(reader: &mut Reader<'_>) {
    reader.head("body:");
    binding(reader);
    versions(reader);
    reader.varint("abilities");
    reader.text("device name");
    reader.byte("os");
    reader.text("software version");
    let empty = labelled("hedgerow 1 metadata", &[]);
    assert_eq!(reader.bytes(32, "hash of the metadata"), empty);
    reader.varint("length of the metadata");
}

fn adjacency(reader: &mut Reader<'_>) {
    reader.head("body:");
    for _ in 0..reader.varint("edges") {
        reader.bytes(8, "peer's address");
        reader.byte("medium: code");
        reader.text("medium: name");
        let cost = reader.byte("cost");
        let value = u64::from(8 + (cost & 7)) << (cost >> 3) >> 3;
        reader.head(&format!("  which is {value} us"));
        reader.byte("log2 of the largest payload");
    }
}

fn header(reader: &mut Reader<'_>, data: &Data) {
    assert_eq!(data.header.len(), 28);
    let kind = data.header[0] >> 4;
    reader.byte(&format!(
        "kind {kind}, C {}, K {}",
        data.header[0] >> 3 & 1,
        data.header[0] >> 2 & 1
    ));
    reader.byte("hop limit");
    reader.bytes(2, "lifetime left, ms");
    reader.bytes(8, "source");
    reader.bytes(8, "destination");
    reader.bytes(4, "session id");
    reader.bytes(4, "packet number");
}

fn opened(data: &Data) -> Vec<u8> {
    [&data.header, &data.tag, &data.payload].map(Vec::as_slice).concat()
}

/// A session's first message.
pub(crate) fn call(data: &Data) -> Vec<Line> {
    let bytes = opened(data);
    let mut reader = Reader::new(&bytes);
    header(&mut reader, data);
    reader.bytes(16, "tag: the last 16 bytes of the Noise message");
    reader.bytes(32, "Caller: peer key");
    binding(&mut reader);
    reader.bytes(32, "e");
    reader.bytes(data.payload.len() - 65, "Hello, sealed");
    reader.end()
}

/// A session's second message.
pub(crate) fn answer(data: &Data) -> Vec<Line> {
    let bytes = opened(data);
    let mut reader = Reader::new(&bytes);
    header(&mut reader, data);
    reader.bytes(16, "tag: the last 16 bytes of the Noise message");
    reader.bytes(32, "e");
    reader.bytes(data.payload.len() - 32, "Hello, sealed");
    reader.end()
}

/// A sealed packet of a session.
pub(crate) fn packet(data: &Data) -> Vec<Line> {
    let bytes = opened(data);
    let mut reader = Reader::new(&bytes);
    header(&mut reader, data);
    reader.bytes(16, "tag of the payload");
    reader.bytes(data.payload.len(), "payload, sealed");
    reader.end()
}

/// A Hello.
pub(crate) fn hello(bytes: &[u8]) -> Vec<Line> {
    let mut reader = Reader::new(bytes);
    reader.identifier("index");
    reader.bytes(8, "instance");
    reader.varint("session");
    reader.varint("message_bytes_max");
    reader.varint("unreliable_bytes_max");
    reader.byte("ciphers");
    reader.end()
}

/// The Bus frames of a packet.
pub(crate) fn bus(text: &[u8]) -> Vec<Line> {
    let mut reader = Reader::new(text);
    while !reader.is_empty() {
        match reader.varint("frame of type") {
            1 => reader.head("Ping"),
            2 => acknowledgement(&mut reader),
            3 => {
                reader.varint("Data: stream");
                reader.varint("offset");
                reader.varint("length of what follows");
                reader.text("message");
            }
            7 => {
                reader.varint("Delivered: stream");
                reader.varint("count");
            }
            other => panic!("the example holds no frame of type {other}"),
        }
    }
    reader.end()
}

fn acknowledgement(reader: &mut Reader<'_>) {
    reader.varint("Ack: largest");
    reader.varint("delay, us");
    reader.varint("marks");
    let more = reader.varint("more");
    reader.varint("first");
    for _ in 0..more {
        reader.varint("gap");
        reader.varint("length");
    }
}
