//! Questions without end: what each costs the victim, and who waits for it.

use std::time::Duration;

use bytes::BytesMut;
use hedgerow_core::bus::{Bus, BusConfig, Path};
use hedgerow_core::id::{LinkId, TransportId};
use hedgerow_core::io::Lane;
use hedgerow_core::time::Instant;
use hedgerow_core::wire::control::{BodyWant, Control};
use hedgerow_core::wire::frame::DataFrame;
use hedgerow_core::wire::routing::{DataKind, RoutingHeader};

use crate::evil::Evil;
use crate::scene::{Random, Scene, identity};

async fn evil(scene: &Scene) -> Evil {
    let mut evil = Evil::connect(scene.address(), scene.victim.peer_key(), identity()).await;
    evil.run_for(Duration::from_millis(500)).await;
    evil
}

fn frame(evil: &Evil, victim: hedgerow::PeerKey, kind: DataKind) -> DataFrame {
    let header = RoutingHeader {
        kind,
        congested: false,
        key_phase: false,
        hop_limit: 1,
        lifetime_ms: 1_000,
        source: evil.local.peer_key().address(),
        destination: victim.address(),
        session: 7,
        packet_low: 1,
    };
    DataFrame { lane: Lane::Realtime, header, tag: [0; 16], payload: BytesMut::new() }
}

/// Says what `questions` puts in, until all is on its way, and reads what comes back for a while.
/// Bytes of answers, and of questions.
async fn ask(evil: &mut Evil, questions: impl FnOnce(&mut Evil)) -> (usize, usize) {
    let (sent, received) = (evil.sent, evil.received);
    questions(evil);
    evil.until(Evil::is_done).await;
    evil.run_for(Duration::from_millis(700)).await;
    (evil.received - received, evil.sent - sent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_asks_of_traces_is_answered_sixteen_times_a_second() {
    let scene = Scene::new().await;
    let mut evil = evil(&scene).await;
    let asked = frame(&evil, scene.victim.peer_key(), DataKind::TraceAsk);
    let (answers, questions) = ask(&mut evil, |evil| {
        (0..5_000).for_each(|_| evil.send(asked.clone()));
    })
    .await;
    println!("  {answers} bytes of answers to {questions} of questions");
    assert!(evil.data.iter().any(|frame| frame.header.kind == DataKind::TraceTell));
    assert!(answers < questions / 4, "{answers} to {questions}");
    let counters = scene.victim.counters().await.unwrap();
    assert!(counters.trace_tells_over_rate > 4_900, "{}", counters.trace_tells_over_rate);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_packets_of_no_session_is_hinted_at_sixteen_times_a_second() {
    let scene = Scene::new().await;
    let mut evil = evil(&scene).await;
    let packet = frame(&evil, scene.victim.peer_key(), DataKind::Packet);
    let (answers, questions) = ask(&mut evil, |evil| {
        (0..5_000).for_each(|_| evil.send(packet.clone()));
    })
    .await;
    println!("  {answers} bytes of answers to {questions} of questions");
    assert!(answers < questions / 4, "{answers} to {questions}");
    let counters = scene.victim.counters().await.unwrap().bus;
    assert_eq!(counters.packets_unknown_session, 5_000);
    assert_eq!(counters.hints_sent + counters.hints_over_rate, 5_000);
    scene.finish().await;
}

/// True first messages of session handshakes, each another one.
fn calls(evil: &Evil, victim: hedgerow::PeerKey, count: usize) -> Vec<DataFrame> {
    let link = LinkId { transport: TransportId(0), number: 0 };
    let now = Instant::from_millis(1);
    let call = |_| {
        let mut bus = Bus::new(evil.local.clone(), BusConfig::default());
        let path = Path { link, hops: 1, hop_limit: 5, payload_bytes_max: 1_280 };
        bus.handle_path(now, victim, Some(path));
        bus.ping(now, victim, Duration::from_secs(1)).unwrap();
        let mut payload = BytesMut::new();
        let head =
            bus.poll_transmit(now, &mut Random, link, Lane::Realtime, 1_280, &mut payload).unwrap();
        DataFrame { lane: head.lane, header: head.header, tag: head.tag, payload }
    };
    (0..count).map(call).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_session_handshakes_holds_up_nobody() {
    let scene = Scene::new().await;
    let mut evil = evil(&scene).await;
    let calls = calls(&evil, scene.victim.peer_key(), 1_000);
    let (answers, questions) = ask(&mut evil, |evil| {
        for call in &calls {
            evil.send(call.clone());
            // And spliced: the words of this one under the tag of the next.
            evil.send(DataFrame { tag: calls[0].tag, ..call.clone() });
        }
    })
    .await;
    println!("  {answers} bytes of answers to {questions} of questions");
    assert!(answers < questions, "{answers} to {questions}");
    let counters = scene.victim.counters().await.unwrap().bus;
    println!("  {} answered", counters.handshakes_answered);
    assert!(counters.handshakes_over_rate > 500);
    assert_eq!(counters.handshakes_completed, 1, "the honest one's");
    scene.finish().await;
}

/// Metadata is the one thing of which a short question has a long answer; it travels on the bulk
/// lane, behind everything else, and no more than 32 pieces wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_questions_for_metadata_is_answered_behind_everything_else() {
    let scene = Scene::new().await;
    let big = "x".repeat(100_000);
    scene.honest.presence().set_peer_metadata(&serde_json::json!({ "big": big })).unwrap();
    crate::scene::wait_for(&scene.victim, |graph| {
        graph.remote_peers.iter().any(|peer| peer.peer_metadata.get("big").is_some())
    })
    .await;
    let mut evil = evil(&scene).await;
    let profile = evil.profile_of(scene.honest.peer_key()).await;
    let want = BodyWant { hash: profile.metadata_hash, offset: 0, pieces: 255 };
    let (answers, questions) = ask(&mut evil, |evil| {
        (0..20_000).for_each(|_| evil.say(&Control::BodyWant(want)));
    })
    .await;
    println!("  {answers} bytes of answers to {questions} of questions");
    assert!(answers > 0);
    scene.finish().await;
}
