//! Two drivers on two hosts find each other, take other names and leave.

#![cfg(target_os = "linux")]

mod hosts;
mod node;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hedgerow_driver::ConditionState;
use hosts::{Host, segment, sighted};
use node::beacon;

/// Not a test of its own: what runs in each namespace.
#[tokio::test]
async fn child() {
    hosts::child().await;
}

#[test]
fn two_hosts_see_each_other_come_rename_and_go() {
    let Some([a, b]) = segment("mdns") else { return };
    let (label, renamed) = (beacon(2).label(), beacon(3).label());
    let mut here = Host::start(&a, 1, "");
    let mut there = Host::start(&b, 2, "");
    let endpoints = here.until_sighted(&label, &["10.77.0.2:", "[fe80:"]);
    there.until_sighted(&beacon(1).label(), &["10.77.0.1:", "[fe80:"]);
    for endpoint in &endpoints {
        here.link(endpoint);
    }

    // A closed network's beacon changes its name now and then: the place stays.
    there.order("advertise 3");
    let endpoints: BTreeSet<String> = endpoints.into_iter().collect();
    let mut under_new_name = BTreeSet::new();
    here.until("the new name at every endpoint", |line| {
        assert!(!line.starts_with("lost "), "{line}");
        under_new_name.extend(sighted(line, &renamed));
        under_new_name.is_superset(&endpoints)
    });

    there.until_ended();
    here.until_lost(&under_new_name.into_iter().collect::<Vec<_>>());
    let rest = here.until_ended();
    assert!(!rest.iter().any(|line| line.starts_with("lost ")), "lost once: {rest:?}");
}

#[test]
fn a_peer_that_was_killed_is_lost_soon_after_a_dial_and_one_that_lives_is_not() {
    let Some([a, b]) = segment("killed") else { return };
    let mut here = Host::start(&a, 1, "");
    let there = Host::start(&b, 2, "");
    let endpoints = here.until_sighted(&beacon(2).label(), &["10.77.0.2:", "[fe80:"]);

    // It lives, but the way to one address is closed: asked, it answers and stays.
    a.ip("route add unreachable 10.77.0.2/32");
    here.order(&format!("dial {}", endpoints[0]));
    here.until("the failure", |line| line.starts_with("no "));
    a.ip("route del unreachable 10.77.0.2/32");
    // Nobody has this address: the system needs 3 s to say so, which is what an answer may take.
    for _ in 0..2 {
        here.order("dial 10.77.0.99:1");
        let said = here.until("the failure", |line| line.starts_with("no "));
        assert!(!said.iter().any(|line| line.starts_with("lost ")), "{said:?}");
    }

    drop(there);
    let began = Instant::now();
    here.order(&format!("dial {}", endpoints[0]));
    here.until_lost(&endpoints);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_peer_that_crashed_came_back_under_a_new_name_and_left_is_lost_soon() {
    let Some([a, b]) = segment("crashed") else { return };
    let here = Host::start(&a, 1, "");
    let there = Host::start(&b, 2, "port=4040");
    here.until_sighted(&beacon(2).label(), &["10.77.0.2:", "[fe80:"]);
    drop(there);
    let there = Host::start(&b, 3, "port=4040");
    let endpoints = here.until_sighted(&beacon(3).label(), &["10.77.0.2:", "[fe80:"]);
    there.until_ended();
    let began = Instant::now();
    here.until_lost(&endpoints);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn without_the_port_it_says_so_configured_peers_go_on_and_it_recovers() {
    let Some([a, _b]) = segment("held") else { return };
    let mut host = Host::start(&a, 1, "held=yes peer=192.0.2.1:4040");
    let (mut failure, mut has_peer) = (String::new(), false);
    let start = format!("condition {:?} ", ConditionState::MdnsFailure);
    host.until("the condition and the peer", |line| {
        if let Some(detail) = line.strip_prefix(&start) {
            detail.clone_into(&mut failure);
        }
        has_peer |= line == "sighted 192.0.2.1:4040 static";
        !failure.is_empty() && has_peer
    });
    assert!(failure.contains("eth0") && failure.contains("5353"), "{failure}");
    host.order("release now");
    assert_eq!(host.until_condition(ConditionState::Ok), "");
    host.until_ended();
}

#[test]
fn a_node_that_was_held_up_loses_whoever_left_and_nobody_else() {
    let Some([a, b]) = segment("stall") else { return };
    let mut here = Host::start(&a, 1, "");
    let _there = Host::start(&b, 2, "");
    here.until_sighted(&beacon(2).label(), &["10.77.0.2:", "[fe80:"]);
    let leaver = Host::start(&b, 3, "");
    let left = here.until_sighted(&beacon(3).label(), &["10.77.0.2:", "[fe80:"]);

    // So many come up meanwhile, with three events each, that the responder gives up on this node;
    // and so few that it can tell of all of them at once afterwards.
    here.order("stall now");
    here.until("the stall", |line| line == "stalled");
    let flood = Host::start(&b, 4, "flood=450");
    flood.until("the flood", |line| line == "flooded");
    leaver.until_ended();
    // The second announcement of another one comes a second later, and so long a goodbye waits.
    let after = Host::start(&b, 5, "flood=1");
    after.until("a second", |line| line == "flooded");
    here.order("go on");
    let mut lost = BTreeSet::new();
    here.until("the loss of the one that left", |line| {
        lost.extend(line.strip_prefix("lost ").map(str::to_owned));
        left.iter().all(|endpoint| lost.contains(endpoint))
    });
    assert_eq!(lost, left.into_iter().collect(), "the other one is still there");
    let rest = here.until_ended();
    assert!(!rest.iter().any(|line| line.starts_with("lost ")), "{rest:?}");
}
