//! One node fed with what drivers and neighbours may do, in any order: sightings, links that come
//! and go, dials answered or not, messages and frames of neighbours with true keys, random bytes,
//! real bytes altered and repeated, calls of its host, and time in steps and jumps.

use arbitrary::{Result, Unstructured};
use bytes::{Bytes, BytesMut};
use hedgerow_core::bus::{Reliability, StreamOpen};
use hedgerow_core::id::{Address, Instance, LinkId, TransportId};
use hedgerow_core::io::{
    Beacon, BeaconIdentity, Condition, ConditionState, DialFailure, Endpoint, Hint, LinkLoss,
    LinkOrigin, Sighting, TransportEvent,
};
use hedgerow_core::route::too_big;
use hedgerow_core::time::Duration;
use hedgerow_core::wire::advert::{Adjacency, AdvertHead, AdvertKind, Cost, Edge, SignedAdvert};
use hedgerow_core::wire::control::{AdvertCopy, Control};
use hedgerow_core::wire::frame::DataFrame;
use hedgerow_core::wire::routing::{DataKind, RoutingHeader};

use crate::input::{address, below, data_lane, lane, medium, number, short, value};
use crate::people::{self, Seeded};
use crate::siege::{Siege, TRANSPORTS, profile};
use crate::{adverts, control};

const OPERATIONS_MAX: usize = 64;

/// See the module.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut siege = Siege::default();
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() || operation(&mut siege, &mut input).is_err() {
            break;
        }
        siege.check();
    }
    siege.end();
}

/// One thing that happens.
///
/// # Errors
/// When the input is at its end.
pub fn operation(siege: &mut Siege, u: &mut Unstructured<'_>) -> Result<()> {
    match below(u, 24)? {
        0 => sight(siege, u)?,
        1 => dialled(siege, u)?,
        2 | 3 => join(siege, u)?,
        4..=16 => neighbour(siege, u)?,
        17 => siege.pass(Duration::from_millis(value::<u8>(u)?.into())),
        18 => siege.pass(Duration::from_millis(u64::from(value::<u16>(u)?))),
        19 => siege.now += Duration::from_secs(u64::from(value::<u16>(u)?)),
        20 => call(siege, u)?,
        21 => stranger(siege, u)?,
        22 => transport_changes(siege, u)?,
        _ => siege.carry_out(),
    }
    Ok(())
}

fn transport(u: &mut Unstructured<'_>) -> Result<TransportId> {
    below(u, TRANSPORTS + 1).map(TransportId)
}

fn endpoint(u: &mut Unstructured<'_>) -> Result<Endpoint> {
    below(u, 8).map(|host| Endpoint::new(&format!("host{host}:1")))
}

fn sight(siege: &mut Siege, u: &mut Unstructured<'_>) -> Result<()> {
    let (transport, endpoint) = (transport(u)?, endpoint(u)?);
    let who = usize::from(value::<u8>(u)?);
    let of = |who| Beacon::new(people::network(), people::key(who).address(), &mut Seeded(1));
    let beacon = match below(u, 4)? {
        0 => None,
        1 => Some(of(who)),
        2 => Some(Beacon { lowest: value(u)?, highest: value(u)?, ..of(who) }),
        _ => {
            let address = Address::from_bytes(value(u)?);
            Some(Beacon {
                lowest: 1,
                highest: 1,
                identity: BeaconIdentity::Open { tag: value(u)?, address },
            })
        }
    };
    let event = match below(u, 4)? {
        0 => TransportEvent::Lost(endpoint),
        1 if beacon.is_none() => {
            TransportEvent::Hint(Hint::new(&[who as u8; 300]).unwrap_or_default())
        }
        _ => TransportEvent::Sighted(Sighting { endpoint, beacon }),
    };
    siege.input(transport, event);
    siege.carry_out();
    Ok(())
}

/// The oldest dial has an answer.
fn dialled(siege: &mut Siege, u: &mut Unstructured<'_>) -> Result<()> {
    let (who, what) = (usize::from(value::<u8>(u)?), below(u, 4)?);
    let Some((transport, dial, _)) = siege.dials.pop_front() else { return Ok(()) };
    if what == 0 {
        siege.input(transport, TransportEvent::DialFailed { dial, reason: DialFailure::TimedOut });
        return Ok(());
    }
    let link = siege.link_up(transport, who, LinkOrigin::Dialled(dial));
    if what > 1 {
        siege.exchange(link);
    }
    Ok(())
}

/// Somebody dials this node, and makes the handshake or waits with it.
fn join(siege: &mut Siege, u: &mut Unstructured<'_>) -> Result<()> {
    let (who, what) = (usize::from(value::<u8>(u)?), value::<u8>(u)?);
    let transport = TransportId(what & 1);
    let link = siege.link_up(transport, who, LinkOrigin::Accepted);
    if what < 200 {
        siege.exchange(link);
    }
    if what < 150 {
        say(siege, link, &true_edges(who));
        siege.exchange(link);
    }
    Ok(())
}

/// What a neighbour must say for its link to count: that it has it, too.
fn true_edges(who: usize) -> Control {
    let edge = Edge {
        peer: people::key(0).address(),
        kind: hedgerow_core::io::ConnectionType::other("Siege"),
        cost: Cost::from_microseconds(1_000),
        payload_log2: 12,
    };
    let body = Adjacency { edges: vec![edge] }.encode();
    let owner = people::identity(who);
    let head = AdvertHead {
        owner: *owner.peer_key().as_bytes(),
        kind: AdvertKind::Adjacency,
        key: 0,
        instance: Instance::from_bytes([0; 8]),
        epoch: 1,
        sequence: 1,
    };
    let advert = SignedAdvert::sign(owner, people::network(), head, &body).bytes;
    Control::Advert(AdvertCopy { signed_age_s: 0, reachable_age_s: 0, advert })
}

fn say(siege: &mut Siege, link: LinkId, message: &Control) {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    siege.say(link, bytes);
}

/// One of the neighbours does something.
fn neighbour(siege: &mut Siege, u: &mut Unstructured<'_>) -> Result<()> {
    let (at, what) = (usize::from(value::<u8>(u)?), value::<u8>(u)?);
    let count = siege.neighbours.len().max(1);
    let Some(link) = siege.neighbours.keys().nth(at % count).copied() else { return Ok(()) };
    match what % 12 {
        0 => siege.say(link, short(u)?.to_vec()),
        1..=3 => say(siege, link, &control::message(u)?),
        4 | 5 => {
            let advert = adverts::advert(u)?.bytes;
            let copy = AdvertCopy { signed_age_s: value(u)?, reachable_age_s: value(u)?, advert };
            say(siege, link, &Control::Advert(copy));
        }
        6 | 7 => siege.send(link, frame(u)?),
        8 => siege.inject(link, short(u)?),
        9 => altered(siege, link, u)?,
        10 => echo(siege, link, u)?,
        _ => {
            siege.lose(link, LinkLoss::ClosedByRemote);
            return Ok(());
        }
    }
    // The low values only put it into the queue: several things come in one chunk then.
    if what > 64 {
        siege.exchange(link);
    }
    Ok(())
}

fn frame(u: &mut Unstructured<'_>) -> Result<DataFrame> {
    let kind = match below(u, 8)? {
        0 | 1 => DataKind::Packet,
        2 => DataKind::Handshake,
        3 => DataKind::UnknownSession,
        4 => DataKind::TooBig,
        5 => DataKind::TraceAsk,
        6 => DataKind::TraceTell,
        _ => DataKind::Unknown(6 + below(u, 10)?),
    };
    let header = RoutingHeader {
        kind,
        congested: value::<u8>(u)? & 1 == 0,
        key_phase: value::<u8>(u)? & 1 == 0,
        hop_limit: value(u)?,
        lifetime_ms: value(u)?,
        source: address(u)?,
        destination: address(u)?,
        session: number(u)? as u32,
        packet_low: number(u)? as u32,
    };
    let payload = BytesMut::from(short(u)?);
    let frame = DataFrame { lane: lane(u)?, header, tag: [value(u)?; 16], payload };
    // One with a tag that fits its payload, as only these two kinds need.
    if kind == DataKind::TooBig {
        let mut answered = frame.clone();
        (answered.header.source, answered.header.destination) =
            (frame.header.destination, frame.header.source);
        return Ok(too_big(&answered, usize::from(value::<u16>(u)?)));
    }
    Ok(frame)
}

/// What the neighbour sent last comes again, altered or as it was.
fn altered(siege: &mut Siege, link: LinkId, u: &mut Unstructured<'_>) -> Result<()> {
    let Some(neighbour) = siege.neighbours.get(&link) else { return Ok(()) };
    let mut bytes = neighbour.last.to_vec();
    for _ in 0..below(u, 4)? {
        let at = usize::from(value::<u16>(u)?);
        let mask = value::<u8>(u)?;
        if let Some(byte) = bytes.get_mut(at % neighbour.last.len().max(1)) {
            *byte ^= mask;
        }
    }
    let end = usize::from(value::<u16>(u)?);
    bytes.truncate(if end == 0 { usize::MAX } else { end });
    siege.inject(link, &bytes);
    Ok(())
}

/// The neighbour says the node's own words back to it.
fn echo(siege: &mut Siege, link: LinkId, u: &mut Unstructured<'_>) -> Result<()> {
    let at = usize::from(value::<u8>(u)?);
    let Some(neighbour) = siege.neighbours.get(&link) else { return Ok(()) };
    let count = neighbour.heard.len().max(1);
    let Some(mut message) = neighbour.heard.get(at % count).cloned() else { return Ok(()) };
    if let Control::Advert(copy) = &mut message {
        (copy.signed_age_s, copy.reachable_age_s) = (value(u)?, value(u)?);
    }
    say(siege, link, &message);
    Ok(())
}

/// The host calls.
fn call(siege: &mut Siege, u: &mut Unstructured<'_>) -> Result<()> {
    let (what, who) = (below(u, 9)?, usize::from(value::<u8>(u)?));
    let (now, peer) = (siege.now, people::key(who));
    let data = Bytes::copy_from_slice(short(u)?);
    let lane = data_lane(u)?;
    let node = &mut siege.node;
    // What a call that is refused leaves is what was there before, so its answer does not matter.
    let _ = node.with_bus(now, |bus, entropy| match what {
        0 | 1 => bus.send_reliable(now, peer, lane, data.clone(), None).is_ok(),
        2 => bus.send_unreliable(now, peer, lane, data.clone(), None).is_ok(),
        3 => {
            let reliability = Reliability::Reliable;
            let open = StreamOpen { topic: Bytes::new(), reliability, lane, args: data.clone() };
            bus.open_stream(now, entropy, peer, open).is_ok()
        }
        4 => bus.ping(now, peer, Duration::from_secs(5)).is_ok(),
        5 => {
            bus.handle_verdict(now, peer, data.len().is_multiple_of(2));
            true
        }
        _ => false,
    });
    match what {
        6 => drop(node.trace(now, peer)),
        7 => node.set_metadata(now, data),
        8 => node.set_device_name(now, &String::from_utf8_lossy(&data)),
        _ => {}
    }
    assert!(node.path_to(&peer).len() <= people::COUNT);
    Ok(())
}

/// A driver says what belongs to nothing that the node knows.
fn stranger(siege: &mut Siege, u: &mut Unstructured<'_>) -> Result<()> {
    let transport = transport(u)?;
    let link = LinkId { transport, number: value(u)? };
    let data = BytesMut::from(short(u)?);
    let event = match below(u, 4)? {
        0 if !siege.neighbours.contains_key(&link) => TransportEvent::Received { link, data },
        1 if !siege.neighbours.contains_key(&link) => {
            TransportEvent::LinkDown { link, reason: LinkLoss::Reset }
        }
        2 => {
            let dial = hedgerow_core::id::DialId(value(u)?);
            TransportEvent::DialFailed { dial, reason: DialFailure::Refused }
        }
        _ => TransportEvent::Condition(Condition::new(ConditionState::RadioOff, "off")),
    };
    siege.input(transport, event);
    Ok(())
}

/// A driver dies, and perhaps a new one begins.
fn transport_changes(siege: &mut Siege, u: &mut Unstructured<'_>) -> Result<()> {
    let (transport, kind) = (transport(u)?, medium(u)?);
    siege.node.remove_transport(siege.now, transport);
    siege.neighbours.retain(|link, _| link.transport != transport);
    siege.dials.retain(|dial| dial.0 != transport);
    if value::<u8>(u)? & 1 == 0 {
        let profile = hedgerow_core::io::TransportProfile { kind, ..profile() };
        siege.node.add_transport(transport, profile);
    }
    siege.carry_out();
    Ok(())
}
