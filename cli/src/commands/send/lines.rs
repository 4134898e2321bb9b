//! `hedgerow send --lines`: each line of standard input is a message.

use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, ReadHalf, Stdin, WriteHalf};

use crate::control::{
    Answer, Client, Incoming, LineOutcome, Outgoing, Request, Socket, unexpected_answer,
};
use crate::event::Event;
use crate::failure::{ErrorCode, Failure};
use crate::output::{Output, counted, duration, millis};

/// The longest line, in bytes: with its base64 it fits into a request.
const LINE_BYTES_MAX: usize = 128 * 1_024;

/// What became of the lines so far.
#[derive(Debug, Default)]
struct Tally {
    delivered: u64,
    sent: u64,
    failed: u64,
    /// Why the last one that failed did.
    last: Option<Failure>,
}

/// Sends lines until standard input ends and all of them have their outcome.
///
/// # Errors
/// After the summary: why the last message that failed did, or why a line cannot be sent.
pub(super) async fn run(
    mut client: Client,
    request: &Request,
    name: &str,
    output: Output,
) -> Result<(), Failure> {
    client.send(request).await?;
    let to = match client.answer().await? {
        Answer::Sending { to } => to,
        other => return Err(unexpected_answer(&other)),
    };
    let (started, mut tally) = (Instant::now(), Tally::default());
    let Client { mut incoming, mut outgoing } = client;
    let mut unsent = None;
    {
        let telling = tell(&mut incoming, &mut tally, &to, name, output);
        let reading = async {
            unsent = upload(&mut outgoing).await.err();
            // The node closes when all have their outcome.
            std::future::pending::<()>().await
        };
        tokio::select! {
            told = telling => told?,
            () = reading => {}
        }
    }
    let Tally { delivered, sent, failed, last } = tally;
    let summary = Event::Lines { delivered, sent, failed, ms: millis(started.elapsed()) };
    output.print(&summary, || text(&summary, name))?;
    unsent.or(last).map_or(Ok(()), Err)
}

/// Gives the node each line of standard input.
///
/// # Errors
/// If a line is too long, or cannot be read; those before it are sent.
async fn upload(outgoing: &mut Outgoing<WriteHalf<Socket>>) -> Result<(), Failure> {
    let mut input = BufReader::new(tokio::io::stdin());
    let mut number = 0;
    let read = loop {
        number += 1;
        let line = match next(&mut input, number).await {
            Ok(Some(line)) => line,
            Ok(None) => break Ok(()),
            Err(failure) => break Err(failure),
        };
        if outgoing.write_line(&Request::Next { data: line }).await.is_err() {
            // The node's last words say why.
            return std::future::pending().await;
        }
    };
    if outgoing.write_line(&Request::NoMore).await.is_err() {
        return std::future::pending().await;
    }
    read
}

/// The next line, without its end; `None` after the last one, which may have none.
async fn next(input: &mut BufReader<Stdin>, number: u64) -> Result<Option<Vec<u8>>, Failure> {
    let mut line = Vec::new();
    let mut bounded = input.take(LINE_BYTES_MAX as u64 + 2);
    if let Err(error) = bounded.read_until(b'\n', &mut line).await {
        return Err(Failure::internal("cannot read standard input", error));
    }
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_some() {
        line.pop_if(|last| *last == b'\r');
    }
    if line.len() > LINE_BYTES_MAX {
        let message = format!("line {number} has over {LINE_BYTES_MAX} bytes");
        let hint = "send files and the like with `hedgerow pipe`";
        return Err(Failure::new(ErrorCode::TooLarge, message, hint));
    }
    Ok(Some(line))
}

/// Tells what becomes of each line, until the node has told all.
async fn tell(
    incoming: &mut Incoming<ReadHalf<Socket>>,
    tally: &mut Tally,
    to: &str,
    name: &str,
    output: Output,
) -> Result<(), Failure> {
    loop {
        let answer = Answer::read(incoming).await?;
        let (line, bytes, outcome) = match answer {
            Answer::LineDone { line, bytes, outcome } => (line, bytes, outcome),
            Answer::AllDone => return Ok(()),
            other => return Err(unexpected_answer(&other)),
        };
        let (to, line) = (to.to_owned(), Some(line));
        match outcome {
            LineOutcome::Delivered { sequence, rtt_ms, hops } => {
                tally.delivered += 1;
                if output.json {
                    output.print_json(&Event::Delivered {
                        to,
                        line,
                        sequence,
                        rtt_ms,
                        hops,
                        bytes,
                    })?;
                }
            }
            LineOutcome::Sent { sequence } => {
                tally.sent += 1;
                if output.json {
                    output.print_json(&Event::Sent { to, line, sequence, bytes })?;
                }
            }
            LineOutcome::Failed { error } => {
                tally.failed += 1;
                let text =
                    format!("line {} to {name}: {}", line.unwrap_or_default(), error.message);
                let Failure { code, message, reason, .. } = error.clone();
                let event = Event::NotDelivered { line, code, message, reason };
                output.print(&event, || text)?;
                tally.last = Some(error);
            }
        }
    }
}

fn text(summary: &Event, name: &str) -> String {
    let Event::Lines { delivered, sent, failed, ms } = summary else { return String::new() };
    let time = duration(Duration::from_secs_f64(ms.max(0.0) / 1e3));
    let done = match (delivered, sent) {
        (delivered, 0) => format!("{} delivered", counted(*delivered, "message")),
        (_, sent) => format!("{} sent", counted(*sent, "message")),
    };
    match failed {
        0 => format!("{done} to {name} in {time}"),
        failed => format!("{done} to {name} in {time}, {failed} not"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_what_was_delivered_and_what_was_not() {
        let lines = |delivered, sent, failed| Event::Lines { delivered, sent, failed, ms: 1_500.0 };
        assert_eq!(text(&lines(1, 0, 0), "ben"), "1 message delivered to ben in 1.5 s");
        assert_eq!(text(&lines(2, 0, 3), "ben"), "2 messages delivered to ben in 1.5 s, 3 not");
        assert_eq!(text(&lines(0, 4, 0), "ben"), "4 messages sent to ben in 1.5 s");
    }
}
