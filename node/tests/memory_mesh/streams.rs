//! Streams: both halves, credit, and what is left to its end when nobody waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hedgerow::bus::StreamError;
use hedgerow::memory::Shape;
use hedgerow::prelude::*;

use crate::scene::*;

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
