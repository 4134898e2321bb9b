//! A slow radio, and a medium that is dialled on demand: the faster link is made when it pays, and
//! given up when it idles.

use bytes::Bytes;
use hedgerow_core::bus::SendError;
use hedgerow_core::dial::RefusalReason;
use hedgerow_core::dial::upgrade::UpgradePolicy;
use hedgerow_core::id::LinkId;
use hedgerow_core::io::Power;
use hedgerow_core::io::{DialFailure, Lane};
use hedgerow_core::limits::{DEMAND_BACKOFF_MIN, DEMAND_IDLE, DEMAND_IDLE_ON_BATTERY};
use hedgerow_core::node::LinkView;
use hedgerow_core::time::Duration;
use hedgerow_sim::{Medium, Plan, World, topology};

const RADIO: u8 = 0;
const GROUP: u8 = 1;
const LETTER_BYTES: usize = 1_000;
const STEP: Duration = Duration::from_millis(50);

/// Nodes in a line of radios, each in sight of the next one's group.
fn line(nodes: usize, policy: UpgradePolicy) -> World {
    let mut plan = Plan::new(11, nodes, Medium::radio(4));
    plan.media.push(Medium::group(4));
    plan.config.upgrades = policy;
    // About 3 s of the radio: no backlog shows how much is to come.
    plan.config.bus.send_bytes_max = 64 * 1_024;
    let mut world = World::new(plan);
    world.connect_all(RADIO, &topology::line(nodes));
    let end = world.now() + Duration::from_secs(30);
    assert!(world.run_until_true(end, World::all_see_all));
    world.connect_all(GROUP, &topology::line(nodes));
    world.run(Duration::from_secs(20));
    world
}

fn pair() -> World {
    line(2, UpgradePolicy::WhenItPays)
}

fn views(world: &World, node: usize) -> Vec<LinkView> {
    let host = world.host(node);
    host.node().unwrap().links(host.clock(world.now())).collect()
}

fn link_over(world: &World, node: usize, medium: u8) -> Option<LinkView> {
    views(world, node).into_iter().find(|view| view.link.transport.0 == medium)
}

/// Numbered messages from the first node to another one.
struct Transfer {
    to: usize,
    sent: u32,
    taken: u32,
}

impl Transfer {
    fn to(to: usize) -> Self {
        Self { to, sent: 0, taken: 0 }
    }

    /// Writes what the Bus takes, up to `total`, lets a step pass, and takes what came.
    fn step(&mut self, world: &mut World, total: u32) {
        let key = world.host(self.to).key();
        let sent = &mut self.sent;
        world.with_node(0, |now, node| {
            while *sent < total {
                let mut letter = vec![0; LETTER_BYTES];
                letter[..4].copy_from_slice(&sent.to_be_bytes());
                let letter = Bytes::from(letter);
                match node
                    .with_bus(now, |bus, _| bus.send_reliable(now, key, Lane::Bulk, letter, None))
                {
                    Ok(_) => *sent += 1,
                    Err(SendError::Busy) => break,
                    Err(error) => panic!("{error}"),
                }
            }
        });
        world.run(STEP);
        let taken = &mut self.taken;
        world.with_node(self.to, |now, node| {
            while let Some(message) = node.with_bus(now, |bus, _| bus.take_message(now)) {
                assert_eq!(message.data[..4], taken.to_be_bytes(), "lost, doubled or overtaken");
                *taken += 1;
            }
        });
    }

    /// Goes on until `done`; says how long that took.
    fn run(
        &mut self,
        world: &mut World,
        total: u32,
        within: Duration,
        done: impl Fn(&Self, &World) -> bool,
    ) -> Duration {
        let begin = world.now();
        while !done(self, world) {
            let took = world.now().since(begin);
            assert!(took < within, "{} of {} after {took:?}", self.taken, self.sent);
            self.step(world, total);
        }
        world.now().since(begin)
    }
}

fn has_group(world: &World) -> bool {
    (0..2).all(|node| link_over(world, node, GROUP).is_some_and(|view| view.is_active))
}

fn group_link(world: &World) -> Option<LinkId> {
    link_over(world, 0, GROUP).map(|view| view.link)
}

fn radio_link(world: &World) -> LinkId {
    link_over(world, 0, RADIO).unwrap().link
}

#[test]
fn a_transfer_brings_the_faster_link_up_and_nothing_is_lost_on_the_way() {
    let mut world = pair();
    let radio = radio_link(&world);
    assert_eq!(group_link(&world), None, "nothing pays");
    let mut transfer = Transfer::to(1);
    let (total, soon) = (4_000, Duration::from_secs(20));
    let took = transfer.run(&mut world, total, soon, |_, world| has_group(world));
    // What waits shows in seconds, and the group takes 2 to 4 more.
    assert!(took >= Duration::from_secs(5) && took <= Duration::from_secs(12), "{took:?}");
    assert!(transfer.taken < 300);
    // The rest would take the radio three minutes.
    transfer.run(&mut world, total, soon, |transfer, _| transfer.taken == total);

    // The radio stands all the while, and has it alone once nothing more comes.
    let idle_since = world.now();
    let given_up = |world: &World| (0..2).all(|node| link_over(world, node, GROUP).is_none());
    let end = world.now() + DEMAND_IDLE + Duration::from_secs(5);
    assert!(world.run_until_true(end, given_up));
    assert!(world.now().since(idle_since) >= DEMAND_IDLE - Duration::from_secs(1));
    world.run(Duration::from_secs(120));
    assert!(given_up(&world), "nobody needs it");
    assert_eq!(radio_link(&world), radio);
    for node in 0..2 {
        assert_eq!(world.host(node).node().unwrap().refusals().next(), None);
    }
    // And again.
    let total = total + 2_000;
    transfer.run(&mut world, total, soon, |transfer, _| transfer.taken == total);
    assert!(has_group(&world));
    assert_eq!(world.defects(), []);
}

#[test]
fn a_transfer_falls_back_to_the_radio_when_the_faster_link_breaks() {
    let mut world = pair();
    let radio = radio_link(&world);
    let mut transfer = Transfer::to(1);
    let soon = Duration::from_secs(20);
    transfer.run(&mut world, u32::MAX, soon, |_, world| has_group(world));
    let half = transfer.taken + 500;
    transfer.run(&mut world, u32::MAX, soon, |transfer, _| transfer.taken >= half);
    world.sever(GROUP, 0, 1);
    let total = transfer.sent + 300;
    // 300 letters and what the buffers held, at 20 KB/s.
    let slowly = Duration::from_secs(40);
    transfer.run(&mut world, total, slowly, |transfer, _| transfer.taken == total);
    assert_eq!(radio_link(&world), radio);
    assert_eq!(world.defects(), []);

    // It is in sight still, perhaps, and what was tried meanwhile can be seen.
    let host = world.host(0);
    let all: Vec<_> = host.node().unwrap().refusals().collect();
    let [refusal] = &all[..] else { panic!("{all:?}") };
    assert_eq!(refusal.address, Some(world.host(1).key().address()));
    assert!(refusal.failures >= 1);
    let cancelled = RefusalReason::Dial(DialFailure::Cancelled);
    assert!(matches!(refusal.reason, RefusalReason::Link(_)) || refusal.reason == cancelled);
    // In reach again, it is dialled when its wait is over, which is seconds.
    world.connect(GROUP, 0, 1);
    let longest = DEMAND_BACKOFF_MIN * 16;
    let took = transfer.run(&mut world, u32::MAX, longest, |_, world| has_group(world));
    assert!(took > Duration::from_secs(1), "{took:?}");
}

#[test]
fn talk_that_the_radio_keeps_up_with_makes_no_faster_link() {
    let mut world = pair();
    let mut talk = Transfer::to(1);
    // 10 KB/s for two minutes: half of what the radio carries.
    for said in 0..1_200 {
        talk.run(&mut world, said + 1, Duration::from_secs(1), |talk, _| talk.sent > said);
        talk.step(&mut world, said + 1);
        assert_eq!(group_link(&world), None, "after {said} words");
    }
    talk.run(&mut world, 1_200, Duration::from_secs(1), |talk, _| talk.taken == 1_200);
}

#[test]
fn power_and_the_user_decide_whether_a_faster_link_is_made() {
    let cases = [
        (UpgradePolicy::Never, Power::Mains, None),
        (UpgradePolicy::WhenItPays, Power::Low, None),
        (UpgradePolicy::WhenItPays, Power::Battery, Some(20)),
        (UpgradePolicy::Always, Power::Low, Some(1)),
    ];
    for (policy, power, waits_s) in cases {
        let mut world = line(2, policy);
        for node in 0..2 {
            world.with_node(node, |now, node| node.set_power(now, power));
        }
        let mut transfer = Transfer::to(1);
        let Some(waits_s) = waits_s else {
            let minute = Duration::from_secs(60);
            transfer.run(&mut world, 600, minute, |transfer, _| transfer.taken == 600);
            assert_eq!(group_link(&world), None, "{policy:?} {power:?}");
            continue;
        };
        let soon = Duration::from_secs(40);
        let took = transfer.run(&mut world, u32::MAX, soon, |_, world| has_group(world));
        let (least, most) = (waits_s, waits_s + 7);
        assert!((least..=most).contains(&took.as_secs()), "{policy:?} {power:?}: {took:?}");
        // And it is given up sooner than on mains.
        let total = transfer.sent;
        transfer.run(&mut world, total, soon, |transfer, _| transfer.taken == total);
        world.run(DEMAND_IDLE_ON_BATTERY + Duration::from_secs(2));
        assert_eq!(group_link(&world), None, "{policy:?} {power:?}");
    }
}

#[test]
fn a_longer_way_of_radios_gets_faster_hop_by_hop() {
    let mut world = line(3, UpgradePolicy::WhenItPays);
    let mut transfer = Transfer::to(2);
    let is_fast = |world: &World| {
        let groups = views(world, 1).into_iter().filter(|view| view.link.transport.0 == GROUP);
        groups.filter(|view| view.is_active).count() == 2
    };
    transfer.run(&mut world, u32::MAX, Duration::from_secs(60), |_, world| is_fast(world));
    let total = transfer.sent + 2_000;
    let soon = Duration::from_secs(20);
    transfer.run(&mut world, total, soon, |transfer, _| transfer.taken == total);
    world.run(DEMAND_IDLE + Duration::from_secs(5));
    assert!(views(&world, 1).iter().all(|view| view.link.transport.0 == RADIO));
    assert_eq!(world.defects(), []);
}

#[test]
fn a_faster_link_that_alone_leads_to_its_peer_stays_however_idle_it_is() {
    let mut world = World::new({
        let mut plan = Plan::new(3, 2, Medium::radio(4));
        plan.media.push(Medium::group(4));
        plan
    });
    world.connect(GROUP, 0, 1);
    let end = world.now() + Duration::from_secs(15);
    assert!(world.run_until_true(end, World::all_see_all), "it is dialled: nothing else leads");
    let link = group_link(&world).unwrap();
    world.run(10 * DEMAND_IDLE);
    assert_eq!(group_link(&world), Some(link));
    // Another way comes: then it goes.
    world.connect(RADIO, 0, 1);
    world.run(2 * DEMAND_IDLE + Duration::from_secs(5));
    assert_eq!(group_link(&world), None);
    assert!(world.all_see_all());
    assert_eq!(world.defects(), []);
}
