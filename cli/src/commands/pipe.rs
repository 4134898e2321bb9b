//! `hedgerow pipe`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::timeout;

use crate::arguments::PipeArguments;
use crate::control::{
    Answer, Client, DATA_BYTES_MAX, Frame, Incoming, Outgoing, Request, Socket, unexpected,
    unexpected_answer,
};
use crate::event::Event;
use crate::failure::{ErrorCode, Failure};
use crate::output::{Output, millis};

/// How long `pipe PEER TOPIC` waits for the peer unless it is told otherwise.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// What passed in one direction.
#[derive(Default)]
struct Tally {
    bytes: u64,
    hash: Sha256,
}

impl Tally {
    fn add(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        self.hash.update(data);
    }
}

/// Standard output is data, so failures go to standard error.
pub(super) async fn run(
    home: Option<PathBuf>,
    arguments: PipeArguments,
    output: Output,
) -> ExitCode {
    match pass(home, arguments, output).await {
        Ok(event) => {
            // Everything arrived; that it cannot be told changes nothing.
            let _ = output.print_beside_data(&event);
            ExitCode::SUCCESS
        }
        Err(failure) => output.fail_beside_data(&failure),
    }
}

/// Passes everything both ways; the event that says how much.
async fn pass(
    home: Option<PathBuf>,
    arguments: PipeArguments,
    output: Output,
) -> Result<Event, Failure> {
    let mut client = Client::connect(home).await?;
    open(&mut client, arguments, output).await?;
    let started = Instant::now();
    let (mut sent, mut received) = (Tally::default(), Tally::default());
    let Client { mut incoming, mut outgoing } = client;
    tokio::select! {
        biased;
        all = download(&mut incoming, &mut received) => all?,
        failure = upload(&mut outgoing, &mut sent) => return Err(failure),
    }
    let of_interest = if sent.bytes > 0 { sent } else { received };
    let sha256: String =
        of_interest.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let ms = millis(started.elapsed());
    Ok(Event::Finished { bytes: of_interest.bytes, sha256, ms })
}

async fn open(
    client: &mut Client,
    arguments: PipeArguments,
    output: Output,
) -> Result<(), Failure> {
    let PipeArguments { peer, topic, accept, from, lane, timeout: patience } = arguments;
    let (request, patience, topic) = match (peer, topic, accept) {
        (Some(peer), Some(topic), None) => {
            let patience = patience.unwrap_or(OPEN_TIMEOUT);
            let request = Request::Open { peer, topic: topic.clone(), lane, timeout: patience };
            (request, Some(patience + Duration::from_secs(5)), topic)
        }
        (None, None, Some(topic)) => {
            (Request::Accept { topic: topic.clone(), from }, patience, topic)
        }
        _ => {
            let hint = "see `hedgerow pipe --help`";
            return Err(Failure::new(ErrorCode::Usage, "a pipe opens or accepts", hint));
        }
    };
    client.send(&request).await?;
    let opened = async {
        loop {
            match client.answer().await? {
                // Scripts may open it from now on; people need not know.
                Answer::Accepting if !output.json => {}
                Answer::Accepting => {
                    let topic = topic.clone();
                    // Whoever does not read it can still be piped to.
                    let _ = output.print_beside_data(&Event::Accepting { topic });
                }
                Answer::Open { .. } => return Ok(()),
                other => return Err(unexpected_answer(&other)),
            }
        }
    };
    match patience {
        None => opened.await,
        Some(patience) => timeout(patience, opened).await.map_err(|_| {
            let seconds = patience.as_secs_f64();
            Failure::timed_out(format!("nobody opened {topic:?} within {seconds} s"))
        })?,
    }
}

/// From standard input to the node; ends only with a failure.
async fn upload(outgoing: &mut Outgoing<WriteHalf<Socket>>, sent: &mut Tally) -> Failure {
    let mut stdin = tokio::io::stdin();
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(DATA_BYTES_MAX);
        let read = (&mut stdin).take(DATA_BYTES_MAX as u64).read_buf(&mut buffer).await;
        let frame = match read {
            Ok(0) => Frame::Finish,
            Ok(_) => Frame::Data(buffer.split().freeze()),
            Err(error) => return Failure::internal("cannot read standard input", error),
        };
        if let Frame::Data(data) = &frame {
            sent.add(data);
        }
        let written = outgoing.write_frame(&frame).await;
        if written.is_err() || frame == Frame::Finish {
            // The node says how it ends, and why.
            return std::future::pending().await;
        }
    }
}

/// From the node to standard output, until both sides are done.
async fn download(
    incoming: &mut Incoming<ReadHalf<Socket>>,
    received: &mut Tally,
) -> Result<(), Failure> {
    let mut stdout = tokio::io::stdout();
    let (mut acknowledged, mut finished) = (false, false);
    while !(acknowledged && finished) {
        match incoming.read_frame().await {
            Ok(Frame::Data(data)) => {
                received.add(&data);
                write(&mut stdout, &data).await?;
            }
            Ok(Frame::Finish) => finished = true,
            Ok(Frame::Acknowledged) => acknowledged = true,
            Ok(Frame::Alive) => {}
            Ok(Frame::Error(failure)) => return Err(failure),
            Err(crate::control::WireError::Closed) => return Err(Failure::node_stopped()),
            Err(_) => return Err(unexpected("bytes that are no frame")),
        }
    }
    Ok(())
}

/// What is not read any more must not look delivered, so a write is finished before the next.
async fn write(stdout: &mut tokio::io::Stdout, data: &Bytes) -> Result<(), Failure> {
    let written = async {
        stdout.write_all(data).await?;
        stdout.flush().await
    };
    let failed = |error| Failure::internal("cannot write to standard output", error);
    written.await.map_err(failed)
}
