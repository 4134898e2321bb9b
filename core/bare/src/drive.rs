//! What the bare program does with the core: two whole nodes meet on a wire and talk.

use bytes::Bytes;
use hedgerow_core::bus::{BusEvent, MessageId, Outcome};
use hedgerow_core::event::Event;
use hedgerow_core::io::Lane;
use hedgerow_core::time::Duration;

use crate::wire::{NAMES, World};

/// The nodes, by their number on the wire.
const A: usize = 0;
const B: usize = 1;
const TEXT: &[u8] = b"over the hedge";

/// What did not come out as it must, and at which step.
pub(crate) type Failure = &'static str;

/// Has two nodes meet and one message delivered; gives the virtual time that it took.
pub(crate) fn drive() -> Result<Duration, Failure> {
    let mut world = World::new()?;
    let start = world.now;
    world.run_until(|world| world.dials > 0, "finding: no node dials the other's beacon")?;
    world.run_until(have_shaken_hands, "handshake: no link shows who is there")?;
    world.run_until(see_each_other, "graph: the nodes do not see each other, one hop away")?;
    let sent = send(&mut world)?;
    world.run_until(|world| world.has_event(B, is_readable), "message: it does not arrive")?;
    take(&mut world)?;
    world.run_until(|world| world.has_event(A, is_done), "outcome: the sender does not hear")?;
    let delivered = |event: &Event| {
        matches!(event, Event::Bus(BusEvent::MessageDone { id, outcome, .. })
            if *id == sent && matches!(outcome, Outcome::Delivered { hops: 1, .. }))
    };
    check(world.has_event(A, delivered), "outcome: the message is not delivered over one hop")?;
    Ok(world.now.since(start))
}

fn have_shaken_hands(world: &World) -> bool {
    [A, B].into_iter().all(|number| {
        let other = world.key(1 - number);
        world.has_event(
            number,
            |event| matches!(event, Event::LinkUp { peer, .. } if *peer == other),
        )
    })
}

fn see_each_other(world: &World) -> bool {
    [A, B].into_iter().all(|number| {
        let graph = world.nodes[number].graph(world.now);
        let [peer] = &graph.remote[..] else { return false };
        peer.key == world.key(1 - number)
            && peer.device_name() == NAMES[1 - number]
            && peer.connections.len() == 1
            && peer.route.is_some_and(|route| route.hops == 1)
    })
}

fn send(world: &mut World) -> Result<MessageId, Failure> {
    let (now, to) = (world.now, world.key(B));
    let data = Bytes::from_static(TEXT);
    world.nodes[A]
        .with_bus(now, |bus, _| bus.send_reliable(now, to, Lane::Normal, data, None))
        .map_err(|_| "message: it is refused")
}

fn take(world: &mut World) -> Result<(), Failure> {
    let (now, from) = (world.now, world.key(A));
    let message = world.nodes[B].with_bus(now, |bus, _| bus.take_message(now));
    let message = message.ok_or("message: it is said to be there and is not")?;
    check(message.peer == from, "message: it comes from somebody else")?;
    check(message.data == TEXT, "message: it comes changed")?;
    let another = world.nodes[B].with_bus(now, |bus, _| bus.take_message(now));
    check(another.is_none(), "message: it comes twice")
}

fn is_readable(event: &Event) -> bool {
    matches!(event, Event::Bus(BusEvent::MessagesReadable))
}

fn is_done(event: &Event) -> bool {
    matches!(event, Event::Bus(BusEvent::MessageDone { .. }))
}

fn check(holds: bool, otherwise: Failure) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(otherwise) }
}
