//! Whole nodes over memory links, on paused (virtual) time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hedgerow::bus::{Fate, OpenError, SendError, StreamEnd, StreamError};
use hedgerow::config::{Config, WhenFull};
use hedgerow::driver::{Driver, DriverError, DriverFuture, Port, TransportProfile};
use hedgerow::memory::{Medium, Shape};
use hedgerow::prelude::*;
use hedgerow::{Identity, MeshBuilder, StartError};

const SOON: Duration = Duration::from_secs(30);

async fn node(medium: &Medium, name: &str) -> Mesh {
    configured(medium, name, Config::default()).await
}

async fn configured(medium: &Medium, name: &str, config: Config) -> Mesh {
    Mesh::builder()
        .config(config)
        .name(name)
        .network("test")
        .without_lan()
        .driver(medium.driver(name))
        .start()
        .await
        .unwrap()
}

/// Nodes a, b, c ... in a line.
async fn line(shape: Shape, names: &[&str]) -> (Medium, Vec<Mesh>) {
    let medium = Medium::new();
    let mut nodes = Vec::new();
    for pair in names.windows(2) {
        medium.connect(pair[0], pair[1], shape).unwrap();
    }
    for name in names {
        nodes.push(node(&medium, name).await);
    }
    for mesh in &nodes {
        wait_for(mesh, |graph| {
            graph.remote_peers.len() == names.len() - 1
                && graph.remote_peers.iter().all(|peer| !peer.device_name.is_empty())
        })
        .await;
    }
    (medium, nodes)
}

async fn wait_for(mesh: &Mesh, condition: impl FnMut(&PresenceGraph) -> bool) -> PresenceGraph {
    tokio::time::timeout(SOON, mesh.presence().wait_for(condition)).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_message_is_delivered_over_several_hops_and_says_so() {
    let (_medium, nodes) = line(Shape::lan(), &["a", "b", "c"]).await;
    let delivered = nodes[0].bus().send_reliable(nodes[2].peer_key(), "hello").await.unwrap();
    assert_eq!((delivered.hops, delivered.sequence), (2, 1));
    let message = nodes[2].bus().messages().next().await.unwrap();
    assert_eq!((message.from, &message.data[..]), (nodes[0].peer_key(), &b"hello"[..]));
    assert_eq!(message.reliability, Reliability::Reliable);
}

#[tokio::test(start_paused = true)]
async fn many_in_flight_arrive_in_order_with_a_slow_reader() {
    let (_medium, nodes) = line(Shape::lan(), &["a", "b"]).await;
    let (bus, to) = (nodes[0].bus(), nodes[1].peer_key());
    let sends = (0..2_000_u32).map(|n| {
        let bus = bus.clone();
        async move { bus.send_reliable(to, n.to_be_bytes().to_vec()).await }
    });
    let sending = tokio::spawn(join_all(sends.collect()));
    let mut messages = nodes[1].bus().messages();
    for n in 0..2_000_u32 {
        let message = messages.next().await.unwrap();
        assert_eq!(message.data[..], n.to_be_bytes());
        if n % 500 == 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    assert!(sending.await.unwrap().iter().all(Result::is_ok));
}

/// Polls all futures in their order, as often as needed.
async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(move |cx| {
        let mut pending = false;
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(ready) => *output = Some(ready),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(outputs.iter_mut().map(|output| output.take().unwrap()).collect())
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn the_first_poll_gives_a_message_its_place() {
    let (_medium, nodes) = line(Shape::lan(), &["a", "b"]).await;
    let (bus, to) = (nodes[0].bus(), nodes[1].peer_key());
    let mut sends = Vec::new();
    // More than tokio lets a task do in one turn.
    for n in 0..200_u32 {
        let bus = bus.clone();
        let mut send =
            Box::pin(async move { bus.send_reliable(to, n.to_be_bytes().to_vec()).await });
        let poll = std::future::poll_fn(|cx| std::task::Poll::Ready(send.as_mut().poll(cx)));
        assert!(poll.await.is_pending());
        sends.push(send);
    }
    // Whoever is polled first from now on.
    sends.reverse();
    let sending = tokio::spawn(join_all(sends));
    let mut messages = nodes[1].bus().messages();
    for n in 0..200_u32 {
        assert_eq!(messages.next().await.unwrap().data[..], n.to_be_bytes());
    }
    assert!(sending.await.unwrap().iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn a_full_inbox_rejects_when_it_is_told_to() {
    let medium = Medium::new();
    medium.connect("a", "b", Shape::lan()).unwrap();
    let mut config = Config::default();
    config.bus.when_full = WhenFull::Reject;
    config.bus.inbox_messages_max = 2;
    let (a, b) = (node(&medium, "a").await, configured(&medium, "b", config).await);
    wait_for(&a, |graph| graph.remote_peers.len() == 1).await;
    for _ in 0..2 {
        a.bus().send_reliable(b.peer_key(), "x").await.unwrap();
    }
    let full = a.bus().send_reliable(b.peer_key(), "x").await.unwrap_err();
    assert!(matches!(full, SendError::Rejected { .. }), "{full}");
    assert_eq!(full.fate(), Fate::NotDelivered);
    b.bus().messages().next().await.unwrap();
    a.bus().send_reliable(b.peer_key(), "x").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_an_error_that_says_not_delivered() {
    let medium = Medium::new();
    let a = node(&medium, "a").await;
    let stranger = Identity::generate(&mut Counting(7)).peer_key();
    let failed = a.bus().send_reliable(stranger, "x").await.unwrap_err();
    assert!(matches!(failed, SendError::NoRoute { fate: Fate::NotDelivered }), "{failed}");
    let failed = a.bus().send_unreliable(stranger, "x").await.unwrap_err();
    assert_eq!(failed.fate(), Fate::NotDelivered);
    let failed = a.bus().send_reliable(stranger, vec![0; 17 << 20]).await.unwrap_err();
    assert_eq!(failed, SendError::TooLarge { limit: 16 << 20 });
}

/// Not random: every call gives other bytes.
struct Counting(u8);

impl hedgerow::Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0 += 1;
        bytes.fill(self.0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_carries_both_ways_and_closes_half_by_half() {
    let (_medium, nodes) = line(Shape::slow_radio(), &["a", "b", "c"]).await;
    let mut acceptor = nodes[2].bus().listen("echo").await.unwrap();
    let to = nodes[2].peer_key();
    let echo = tokio::spawn(async move {
        let candidate = acceptor.next().await.unwrap();
        let mut stream = candidate.accept().await.unwrap();
        while let Some(message) = stream.next().await.unwrap() {
            stream.send(message).await.unwrap();
        }
        stream.finish().await.unwrap();
        stream.wait_acked().await.unwrap();
        stream
    });
    let mut stream = nodes[0].bus().open_stream(to, "echo", Reliability::Reliable).await.unwrap();
    for n in 0..20_u8 {
        stream.send(vec![n; 2_000]).await.unwrap();
    }
    stream.finish().await.unwrap();
    for n in 0..20_u8 {
        assert_eq!(stream.next().await.unwrap().unwrap()[..], [n; 2_000]);
    }
    assert_eq!(stream.next().await.unwrap(), None);
    stream.wait_acked().await.unwrap();
    assert_eq!(stream.acked(), 20);
    echo.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn streams_are_refused_rejected_and_reset_with_their_reasons() {
    let (_medium, nodes) = line(Shape::lan(), &["a", "b"]).await;
    let (bus, to) = (nodes[0].bus(), nodes[1].peer_key());
    let refused = bus.open_stream(to, "nobody", Reliability::Reliable).await.unwrap_err();
    assert!(matches!(refused, OpenError::Rejected { .. }), "{refused}");

    let mut acceptor = nodes[1].bus().listen("t").await.unwrap();
    assert!(nodes[1].bus().listen("t").await.is_err(), "one acceptor a topic");
    let opening = {
        let bus = bus.clone();
        tokio::spawn(async move { bus.open_stream(to, "t", Reliability::Reliable).await })
    };
    acceptor.next().await.unwrap().reject(42).await;
    let rejected = opening.await.unwrap().unwrap_err();
    assert!(rejected.to_string().contains("42"), "{rejected}");

    let opening = {
        let bus = bus.clone();
        tokio::spawn(async move { bus.open_stream(to, "t", Reliability::Reliable).await })
    };
    let too_large = acceptor.next().await.unwrap().accept_with(vec![0; 769].into()).await;
    assert_eq!(too_large.unwrap_err(), OpenError::TooLarge { limit: 768 });
    let rejected = opening.await.unwrap().unwrap_err();
    assert!(matches!(rejected, OpenError::Rejected { .. }), "{rejected}");

    let opening =
        tokio::spawn(async move { bus.open_stream(to, "t", Reliability::Reliable).await });
    let far = acceptor.next().await.unwrap().accept().await.unwrap();
    let mut near = opening.await.unwrap().unwrap();
    far.reset(7).await.unwrap();
    let ended = near.next().await.unwrap_err();
    assert_eq!(ended, StreamError::Ended(StreamEnd::Reset { code: 7 }));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_both_sides_finished_may_be_dropped_before_its_last_bytes_arrive() {
    let (_medium, nodes) = line(Shape::slow_radio(), &["a", "b"]).await;
    let mut acceptor = nodes[1].bus().listen("t").await.unwrap();
    let (bus, to) = (nodes[0].bus(), nodes[1].peer_key());
    let opening =
        tokio::spawn(async move { bus.open_stream(to, "t", Reliability::Reliable).await });
    let mut far = acceptor.next().await.unwrap().accept().await.unwrap();
    let mut near = opening.await.unwrap().unwrap();
    near.finish().await.unwrap();
    assert_eq!(far.next().await.unwrap(), None);
    far.send(vec![5; 50_000]).await.unwrap();
    far.finish().await.unwrap();
    drop(far);
    assert_eq!(near.next().await.unwrap().unwrap().len(), 50_000);
    assert_eq!(near.next().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_nobody_awaits_any_more_is_reset() {
    let (_medium, nodes) = line(Shape::lan(), &["a", "b"]).await;
    let mut acceptor = nodes[1].bus().listen("t").await.unwrap();
    let (bus, to) = (nodes[0].bus(), nodes[1].peer_key());
    let opening =
        tokio::spawn(async move { bus.open_stream(to, "t", Reliability::Reliable).await });
    let candidate = acceptor.next().await.unwrap();
    opening.abort();
    assert!(opening.await.is_err());
    let mut far = candidate.accept().await.unwrap();
    let ended = far.next().await.unwrap_err();
    assert_eq!(ended, StreamError::Ended(StreamEnd::Reset { code: 0 }));
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_nobody_decides_is_refused() {
    let (_medium, nodes) = line(Shape::lan(), &["a", "b"]).await;
    let mut acceptor = nodes[1].bus().listen("t").await.unwrap();
    let (bus, to) = (nodes[0].bus(), nodes[1].peer_key());
    let opening =
        tokio::spawn(async move { bus.open_stream(to, "t", Reliability::Reliable).await });
    drop(acceptor.next().await.unwrap());
    let refused = opening.await.unwrap().unwrap_err();
    assert!(matches!(refused, OpenError::Rejected { .. }), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_sender_waits_for_a_reader_that_sleeps() {
    let (_medium, nodes) = line(Shape::lan(), &["a", "b"]).await;
    let mut acceptor = nodes[1].bus().listen("t").await.unwrap();
    let (bus, to) = (nodes[0].bus(), nodes[1].peer_key());
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let sending = tokio::spawn(async move {
        let mut stream = bus.open_stream(to, "t", Reliability::Reliable).await.unwrap();
        for _ in 0..1_000 {
            stream.send(vec![1; 60_000]).await.unwrap();
            counter.fetch_add(1, Ordering::Relaxed);
        }
        stream.finish().await.unwrap();
        stream.wait_acked().await.unwrap();
    });
    let mut far = acceptor.next().await.unwrap().accept().await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let waiting = sent.load(Ordering::Relaxed);
    assert!(waiting < 500, "{waiting} messages of 60 kB were taken with nobody reading");
    let mut received = 0;
    while let Some(message) = far.next().await.unwrap() {
        assert_eq!(message.len(), 60_000);
        received += 1;
    }
    assert_eq!(received, 1_000);
    sending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_does_not_wait_is_told_when_there_is_no_credit_and_when_it_is_over() {
    let (_medium, nodes) = line(Shape::lan(), &["a", "b"]).await;
    let mut acceptor = nodes[1].bus().listen("t").await.unwrap();
    let opening = nodes[0].bus();
    let opening = opening.open_stream(nodes[1].peer_key(), "t", Reliability::Reliable);
    let accepting = async { acceptor.next().await.unwrap().accept().await.unwrap() };
    let (stream, mut far) = tokio::join!(opening, accepting);
    let mut stream = stream.unwrap();
    let limit = stream.max_message_size();
    let too_large = stream.try_send(vec![0; limit + 1]);
    assert_eq!(too_large, Err(StreamError::TooLarge { limit }));

    let message = bytes::Bytes::from(vec![1; 60_000]);
    let mut sent = 0;
    // What is refused is refused while nobody reads, and what was sent in between is numbered.
    for _ in 0..3 {
        let refused = loop {
            match stream.try_send(message.clone()) {
                Ok(number) => {
                    sent += 1;
                    assert_eq!(number, sent);
                }
                Err(error) => break error,
            }
        };
        assert_eq!(refused, StreamError::Blocked);
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    assert!((17..500).contains(&sent), "{sent} messages of 60 kB were taken with nobody reading");
    for _ in 0..sent {
        assert_eq!(far.next().await, Ok(Some(message.clone())));
    }
    assert_eq!(stream.try_send("there is room again"), Ok(sent + 1));
    assert_eq!(far.next().await, Ok(Some("there is room again".into())));
    stream.finish().await.unwrap();
    assert_eq!(stream.try_send("x"), Err(StreamError::Finished));
    nodes[0].shutdown().await;
    assert_eq!(stream.try_send("x"), Err(StreamError::MeshClosed(MeshClosed)));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_acknowledgements_on_a_stream_that_has_none() {
    let (_medium, nodes) = line(Shape::lan(), &["a", "b"]).await;
    let mut acceptor = nodes[1].bus().listen("t").await.unwrap();
    let opening = nodes[0].bus();
    let opening = opening.open_stream(nodes[1].peer_key(), "t", Reliability::Unreliable);
    let accepting = async { acceptor.next().await.unwrap().accept().await.unwrap() };
    let (stream, mut far) = tokio::join!(opening, accepting);
    let mut stream = stream.unwrap();
    stream.send("x").await.unwrap();
    assert_eq!(far.next().await, Ok(Some("x".into())));
    let waited = tokio::time::timeout(SOON, stream.wait_acked()).await;
    assert_eq!(waited, Ok(Err(StreamError::Unreliable)));
}

#[tokio::test(start_paused = true)]
async fn a_finish_that_is_dropped_has_finished_all_the_same() {
    let (_medium, nodes) = line(Shape::lan(), &["a", "b"]).await;
    let mut acceptor = nodes[1].bus().listen("t").await.unwrap();
    let opening = nodes[0].bus();
    let opening = opening.open_stream(nodes[1].peer_key(), "t", Reliability::Reliable);
    let accepting = async { acceptor.next().await.unwrap().accept().await.unwrap() };
    let (stream, mut far) = tokio::join!(opening, accepting);
    let mut stream = stream.unwrap();
    // So many calls that the node takes no more before this task waits.
    let mut questions: Vec<_> = (0..2_000).map(|_| Box::pin(nodes[0].links())).collect();
    for question in &mut questions {
        assert!(polled_once(question.as_mut()).await.is_pending());
    }
    let finish = stream.finish();
    let _ = polled_once(std::pin::pin!(finish)).await;
    assert_eq!(stream.send("x").await, Err(StreamError::Finished));
    drop(questions);
    let end = tokio::time::timeout(SOON, far.next()).await;
    assert_eq!(end, Ok(Ok(None)), "the other side hears that no more comes");
}

async fn polled_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await
}

#[tokio::test(start_paused = true)]
async fn messages_that_nobody_awaits_any_more_take_no_room_in_the_queue() {
    struct Owner(#[allow(dead_code, reason = "counted")] Arc<()>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            static MEBIBYTE: [u8; 1 << 20] = [0; 1 << 20];
            &MEBIBYTE
        }
    }
    let medium = Medium::new();
    let mesh = node(&medium, "a").await;
    let nobody = Identity::from_seed(&[7; 32]).unwrap().peer_key();
    let alive = Arc::new(());
    for _ in 0..1_000 {
        let message = bytes::Bytes::from_owner(Owner(alive.clone()));
        let bus = mesh.bus();
        let sending = bus.send_reliable(nobody, message);
        tokio::time::timeout(Duration::from_millis(1), sending).await.unwrap_err();
    }
    let kept = Arc::strong_count(&alive) - 1;
    assert!(kept < 100, "{kept} MiB are kept, of which the core sends 32");
}

#[tokio::test(start_paused = true)]
async fn an_opening_that_is_dropped_when_it_has_just_succeeded_is_reset() {
    let (_medium, nodes) = line(Shape::lan(), &["a", "b"]).await;
    let mut acceptor = nodes[1].bus().listen("t").await.unwrap();
    let bus = nodes[0].bus();
    let opening = bus.open_stream(nodes[1].peer_key(), "t", Reliability::Reliable);
    let mut opening = Box::pin(opening);
    assert!(polled_once(opening.as_mut()).await.is_pending());
    let mut far = acceptor.next().await.unwrap().accept().await.unwrap();
    // The answer is there, and nobody has looked at it.
    tokio::time::sleep(Duration::from_secs(5)).await;
    drop(opening);
    let end = tokio::time::timeout(SOON, far.next()).await;
    assert_eq!(end, Ok(Err(StreamError::Ended(StreamEnd::Reset { code: 0 }))));
}

#[tokio::test(start_paused = true)]
async fn observers_see_the_graph_at_once_and_survive_their_own_panic() {
    let medium = Medium::new();
    medium.connect("a", "b", Shape::lan()).unwrap();
    let a = node(&medium, "a").await;
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let mut calls = 0;
    let observer = a.presence().observe(move |graph| {
        calls += 1;
        let _ = sender.send(graph.remote_peers.len());
        assert!(calls != 1, "the first call panics");
    });
    assert_eq!(seen.recv().await, Some(0));
    let b = node(&medium, "b").await;
    while seen.recv().await != Some(1) {}
    assert!(!observer.is_cancelled());
    drop(observer);
    b.shutdown().await;
    wait_for(&a, |graph| graph.remote_peers.is_empty()).await;
    while let Some(peers) = seen.recv().await {
        assert_ne!(peers, 0, "called after it was dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn newer_figures_alone_do_not_call_observers() {
    let (_medium, nodes) = line(Shape::slow_radio(), &["a", "b"]).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let _observer = nodes[0].presence().observe(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn changes_tell_of_peers_and_connections() {
    let medium = Medium::new();
    medium.connect("a", "b", Shape::lan()).unwrap();
    let a = node(&medium, "a").await;
    let mut changes = a.presence().changes();
    let b = node(&medium, "b").await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        match changes.next().await.unwrap() {
            Change::PeerJoined(peer) => seen.push(peer.peer_key_string.clone()),
            Change::ConnectionUp(connection) => {
                assert_eq!(connection.connection_type.name(), "Memory");
                seen.push(connection.id);
            }
            _ => {}
        }
    }
    wait_for(&a, |graph| graph.remote_peers.iter().any(|peer| peer.device_name == "b")).await;
    b.shutdown().await;
    loop {
        if let Change::PeerLeft { peer, .. } = changes.next().await.unwrap() {
            assert_eq!(peer.peer_key, b.peer_key());
            assert_eq!(peer.device_name, "b", "who left is still told by name");
            break;
        }
    }
    a.shutdown().await;
    while changes.next().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn metadata_is_seen_two_hops_away_and_bad_metadata_changes_nothing() {
    let (_medium, nodes) = line(Shape::slow_radio(), &["a", "b", "c"]).await;
    let presence = nodes[0].presence();
    presence.set_peer_metadata(&serde_json::json!({"room": 7})).unwrap();
    assert!(presence.set_peer_metadata_json_str("{location:\"inside\"}").is_err());
    assert_eq!(presence.peer_metadata_json_string(), "{\"room\":7}");
    let graph = wait_for(&nodes[2], |graph| {
        graph.remote_peers.iter().any(|peer| peer.peer_metadata.contains_key("room"))
    })
    .await;
    let owner = graph.remote_peers.iter().find(|peer| peer.device_name == "a").unwrap();
    assert_eq!(owner.peer_metadata["room"], 7);
    assert!(!owner.metadata_pending);
}

struct Broken(bool);

impl Driver for Broken {
    fn profile(&self) -> TransportProfile {
        TransportProfile {
            kind: ConnectionType::other("Broken"),
            links_max: 1,
            dials_max: 1,
            dial_timeout: Duration::from_secs(1),
        }
    }

    fn run(self: Box<Self>, _: Port) -> DriverFuture {
        Box::pin(async move {
            assert!(!self.0, "a driver that panics");
            Err(DriverError::new("no pigeons left; buy some"))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_driver_is_a_condition_and_the_node_goes_on() {
    for panics in [false, true] {
        let medium = Medium::new();
        medium.connect("a", "b", Shape::lan()).unwrap();
        let a = Mesh::builder()
            .network("test")
            .without_lan()
            .driver(Broken(panics))
            .driver(medium.driver("a"))
            .start()
            .await
            .unwrap();
        let mut transports = a.transport_changes();
        let dead = transports
            .wait_for(|all| all[0].condition.state == hedgerow::driver::ConditionState::Dead)
            .await
            .unwrap()
            .clone();
        assert_eq!(dead[0].condition.detail.contains("pigeons"), !panics);
        let disabled = hedgerow::driver::ConditionState::Disabled;
        let is_told = |all: &std::sync::Arc<[hedgerow::TransportStatus]>| {
            all.last().is_some_and(|lan| lan.condition.state == disabled)
        };
        if cfg!(feature = "lan") {
            let told = transports.wait_for(is_told);
            tokio::time::timeout(Duration::from_secs(10), told).await.unwrap().unwrap();
        }
        let b = node(&medium, "b").await;
        wait_for(&a, |graph| graph.remote_peers.len() == 1).await;
        a.bus().send_reliable(b.peer_key(), "still here").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_transports_are_refused() {
    let drivers = (0..256).map(|number| Medium::new().driver(&number.to_string()));
    let builder = Mesh::builder().network("test").without_lan();
    let error = drivers.fold(builder, MeshBuilder::driver).start().await.unwrap_err();
    assert!(matches!(error, StartError::TooManyTransports { limit: 255, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn after_shutdown_every_handle_says_so() {
    let (_medium, nodes) = line(Shape::lan(), &["a", "b"]).await;
    let [a, b] = &nodes[..] else { panic!() };
    let bus = a.bus();
    let mut acceptor = bus.listen("t").await.unwrap();
    let mut transports = a.transport_changes();
    transports.borrow_and_update();
    a.shutdown().await;
    a.shutdown().await;
    let changed = tokio::time::timeout(SOON, transports.wait_for(|_| false)).await;
    assert!(changed.expect("the wait ends with the node").is_err());
    assert_eq!(a.transports().len(), transports.borrow().len());
    assert!(matches!(bus.send_reliable(b.peer_key(), "x").await, Err(SendError::MeshClosed(_))));
    assert!(acceptor.next().await.is_none());
    assert!(bus.messages().next().await.is_none());
    assert!(a.links().await.is_err());
    assert!(a.presence().register_observer(|_| ()).is_err());
    wait_for(b, |graph| graph.remote_peers.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_takes_the_node_with_it() {
    let (_medium, mut nodes) = line(Shape::lan(), &["a", "b"]).await;
    drop(nodes.remove(0));
    wait_for(&nodes[0], |graph| graph.remote_peers.is_empty()).await;
}

/// A node whose home was restored from an old copy, or whose epoch file was lost while the clock
/// stood at 1970, hears of its own later run from others.
#[tokio::test(start_paused = true)]
async fn a_stepped_epoch_is_written_home_and_survives_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let epoch_file = folder.path().join("epoch");
    let epoch = || std::fs::read_to_string(&epoch_file).unwrap();
    let medium = Medium::new();
    medium.connect("a", "b", Shape::lan()).unwrap();
    let remembers = node(&medium, "a").await;
    let start = async |name: &str| {
        let home = Home::open(Some(folder.path())).unwrap();
        let builder = Mesh::builder().name(name).network("test").without_lan();
        builder.home(home).driver(medium.driver("b")).start().await.unwrap()
    };
    let is_seen = async |name: &'static str| {
        wait_for(&remembers, |graph| graph.remote_peers.iter().any(|p| p.device_name == name)).await
    };
    std::fs::write(&epoch_file, "hedgerow-epoch-1 500\n").unwrap();
    let later = start("later").await;
    is_seen("later").await;
    assert_eq!(epoch(), "hedgerow-epoch-1 501\n");
    later.shutdown().await;

    std::fs::write(&epoch_file, "hedgerow-epoch-1 3\n").unwrap();
    let restored = start("restored").await;
    is_seen("restored").await;
    assert_eq!(epoch(), "hedgerow-epoch-1 502\n", "it stepped above, on disk too");
    restored.shutdown().await;

    let next = start("next").await;
    is_seen("next").await;
    assert_eq!(epoch(), "hedgerow-epoch-1 503\n");
    next.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_without_the_secret_is_shown_to_both_sides_with_a_sentence() {
    let secret = |byte| hedgerow::NetworkSecret::from_bytes([byte; 16]);
    let builder = || Mesh::builder().network("test").without_lan();
    for (a, b, dialler_hears, other_hears) in [
        (
            builder().network_secret(secret(1)),
            builder().network_secret(secret(2)),
            "secret",
            "secret",
        ),
        (builder().network_secret(secret(1)), builder(), "open", "closed"),
    ] {
        let medium = Medium::new();
        medium.connect("a", "b", Shape::lan()).unwrap();
        let a = a.name("a").driver(medium.driver("a")).start().await.unwrap();
        let b = b.name("b").driver(medium.driver("b")).start().await.unwrap();
        for (mesh, expected) in [(&a, dialler_hears), (&b, other_hears)] {
            let mut strangers = Vec::new();
            while strangers.is_empty() {
                tokio::time::sleep(Duration::from_millis(100)).await;
                strangers = mesh.strangers().await.unwrap();
            }
            assert_eq!(strangers.len(), 1, "{strangers:?}");
            assert!(strangers[0].reason.contains(expected), "{strangers:?}");
            assert!(mesh.presence().graph().remote_peers.is_empty());
        }
    }
}
