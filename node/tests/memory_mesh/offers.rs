//! Streams that are offered: accepted, refused, dropped.

use std::time::Duration;

use hedgerow::bus::{OpenError, StreamEnd, StreamError};
use hedgerow::memory::Shape;
use hedgerow::prelude::*;

use crate::scene::*;

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
