//! Hedgerow's side: real nodes, real TCP, multicast DNS off.

use std::net::Ipv4Addr;
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use hedgerow::prelude::*;

use crate::case::{Job, Kind};
use crate::child::{Figures, Ready, say, shared_micros};
use crate::report::percentile;

/// Reliable messages whose outcome is awaited at once.
const ON_THEIR_WAY: usize = 4_096;
const GOODPUT: &str = "goodput";
const ECHO: &str = "echo";

async fn start(connect: &[String]) -> anyhow::Result<Mesh> {
    let mut config = Config::default();
    config.transports.lan.mdns_enabled = false;
    config.transports.ble.enabled = false;
    config.transports.lan.listen_ip = Ipv4Addr::LOCALHOST.into();
    config.connect.tcp_servers = connect.to_vec();
    Ok(Mesh::builder().config(config).network("bench").start().await?)
}

fn say_ready(mesh: &Mesh) -> anyhow::Result<()> {
    let address = mesh.listen_addresses().first().context("the node does not listen")?;
    let ready = Ready { address: address.to_string(), key: mesh.peer_key().to_string() };
    say("ready", &ready);
    Ok(())
}

pub(crate) async fn relay(job: Job) -> anyhow::Result<()> {
    let _mesh = start(&job.connect).await?;
    std::future::pending().await
}

pub(crate) async fn sink(job: Job) -> anyhow::Result<()> {
    let mesh = start(&[]).await?;
    let mut goodput = mesh.bus().listen(GOODPUT).await?;
    let mut echoes = mesh.bus().listen(ECHO).await?;
    say_ready(&mesh)?;
    match job.kind {
        Kind::Messages => {
            let (mut messages, mut received) = (mesh.bus().messages(), 0);
            while received < job.total {
                let message = messages.next().await.context("the node ended")?;
                received += message.data.len();
                if received >= job.total {
                    mesh.bus().send_reliable(message.from, "all").await?;
                }
            }
        }
        Kind::Stream => {
            let mut stream = goodput.next().await.context("the node ended")?.accept().await?;
            let mut received = 0;
            while received < job.total {
                received += stream.next().await?.context("the stream was cut")?.len();
            }
            stream.send("all").await?;
            stream.wait_acked().await?;
        }
        Kind::PingPong => {
            let mut stream = echoes.next().await.context("the node ended")?.accept().await?;
            // The source lets go of the stream when it has seen enough.
            while let Ok(Some(message)) = stream.next().await {
                stream.send(message).await?;
            }
        }
        Kind::SetUp => {
            mesh.bus().messages().next().await.context("the node ended")?;
            say("first-byte", &shared_micros());
        }
    }
    std::future::pending().await
}

pub(crate) async fn source(job: Job) -> anyhow::Result<()> {
    let to: PeerKey = job.to.as_deref().context("whom to")?.parse()?;
    let begin = shared_micros();
    let mesh = start(&job.connect).await?;
    say_ready(&mesh)?;
    let figures = match job.kind {
        Kind::Messages => {
            meet(&mesh, to).await?;
            Figures { bytes_per_s: send(&mesh, to, &job).await?, ..Figures::default() }
        }
        Kind::Stream => {
            meet(&mesh, to).await?;
            Figures { bytes_per_s: stream(&mesh, to, &job).await?, ..Figures::default() }
        }
        Kind::PingPong => {
            meet(&mesh, to).await?;
            ping(&mesh, to, job.bytes, job.total / job.bytes).await?
        }
        Kind::SetUp => {
            mesh.bus().send_reliable(to, vec![1]).await?;
            Figures { micros: begin, ..Figures::default() }
        }
    };
    say("figures", &figures);
    std::future::pending().await
}

/// Waits until there is a session: one empty message.
async fn meet(mesh: &Mesh, to: PeerKey) -> anyhow::Result<()> {
    mesh.bus().send_reliable(to, Bytes::new()).await?;
    Ok(())
}

async fn send(mesh: &Mesh, to: PeerKey, job: &Job) -> anyhow::Result<f64> {
    let (bus, message) = (mesh.bus(), Bytes::from(vec![7; job.bytes]));
    let begin = Instant::now();
    let sends = (0..job.total / job.bytes).map(|_| bus.send_reliable(to, message.clone()));
    let sent = futures_util::stream::iter(sends).buffered(ON_THEIR_WAY);
    sent.try_for_each(|_| std::future::ready(Ok(()))).await?;
    bus.messages().next().await.context("the node ended")?;
    Ok(job.total as f64 / begin.elapsed().as_secs_f64())
}

async fn stream(mesh: &Mesh, to: PeerKey, job: &Job) -> anyhow::Result<f64> {
    let message = Bytes::from(vec![7; job.bytes]);
    let mut stream = mesh.bus().open_stream(to, GOODPUT, Reliability::Reliable).await?;
    let begin = Instant::now();
    for _ in 0..job.total / job.bytes {
        stream.send(message.clone()).await?;
    }
    stream.next().await?.context("the stream was cut")?;
    Ok(job.total as f64 / begin.elapsed().as_secs_f64())
}

async fn ping(mesh: &Mesh, to: PeerKey, bytes: usize, count: usize) -> anyhow::Result<Figures> {
    let message = Bytes::from(vec![7; bytes]);
    let mut stream = mesh.bus().open_stream(to, ECHO, Reliability::Reliable).await?;
    let mut micros = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = Instant::now();
        stream.send(message.clone()).await?;
        stream.next().await?.context("the stream was cut")?;
        micros.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    let (p50, p99) = (percentile(&mut micros, 50), percentile(&mut micros, 99));
    Ok(Figures { micros: p50, micros_p99: p99, ..Figures::default() })
}
