//! The yardstick: tokio TCP, messages behind their length, buffers of 256 KiB.

use std::time::Instant;

use anyhow::Context;
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::net::{TcpListener, TcpStream};

use crate::case::{Job, Kind};
use crate::child::{Figures, Ready, say, shared_micros};
use crate::report::percentile;

const BUFFER: usize = 256 * 1_024;

pub(crate) async fn sink(job: Job) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    say("ready", &Ready { address, key: String::new() });
    let (mut stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    match job.kind {
        Kind::Messages | Kind::Stream => receive(&mut stream, job.total).await,
        Kind::PingPong => echo(&mut stream, job.bytes).await,
        Kind::SetUp => {
            stream.read_exact(&mut [0]).await?;
            say("first-byte", &shared_micros());
            Ok(())
        }
    }
}

/// Reads messages until there were `total` bytes of them, and says so with one byte.
async fn receive(stream: &mut TcpStream, total: usize) -> anyhow::Result<()> {
    let mut buffer = BytesMut::with_capacity(2 * BUFFER);
    let mut received = 0;
    while received < total {
        buffer.reserve(BUFFER);
        anyhow::ensure!(stream.read_buf(&mut buffer).await? > 0, "cut at {received} bytes");
        while let Some(length) = buffer.first_chunk() {
            let length = u32::from_be_bytes(*length) as usize;
            if buffer.len() < 4 + length {
                break;
            }
            buffer.advance(4);
            received += std::hint::black_box(buffer.split_to(length)).len();
        }
    }
    stream.write_all(&[1]).await?;
    Ok(())
}

async fn echo(stream: &mut TcpStream, bytes: usize) -> anyhow::Result<()> {
    let mut message = vec![0; bytes];
    while stream.read_exact(&mut message).await.is_ok() {
        stream.write_all(&message).await?;
    }
    Ok(())
}

pub(crate) async fn source(job: Job) -> anyhow::Result<()> {
    say("ready", &Ready { address: String::new(), key: String::new() });
    let address = job.connect.first().context("whereto")?;
    let begin = shared_micros();
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let figures = match job.kind {
        Kind::Messages | Kind::Stream => {
            let bytes_per_s = send(&mut stream, job.bytes, job.total).await?;
            Figures { bytes_per_s, ..Figures::default() }
        }
        Kind::PingPong => ping(&mut stream, job.bytes, job.total / job.bytes).await?,
        Kind::SetUp => {
            stream.write_all(&[1]).await?;
            Figures { micros: begin, ..Figures::default() }
        }
    };
    say("figures", &figures);
    // The other end may still read.
    stream.read_buf(&mut BytesMut::with_capacity(1)).await?;
    Ok(())
}

async fn send(stream: &mut TcpStream, bytes: usize, total: usize) -> anyhow::Result<f64> {
    let message = vec![7; bytes];
    let begin = Instant::now();
    let mut writer = BufWriter::with_capacity(BUFFER, stream);
    for _ in 0..total / bytes {
        writer.write_u32(u32::try_from(bytes)?).await?;
        writer.write_all(&message).await?;
    }
    writer.flush().await?;
    writer.into_inner().read_exact(&mut [0]).await?;
    Ok(total as f64 / begin.elapsed().as_secs_f64())
}

async fn ping(stream: &mut TcpStream, bytes: usize, count: usize) -> anyhow::Result<Figures> {
    let mut message = vec![7; bytes];
    let mut micros = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = Instant::now();
        stream.write_all(&message).await?;
        stream.read_exact(&mut message).await?;
        micros.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    let (p50, p99) = (percentile(&mut micros, 50), percentile(&mut micros, 99));
    Ok(Figures { micros: p50, micros_p99: p99, ..Figures::default() })
}
