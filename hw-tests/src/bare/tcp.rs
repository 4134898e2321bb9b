//! Two programs of a few lines that send bytes over plain TCP: what a network carries at all.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddrV6, TcpListener, TcpStream};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use serde_json::json;

use crate::random::Random;

/// What is sent repeats itself after so many bytes: a prime, so that it never does in step with
/// packets or buffers, and what is lost or comes twice shows.
const PERIOD_BYTES: usize = 65_521;

/// Takes what one connection brings, and says how much it was.
///
/// # Errors
/// If a byte is another one than [`source`] sends.
pub(crate) fn sink(address: SocketAddrV6) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).with_context(|| address.to_string())?;
    println!("{}", json!({ "event": "listening", "port": listener.local_addr()?.port() }));
    let (stream, _) = listener.accept()?;
    let bytes = compared(&stream)?;
    println!("{}", json!({ "event": "received", "bytes": bytes }));
    // Only now the end of the connection: the other one measures until then.
    drop(stream);
    Ok(())
}

/// Sends so many bytes, and says how long it took until the other end had them all.
pub(crate) fn source(address: SocketAddrV6, bytes: usize) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).with_context(|| address.to_string())?;
    let started = Instant::now();
    pour(&mut stream, bytes)?;
    stream.shutdown(Shutdown::Write)?;
    ensure!(stream.read(&mut [0])? == 0, "what receives has something to say");
    let ms = u64::try_from(started.elapsed().as_millis())?;
    println!("{}", json!({ "event": "sent", "bytes": bytes, "ms": ms }));
    Ok(())
}

fn period() -> Vec<u8> {
    let mut random = Random::new(1);
    (0..PERIOD_BYTES).map(|_| random.below(256) as u8).collect()
}

fn pour(mut to: impl Write, bytes: usize) -> anyhow::Result<()> {
    let period = period();
    let mut left = bytes;
    while left > 0 {
        let size = left.min(period.len());
        to.write_all(&period[..size])?;
        left -= size;
    }
    Ok(())
}

/// Reads to the end: how many bytes came, all of them the right ones.
fn compared(mut from: impl Read) -> anyhow::Result<usize> {
    let period = period();
    let mut piece = vec![0; PERIOD_BYTES];
    let mut received = 0;
    loop {
        let expected = &period[received % PERIOD_BYTES..];
        let size = from.read(&mut piece[..expected.len()])?;
        if size == 0 {
            return Ok(received);
        }
        if let Some(at) = (0..size).find(|&at| piece[at] != expected[at]) {
            bail!("byte {} is {}, not {}", received + at, piece[at], expected[at]);
        }
        received += size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(bytes: usize) -> Vec<u8> {
        let mut sent = Vec::new();
        pour(&mut sent, bytes).unwrap();
        sent
    }

    #[test]
    fn what_arrives_is_counted() {
        for bytes in [0, 1, PERIOD_BYTES, 3 * PERIOD_BYTES + 7] {
            assert_eq!(compared(&sent(bytes)[..]).unwrap(), bytes);
        }
    }

    #[test]
    fn a_byte_that_was_altered_or_left_out_is_found() {
        let right = sent(2 * PERIOD_BYTES);
        let error = |bytes: &[u8]| compared(bytes).unwrap_err().to_string();
        let mut altered = right.clone();
        altered[70_000] ^= 1;
        assert!(error(&altered).starts_with("byte 70000 is "));
        let mut shorter = right;
        // The same byte may follow by chance, not many times.
        shorter.remove(70_000);
        assert!(error(&shorter).starts_with("byte 7000"));
    }

    #[test]
    fn it_is_measured_until_the_other_end_has_all_and_closes() {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let sending = std::thread::spawn(move || source(address, 100_000));
        let (stream, _) = listener.accept().unwrap();
        assert_eq!(compared(&stream).unwrap(), 100_000);
        (&stream).write_all(b"?").unwrap();
        drop(stream);
        let error = sending.join().unwrap().unwrap_err().to_string();
        assert_eq!(error, "what receives has something to say");
    }
}
