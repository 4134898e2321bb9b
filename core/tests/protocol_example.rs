//! The worked example of docs/protocol.md: two real nodes run it, code written from the document
//! alone takes their bytes apart, and each block of the document must equal what comes out.
//!
//! Where the code is right and the document is not:
//! `HEDGEROW_BLESS=1 cargo test -p hedgerow-core --test protocol_example`.

#[path = "protocol_example/blocks.rs"]
mod blocks;
#[path = "protocol_example/fields.rs"]
mod fields;
#[path = "protocol_example/noise.rs"]
mod noise;
#[path = "protocol_example/reader.rs"]
mod reader;
#[path = "protocol_example/world.rs"]
mod world;

use blocks::{Block, Line};
use fields::{Data, Frame, frames, network_id};
use hedgerow_core::io::BeaconIdentity;
use noise::{Finished, Key, Transcript, public};
use reader::Reader;
use world::{NODES, World, end, ephemeral, index, instance, seed};

/// What the link carried, taken apart.
struct Link {
    preambles: [Vec<u8>; 2],
    /// Messages 1, 2 and 3.
    messages: [Vec<u8>; 3],
    hellos: [Vec<u8>; 2],
    finished: Finished,
    /// The frames of A, then of B.
    frames: [Vec<Frame>; 2],
}

/// Takes a message behind its 16-bit length off `stream`.
fn message(stream: &mut &[u8]) -> Vec<u8> {
    let length = usize::from(u16::from_be_bytes([stream[0], stream[1]]));
    let message = stream[2..2 + length].to_vec();
    *stream = &stream[2 + length..];
    message
}

fn link(world: &World) -> Link {
    let [mut a, mut b] = [world.sent[0].as_slice(), world.sent[1].as_slice()];
    let preambles = [a[..8].to_vec(), b[..8].to_vec()];
    (a, b) = (&a[8..], &b[8..]);
    let messages = [message(&mut a), message(&mut b), message(&mut a)];
    let prologue = [preambles[0].as_slice(), &network_id()].concat();
    let ends = [end(0, 1), end(1, 1)];
    let name = "Noise_XX_25519_ChaChaPoly_BLAKE2s";
    let mut noise = Transcript::new(name, &prologue, [&ends[0], &ends[1]], false);
    assert!(noise.read(0, &["e"], &messages[0]).is_empty());
    let second = noise.read(1, &["e", "ee", "s", "es"], &messages[1]);
    let third = noise.read(0, &["s", "se"], &messages[2]);
    let finished = noise.finish();
    let frames = [frames(a, &finished.keys[0]), frames(b, &finished.keys[1])];
    Link { preambles, messages, hellos: [third, second], finished, frames }
}

fn line(bytes: &[u8], note: &str) -> Line {
    (bytes.to_vec(), note.to_string())
}

fn inputs() -> Block {
    let mut lines = Vec::new();
    for (number, (name, _, epoch)) in NODES.iter().enumerate() {
        lines.push(line(&seed(number), &format!("Ed25519 seed of {name}")));
        let note = format!("instance of {name}; its boot epoch is {epoch}");
        lines.push(line(&instance(number), &note));
        lines.push(line(&ephemeral(number, 1), &format!("{name}'s ephemeral secret, link")));
        lines.push(line(&ephemeral(number, 2), &format!("{name}'s ephemeral secret, session")));
        lines.push(line(&index(number), &format!("{name}'s index of the session's keys")));
    }
    Block::new("inputs", &lines)
}

fn address(key: &[u8; 32]) -> [u8; 8] {
    fields::labelled("hedgerow 1 address", &[key])[..8].try_into().expect("8 bytes")
}

fn keys(world: &World) -> Block {
    let mut lines = vec![line(&network_id(), "network id of \"example\"")];
    for (number, (name, ..)) in NODES.iter().enumerate() {
        let key = world.key(number);
        let signing = ed25519_dalek::SigningKey::from_bytes(&seed(number));
        assert_eq!(signing.verifying_key().as_bytes(), key.as_bytes());
        lines.push(line(key.as_bytes(), &format!("peer key of {name}: {key}")));
        lines.push(line(&address(key.as_bytes()), &format!("address of {name}")));
        let converted = signing.verifying_key().to_montgomery().to_bytes();
        assert_eq!(converted, public(&end(number, 1).fixed), "both halves convert alike");
        lines.push(line(&converted, &format!("{name}'s static X25519 key")));
    }
    Block::new("keys", &lines)
}

fn beacon(world: &World) -> Block {
    let shown = world.beacon(1);
    let BeaconIdentity::Open { tag, address } = shown.identity else {
        panic!("the network is open")
    };
    assert_eq!(tag, network_id()[..4]);
    let digits = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let label = digits(address.as_bytes());
    assert_eq!(label, shown.label());
    let lines = [
        format!("instance  {label}._hedgerow._tcp.local."),
        format!("TXT       v={}-{}", shown.lowest, shown.highest),
        format!("TXT       n={}", digits(&tag)),
        format!("TXT       a={label}"),
    ];
    Block::text("beacon", &lines)
}

fn link_handshake(link: &Link) -> Vec<Block> {
    let mut preamble = Reader::new(&link.preambles[0]);
    preamble.bytes(4, "\"HDGW\"");
    preamble.byte("lowest version");
    preamble.byte("highest version");
    preamble.byte("flags: an open network");
    preamble.byte("reserved");
    assert_eq!(link.preambles[0], link.preambles[1], "both are alike here");
    let [first, second, third] = [&link.messages[0], &link.messages[1], &link.messages[2]];
    let length = |message: &[u8]| line(&message_length(message), "length");
    let parts = |message: &[u8], cuts: &[(usize, &str)]| {
        let mut reader = Reader::new(message);
        cuts.iter().for_each(|(bytes, note)| {
            reader.bytes(*bytes, note);
        });
        [vec![length(message)], reader.end()].concat()
    };
    let rest = |message: &[u8], ahead: usize| message.len() - ahead;
    let prologue = [line(&link.preambles[0], "A's preamble"), line(&network_id(), "network id")];
    let keys = [
        line(&link.finished.hash, "handshake hash"),
        line(&link.finished.keys[0], "key, A to B"),
        line(&link.finished.keys[1], "key, B to A"),
    ];
    vec![
        Block::new("preamble", &preamble.end()),
        Block::new("link prologue", &prologue),
        Block::new("link message 1", &parts(first, &[(32, "e")])),
        Block::new("link hello of B", &fields::link_hello(&link.hellos[1])),
        Block::new(
            "link message 2",
            &parts(
                second,
                &[(32, "e"), (48, "s, sealed"), (rest(second, 80), "LinkHello, sealed")],
            ),
        ),
        Block::new("link hello of A", &fields::link_hello(&link.hellos[0])),
        Block::new(
            "link message 3",
            &parts(third, &[(48, "s, sealed"), (rest(third, 48), "LinkHello, sealed")]),
        ),
        Block::new("link keys", &keys),
    ]
}

fn message_length(message: &[u8]) -> [u8; 2] {
    u16::try_from(message.len()).expect("a short message").to_be_bytes()
}

/// The first control frame of a node, and what it says.
fn first_frame(link: &Link, number: usize, names: [&'static str; 2]) -> [Block; 2] {
    let Frame::Control { shown, text } = &link.frames[number][0] else {
        panic!("the first frame is the link's own")
    };
    [Block::new(names[0], shown), Block::new(names[1], &fields::control(text))]
}

/// The fingerprint of what A lists in its first frame: what it would say of more adverts.
fn fingerprint(link: &Link) -> Block {
    let Frame::Control { text, .. } = &link.frames[0][0] else {
        panic!("the first frame is the link's own")
    };
    let listed = fields::messages(text).into_iter().find(|(kind, _)| *kind == 3);
    let (_, body) = listed.expect("A begins the comparison");
    let mut lines = vec![
        line(b"hedgerow 1 range\0", "\"hedgerow 1 range\" 0x00"),
        line(&link.finished.hash, "handshake hash of the link"),
    ];
    lines.extend(fields::hashed_stamps(&body));
    let bytes: Vec<u8> = lines.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
    lines.push(line(&noise::hash(&[&bytes])[..8], "fingerprint: the first bytes of the hash"));
    Block::new("fingerprint of A's adverts", &lines)
}

/// The last advert of a kind that A gave to B, and what its signature is over.
fn advert(world: &World, link: &Link, kind: u8, names: [&'static str; 2]) -> [Block; 2] {
    let owner = *world.key(0).as_bytes();
    let texts = link.frames[0].iter().filter_map(|frame| match frame {
        Frame::Control { text, .. } => Some(text),
        Frame::Data(_) => None,
    });
    let mut adverts = texts.flat_map(|text| fields::messages(text)).filter_map(|(id, body)| {
        let signed = (id == 4).then(|| fields::signed_advert(&body))?;
        (signed[..32] == owner && signed[32] == kind).then_some((body, signed))
    });
    let (body, signed) = adverts.next_back().expect("A tells B of itself");
    let (said, signature) = signed.split_at(signed.len() - 64);
    let digest = fields::labelled("hedgerow 1 advert signature", &[&network_id(), said]);
    let key = ed25519_dalek::VerifyingKey::from_bytes(&owner).expect("a valid key");
    let signature = ed25519_dalek::Signature::from_slice(signature).expect("64 bytes");
    key.verify_strict(&digest, &signature).expect("A signed it");
    let hash = fields::labelled("hedgerow 1 advert bytes", &[&signed]);
    let proofs = [
        line(&digest, "what is signed"),
        line(&hash[..4], "hash of the advert, as stamps show it"),
    ];
    [Block::new(names[0], &fields::advert(&body)), Block::new(names[1], &proofs)]
}

/// The frames of a kind that a node sent.
fn data(link: &Link, number: usize, kind: u8) -> impl Iterator<Item = &Data> {
    link.frames[number].iter().filter_map(move |frame| match frame {
        Frame::Data(data) if data.header[0] >> 4 == kind => Some(data),
        _ => None,
    })
}

/// The session's handshake; the keys of A's direction, then B's, with their labels.
fn session(world: &World, link: &Link) -> (Vec<Block>, [Key; 2]) {
    let call = data(link, 0, 1).next().expect("A calls");
    let answer = data(link, 1, 1).next().expect("B answers");
    let [own, peer] = [world.key(0), world.key(1)];
    let prologue = [
        line(b"hedgerow session", "\"hedgerow session\""),
        line(&[1], "version"),
        line(&network_id(), "network id"),
        line(own.as_bytes(), "peer key of A, the initiator"),
        line(peer.as_bytes(), "peer key of B, the responder"),
    ];
    let bytes: Vec<u8> = prologue.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
    let ends = [end(0, 2), end(1, 2)];
    let name = "Noise_KK_25519_ChaChaPoly_BLAKE2s";
    let mut noise = Transcript::new(name, &bytes, [&ends[0], &ends[1]], true);
    // Caller: 32 bytes of key and the binding byte.
    let first = [&call.payload[33..], &call.tag].concat();
    let second = [answer.payload.as_slice(), &answer.tag].concat();
    let hello_of_a = noise.read(0, &["e", "es", "ss"], &first);
    let hello_of_b = noise.read(1, &["e", "ee", "se"], &second);
    let finished = noise.finish();
    let keys = finished.keys.map(|key| fields::labelled("hedgerow 1 session key", &[&[1], &key]));
    let lines = [
        line(&finished.hash, "handshake hash"),
        line(&finished.keys[0], "Noise key, A to B"),
        line(&finished.keys[1], "Noise key, B to A"),
        line(&keys[0], "packets' key, A to B"),
        line(&keys[1], "packets' key, B to A"),
    ];
    let blocks = vec![
        Block::new("session prologue", &prologue),
        Block::new("session hello of A", &fields::hello(&hello_of_a)),
        Block::new("session message 1, as a frame", &call.shown),
        Block::new("session message 1, opened by the link", &fields::call(call)),
        Block::new("session hello of B", &fields::hello(&hello_of_b)),
        Block::new("session message 2, opened by the link", &fields::answer(answer)),
        Block::new("session keys", &lines),
    ];
    (blocks, keys)
}

/// A packet of node `number`, with its seal, and what is in it.
fn packet(
    world: &World,
    packet: &Data,
    number: usize,
    key: &Key,
    names: [&'static str; 3],
) -> [Block; 3] {
    let [source, destination] = [number, 1 - number].map(|n| address(world.key(n).as_bytes()));
    let low = u32::from_be_bytes(packet.header[24..].try_into().expect("4 bytes"));
    let associated = [
        line(&[1], "version"),
        line(&source, "source"),
        line(&destination, "destination"),
        line(&index(1 - number), "session id"),
        line(&u64::from(low).to_be_bytes(), "packet number"),
        line(&[packet.lane], "lane"),
    ];
    let bytes: Vec<u8> = associated.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
    let nonce = u64::from(packet.lane) << 62 | u64::from(low);
    let sealed = [packet.payload.as_slice(), &packet.tag].concat();
    let text = noise::open(key, nonce, &bytes, &sealed);
    let nonce = line(&[[0; 4].as_slice(), &nonce.to_le_bytes()].concat(), "nonce");
    let seal = [associated.to_vec(), vec![nonce]].concat();
    [
        Block::new(names[0], &fields::packet(packet)),
        Block::new(names[1], &seal),
        Block::new(names[2], &fields::bus(&text)),
    ]
}

#[test]
fn the_document_shows_what_the_code_does() {
    let mut world = World::new();
    world.run(200);
    world.send(b"hello");
    world.run(40);
    assert_eq!(world.take(), b"hello");
    world.run(200);
    let link = link(&world);
    let mut blocks = vec![inputs(), keys(&world), beacon(&world)];
    blocks.extend(link_handshake(&link));
    blocks.extend(first_frame(&link, 0, ["first frame of A", "first frame of A, opened"]));
    blocks.push(fingerprint(&link));
    blocks.extend(first_frame(&link, 1, ["first frame of B", "first frame of B, opened"]));
    blocks.extend(advert(&world, &link, 1, ["profile of A", "profile of A, hashed"]));
    blocks.extend(advert(&world, &link, 2, ["adjacency of A", "adjacency of A, hashed"]));
    let (handshake, keys) = session(&world, &link);
    blocks.extend(handshake);
    let message = data(&link, 0, 0).next().expect("A sends its message");
    let names = ["first packet of A", "first packet of A, its seal", "first packet of A, opened"];
    blocks.extend(packet(&world, message, 0, &keys[0], names));
    let names = ["ack of B", "ack of B, its seal", "ack of B, opened"];
    let acknowledgement = data(&link, 1, 0).next().expect("B answers a packet");
    blocks.extend(packet(&world, acknowledgement, 1, &keys[1], names));
    let names = ["delivered", "delivered, its seal", "delivered, opened"];
    let delivered = data(&link, 1, 0).nth(1).expect("B says that the message was taken");
    blocks.extend(packet(&world, delivered, 1, &keys[1], names));
    blocks::check(&blocks);
}

#[test]
fn a_block_that_is_wrong_unknown_or_missing_is_found() {
    let block = |note: &str| Block::new("one", &[line(&[1, 2], note)]);
    let document =
        "text\n```hex one\n01 02                                            ; two\n```\n";
    assert_eq!(blocks::compare(document, &[block("two")]), (vec![], document.to_string()));
    let (problems, fixed) = blocks::compare(document, &[block("other")]);
    assert_eq!((problems.len(), fixed), (1, document.replace("; two", "; other")));
    assert_eq!(blocks::compare(document, &[]).0.len(), 1, "no test makes it");
    assert_eq!(blocks::compare("", &[block("two")]).0.len(), 1, "it is missing");
    let twice = format!("{document}{document}");
    assert_eq!(blocks::compare(&twice, &[block("two")]).0.len(), 1, "it stands there twice");
}
