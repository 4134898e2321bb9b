//! What A and E say to each other.

use std::time::{Duration, Instant};

use hedgerow::bus::{Delivered, Message, Reliability, Stream};
use serde_json::json;

use super::nodes::Nodes;
use super::story::{Failed, Story};
use crate::output::{duration, millis};

const RELIABLE: &str = "hello E, this is A";
const UNRELIABLE: &str = "a reading that may get lost";
const AFTER_THE_CUT: &str = "E, are you still there?";
const TOPIC: &str = "demo";
/// What the stream carries: about a second's worth of the radio.
const STREAM_MESSAGES: usize = 20;
const STREAM_MESSAGE_BYTES: usize = 1_000;

pub(super) async fn reliable(nodes: &Nodes, story: &mut Story) -> Result<(), Failed> {
    let to = nodes.key("E")?;
    let delivered = nodes.mesh("A")?.bus().send_reliable(to, RELIABLE).await.map_err(Failed::of)?;
    expect(nodes, &nodes.next_at_e().await?, Reliability::Reliable, RELIABLE)?;
    let path = nodes.path_to_e()?;
    story.count_delivered(1);
    story.set_hops(delivered.hops);
    story.tell(
        &json!({"event": "delivered", "to": "E", "reliability": "reliable", "path": path,
                "hops": delivered.hops, "rttMs": millis(delivered.rtt), "bytes": RELIABLE.len()}),
        || {
            format!(
                "\nA sent E a reliable message: delivered in {}, over {} hops: {}.",
                duration(delivered.rtt),
                delivered.hops,
                path.join(" > "),
            )
        },
    )
}

pub(super) async fn unreliable(nodes: &Nodes, story: &mut Story) -> Result<(), Failed> {
    let (to, started) = (nodes.key("E")?, Instant::now());
    nodes.mesh("A")?.bus().send_unreliable(to, UNRELIABLE).await.map_err(Failed::of)?;
    expect(nodes, &nodes.next_at_e().await?, Reliability::Unreliable, UNRELIABLE)?;
    let (took, path) = (started.elapsed(), nodes.path_to_e()?);
    story.count_delivered(1);
    story.tell(
        &json!({"event": "received", "at": "E", "reliability": "unreliable", "path": path,
                "oneWayMs": millis(took), "bytes": UNRELIABLE.len()}),
        || format!("A sent E an unreliable message: it was there after {}.", duration(took)),
    )
}

fn expect(
    nodes: &Nodes,
    message: &Message,
    reliability: Reliability,
    text: &str,
) -> Result<(), Failed> {
    let same = message.data == text.as_bytes()
        && message.reliability == reliability
        && message.from == nodes.key("A")?;
    if same { Ok(()) } else { Err(Failed::because("E got something else than A sent")) }
}

pub(super) async fn stream(nodes: &Nodes, story: &mut Story) -> Result<(), Failed> {
    let mut acceptor = nodes.mesh("E")?.bus().listen(TOPIC).await.map_err(Failed::of)?;
    let mut data = vec![0; STREAM_MESSAGES * STREAM_MESSAGE_BYTES];
    getrandom::fill(&mut data).map_err(Failed::of)?;
    let (to, bus) = (nodes.key("E")?, nodes.mesh("A")?.bus());
    let started = Instant::now();
    let sending = async {
        let opened = bus.open_stream(to, TOPIC, Reliability::Reliable).await;
        let mut stream = opened.map_err(Failed::of)?;
        for message in data.chunks(STREAM_MESSAGE_BYTES) {
            stream.send(message.to_vec()).await.map_err(Failed::of)?;
        }
        stream.finish().await.map_err(Failed::of)?;
        stream.wait_acked().await.map_err(Failed::of)?;
        let took = started.elapsed();
        while stream.next().await.map_err(Failed::of)?.is_some() {}
        Ok((stream, took))
    };
    let receiving = async {
        let candidate = acceptor.next().await;
        let candidate = candidate.ok_or_else(|| Failed::because("E has shut down"))?;
        receive_all(candidate.accept().await.map_err(Failed::of)?).await
    };
    // Both ends are kept until both are done: one that is dropped before resets the other.
    let ((_near, took), (_far, received)) = tokio::try_join!(sending, receiving)?;
    if received.concat() != data {
        return Err(Failed::because("E got other bytes than A sent"));
    }
    let (messages, bytes) = (received.len(), data.len());
    let rate = (bytes as f64 / took.as_secs_f64()).round();
    story.count_delivered(messages);
    story.tell(
        &json!({"event": "stream", "to": "E", "messages": messages, "bytes": bytes,
                "ms": millis(took), "bytesPerS": rate}),
        || {
            format!(
                "A sent E a stream: {messages} messages, {bytes} bytes, all acknowledged in {} \
                 ({:.1} KB/s).",
                duration(took),
                rate / 1e3,
            )
        },
    )
}

async fn receive_all(mut stream: Stream) -> Result<(Stream, Vec<Vec<u8>>), Failed> {
    let mut received = Vec::new();
    while let Some(message) = stream.next().await.map_err(Failed::of)? {
        received.push(message.to_vec());
    }
    stream.finish().await.map_err(Failed::of)?;
    Ok((stream, received))
}

/// Sends to E while there is no way; completes when there was one. How long it took in all.
pub(super) async fn send_across_the_cut(nodes: &Nodes) -> Result<(Delivered, Duration), Failed> {
    let (to, bus, started) = (nodes.key("E")?, nodes.mesh("A")?.bus(), Instant::now());
    let delivered = bus.send_reliable(to, AFTER_THE_CUT).await.map_err(Failed::of)?;
    Ok((delivered, started.elapsed()))
}

pub(super) async fn expect_after_the_cut(nodes: &Nodes) -> Result<(), Failed> {
    expect(nodes, &nodes.next_at_e().await?, Reliability::Reliable, AFTER_THE_CUT)
}
