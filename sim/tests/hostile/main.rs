//! Worlds of twenty honest nodes and some that mean them no good: what the honest ones promise is
//! kept, or its failure is told.

mod rogue;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bytes::Bytes;
use hedgerow_core::bus::{BusEvent, MessageId, Outcome};
use hedgerow_core::event::Event;
use hedgerow_core::id::PeerKey;
use hedgerow_core::identity::Identity;
use hedgerow_core::io::Lane;
use hedgerow_core::node::Node;
use hedgerow_core::time::{Duration, Instant};
use hedgerow_core::wire::advert::AdvertKind;
use hedgerow_core::wire::control::{Close, CloseCode, Control};
use hedgerow_sim::host::App;
use hedgerow_sim::{Medium, Plan, World, topology};
use rogue::{Counting, Rogue, edge, profile};

const NODES: usize = 20;
/// How often rogues and honest applications get a turn.
const EVERY: Duration = Duration::from_millis(10);

/// What all applications of a world sent and got.
#[derive(Default)]
struct Ledger {
    /// By receiver and sender: the number of the next message that may come.
    next: BTreeMap<(PeerKey, PeerKey), u32>,
    got: u32,
    outcomes: BTreeMap<(PeerKey, MessageId), Outcome>,
}

/// Takes all messages, which are numbered, and remembers what became of its own.
struct Clerk {
    own: PeerKey,
    ledger: Rc<RefCell<Ledger>>,
}

impl App for Clerk {
    fn on_event(&mut self, _: Instant, _: &mut Node, event: Event) {
        if let Event::Bus(BusEvent::MessageDone { id, outcome, .. }) = event {
            let twice = self.ledger.borrow_mut().outcomes.insert((self.own, id), outcome);
            assert_eq!(twice, None, "a message has one outcome");
        }
    }

    fn settle(&mut self, now: Instant, node: &mut Node) -> bool {
        let messages: Vec<_> =
            node.with_bus(now, |bus, _| std::iter::from_fn(|| bus.take_message(now)).collect());
        let mut ledger = self.ledger.borrow_mut();
        for message in &messages {
            let number = u32::from_be_bytes(message.data[..4].try_into().expect("four bytes"));
            let next = ledger.next.entry((self.own, message.peer)).or_default();
            assert!(number >= *next, "{number} came twice or out of order");
            *next = number + 1;
            ledger.got += 1;
        }
        !messages.is_empty()
    }
}

struct Scene {
    world: World,
    ledger: Rc<RefCell<Ledger>>,
    sent: BTreeMap<(usize, usize), Vec<MessageId>>,
}

impl Scene {
    /// A ring with short cuts over the next but one: a way around every node.
    fn new(seed: u64) -> Self {
        let mut world = World::new(Plan::new(seed, NODES, Medium::lan()));
        world.connect_all(0, &topology::ring(NODES));
        let cuts: Vec<_> = (0..NODES).map(|node| (node, (node + 2) % NODES)).collect();
        world.connect_all(0, &cuts);
        let ledger = Rc::new(RefCell::new(Ledger::default()));
        for node in 0..NODES {
            let own = world.host(node).key();
            world.set_app(node, Box::new(Clerk { own, ledger: ledger.clone() }));
        }
        let end = world.now() + Duration::from_secs(10);
        assert!(world.run_until_true(end, World::all_see_all));
        world.run(Duration::from_secs(2));
        Self { world, ledger, sent: BTreeMap::new() }
    }

    fn send(&mut self, from: usize, to: usize) {
        let peer = self.world.host(to).key();
        let sent = self.sent.entry((from, to)).or_default();
        let number = u32::try_from(sent.len()).expect("few messages").to_be_bytes();
        let data = Bytes::copy_from_slice(&number);
        let id = self.world.with_node(from, |now, node| {
            node.with_bus(now, |bus, _| bus.send_reliable(now, peer, Lane::Normal, data, None))
        });
        sent.push(id.expect("it runs").expect("there is room"));
    }

    /// Honest traffic over `pairs` for a while, the rogues having their turns.
    fn live(
        &mut self,
        rogues: &mut [Rogue],
        time: Duration,
        pairs: &[(usize, usize)],
        plot: &mut dyn FnMut(usize, &mut [Rogue]),
    ) {
        let turns = usize::try_from(time.as_millis() / EVERY.as_millis()).expect("few turns");
        for turn in 0..turns {
            plot(turn, rogues);
            if turn.is_multiple_of(10) {
                pairs.iter().for_each(|(from, to)| self.send(*from, *to));
            }
            rogues.iter_mut().for_each(|rogue| rogue.turn(&mut self.world));
            self.world.run(EVERY);
        }
    }

    /// What became of the messages of a pair.
    fn outcomes(&self, from: usize, to: usize) -> Vec<Option<Outcome>> {
        let (key, ledger) = (self.world.host(from).key(), self.ledger.borrow());
        let ids = self.sent[&(from, to)].iter();
        ids.map(|id| ledger.outcomes.get(&(key, *id)).copied()).collect()
    }

    fn all_delivered(&self, from: usize, to: usize) -> bool {
        let delivered = |o: &Option<Outcome>| matches!(o, Some(Outcome::Delivered { .. }));
        self.outcomes(from, to).iter().all(delivered)
    }

    /// No node has been brought to do what none may, and each sees the honest mesh as it is.
    fn honest_part_is_well(&self) {
        assert_eq!(self.world.defects(), []);
        let truth = self.world.truth();
        for node in 0..NODES {
            let host = self.world.host(node);
            let graph = host.node().expect("it runs").graph(host.clock(self.world.now()));
            let views = graph.remote.iter().chain([&graph.local]);
            let edges = views.flat_map(|peer| &peer.connections).filter_map(|edge| {
                let (a, b) = (self.world.owner(&edge.a)?, self.world.owner(&edge.b)?);
                Some((a.min(b), a.max(b), 0))
            });
            assert_eq!(edges.collect::<BTreeSet<_>>(), truth.edges, "as node {node} sees it");
        }
    }
}

#[test]
fn liars_replayers_and_flooders_do_not_disturb_a_mesh_of_twenty() {
    let mut scene = Scene::new(11);
    let pairs = [(0, 10), (3, 14), (17, 6), (12, 1)];
    let [liar, replayer, flooder] = [(1, 2), (2, 8), (3, 13)]
        .map(|(seed, victim)| Rogue::join(&mut scene.world, seed, &[victim], false));
    let mut rogues = [liar, replayer, flooder];
    scene.live(&mut rogues, Duration::from_secs(1), &[], &mut |_, _| {});
    let before: Vec<i64> = (0..NODES).map(|node| scene.world.host(node).memory()).collect();
    let everybody: Vec<_> = (0..NODES).map(|node| edge(scene.world.host(node).key())).collect();
    let mut friend = 1_000;
    scene.live(&mut rogues, Duration::from_secs(2), &pairs, &mut |turn, rogues| {
        let [liar, replayer, flooder] = rogues else { unreachable!("there are three") };
        if turn.is_multiple_of(50) {
            liar.tell_edges(everybody.clone());
        }
        if let Some(advert) = replayer.heard_before(turn) {
            replayer.tell(advert);
        }
        friend += 1;
        let made_up = Identity::generate(&mut Counting(friend));
        let advert = flooder.sign(&made_up, AdvertKind::Profile, 1, &profile().encode());
        flooder.tell(advert);
    });
    scene.live(&mut rogues, Duration::from_secs(2), &[], &mut |_, _| {});
    for (from, to) in pairs {
        assert!(scene.all_delivered(from, to), "{:?}", scene.outcomes(from, to));
    }
    scene.honest_part_is_well();
    // A made-up peer takes about as much as a true one.
    let most = i64::try_from(friend - 1_000).expect("few") * 2_048 + 256 * 1_024;
    for (node, before) in before.into_iter().enumerate() {
        let grown = scene.world.host(node).memory() - before;
        assert!(grown < most, "node {node} has grown by {grown} bytes");
    }
}

/// It is linked with both sides of the ring and says that this costs nothing. What is sent that way
/// is lost, and nobody is told that it arrived; who has another way that is as short goes on.
#[test]
fn a_black_hole_that_is_the_shortest_way_swallows_and_nobody_is_told_a_lie() {
    let mut scene = Scene::new(12);
    let through = (0, 10);
    let beside = [(3, 5), (14, 16)];
    let mut rogues = [Rogue::join(&mut scene.world, 4, &[0, 10], true)];
    scene.live(&mut rogues, Duration::from_secs(3), &[], &mut |_, _| {});
    let host = scene.world.host(0);
    let way = host.node().expect("it runs").path_to(&scene.world.host(10).key());
    assert_eq!(way.first(), Some(&rogues[0].key()), "it is the shortest way");
    let pairs = [through, beside[0], beside[1]];
    scene.live(&mut rogues, Duration::from_secs(2), &pairs, &mut |_, _| {});
    scene.live(&mut rogues, Duration::from_secs(65), &[], &mut |_, _| {});
    assert!(rogues[0].swallowed > 0 && rogues[0].ended.is_empty(), "its links stand");
    let outcomes = scene.outcomes(through.0, through.1);
    let failed =
        |o: &Option<Outcome>| matches!(o, Some(Outcome::NotDelivered(_) | Outcome::Unknown(_)));
    assert!(outcomes.iter().all(failed), "{outcomes:?}");
    for (from, to) in beside {
        assert!(scene.all_delivered(from, to), "{:?}", scene.outcomes(from, to));
    }
    scene.honest_part_is_well();
    // When it goes, its way goes with it.
    rogues[0].say(&Control::Close(Close { code: CloseCode::Shutdown as u8, retry_after_ms: 0 }));
    scene.live(&mut rogues, Duration::from_secs(6), &[], &mut |_, _| {});
    let before = scene.outcomes(through.0, through.1).len();
    scene.live(&mut rogues, Duration::from_secs(1), &[through], &mut |_, _| {});
    scene.live(&mut rogues, Duration::from_secs(2), &[], &mut |_, _| {});
    let later = scene.outcomes(through.0, through.1).split_off(before);
    let delivered = |o: &Option<Outcome>| matches!(o, Some(Outcome::Delivered { .. }));
    assert!(later.iter().all(delivered), "{later:?}");
}
