//! Single messages to peers: one, or one after the other.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hedgerow::PeerKey;
use hedgerow::bus::{Lane, SendOptions};
use tokio::time::timeout;

use super::{ClientIncoming, ClientOutgoing, Parting, Service, say};
use crate::control::{Answer, LineOutcome, REQUEST_BYTES_MAX, Request, WireError};
use crate::failure::{ErrorCode, Failure};
use crate::output::millis;

/// What the node gets beyond the time that it was given to give up by itself.
const GRACE: Duration = Duration::from_secs(2);
/// Messages of one client that have no outcome yet; the next one is not read before.
const UNDER_WAY_MAX: usize = 64;

/// How messages are sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) unreliable: bool,
    pub(super) lane: Lane,
    /// How long the outcome of a reliable one may take.
    pub(super) patience: Duration,
}

/// What a message that was not refused came to.
pub(super) enum Done {
    Delivered { sequence: u64, rtt_ms: f64, hops: u8 },
    Sent { sequence: u64 },
}

impl Service {
    pub(super) async fn send_one(
        &self,
        to: PeerKey,
        data: Vec<u8>,
        manner: Manner,
    ) -> Result<Done, Failure> {
        let Manner { unreliable, lane, patience } = manner;
        let options = SendOptions { lane, give_up: Some(patience) };
        let bus = self.mesh.bus();
        if unreliable {
            let sequence = bus.send_unreliable_with(to, data, options).await?;
            return Ok(Done::Sent { sequence });
        }
        let sending = bus.send_reliable_with(to, data, options);
        let Ok(sent) = timeout(patience + GRACE, sending).await else {
            let message = format!("the node did not learn in time whether {to} got the message");
            return Err(Failure::timed_out(message));
        };
        let delivered = sent?;
        let rtt_ms = millis(delivered.rtt);
        Ok(Done::Delivered { sequence: delivered.sequence, rtt_ms, hops: delivered.hops })
    }

    /// Sends what a client gives, in that order, and tells what became of each.
    pub(super) async fn send_lines(
        &self,
        peer: &str,
        manner: Manner,
        incoming: &mut ClientIncoming,
        outgoing: &mut ClientOutgoing,
    ) -> Result<(), Parting> {
        let to = self.roster.require(peer)?;
        say(outgoing, &Answer::Sending { to: to.to_string() }).await?;
        let mut under_way = FuturesUnordered::new();
        let (mut line, mut is_over) = (0, false);
        while !(is_over && under_way.is_empty()) {
            let next = async {
                if !is_over {
                    return incoming.read_line(REQUEST_BYTES_MAX).await;
                }
                incoming.closed().await;
                Err(WireError::Closed)
            };
            tokio::select! {
                // A message is handed to the node before the next one is read.
                biased;
                Some((line, bytes, sent)) = under_way.next() => {
                    let answer = Answer::LineDone { line, bytes, outcome: outcome(sent) };
                    // A person may hold up the output for long; the connection tells who is there.
                    outgoing.write_line(&answer).await.map_err(|_| Parting::Gone)?;
                }
                next = next, if is_over || under_way.len() < UNDER_WAY_MAX => {
                    match Request::parse(&next?)? {
                        Request::Next { data } => {
                            line += 1;
                            let (number, bytes) = (line, data.len());
                            under_way.push(async move {
                                (number, bytes, self.send_one(to, data, manner).await)
                            });
                        }
                        Request::NoMore => is_over = true,
                        _ => return Err(out_of_place().into()),
                    }
                }
            }
        }
        say(outgoing, &Answer::AllDone).await
    }
}

fn outcome(sent: Result<Done, Failure>) -> LineOutcome {
    match sent {
        Ok(Done::Delivered { sequence, rtt_ms, hops }) => {
            LineOutcome::Delivered { sequence, rtt_ms, hops }
        }
        Ok(Done::Sent { sequence }) => LineOutcome::Sent { sequence },
        Err(error) => LineOutcome::Failed { error },
    }
}

fn out_of_place() -> Failure {
    let hint = "say `next` for each message and `noMore` after the last";
    Failure::new(ErrorCode::BadRequest, "something else came between messages", hint)
}
