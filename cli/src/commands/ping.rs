//! `hedgerow ping`.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::up::interrupted;
use crate::arguments::PingArguments;
use crate::control::{Answer, Client, Request, unexpected_answer};
use crate::event::Event;
use crate::failure::Failure;
use crate::output::{Output, counted, duration, printable};

/// Of so many of the newest answers the summary's median is: a ping may run for ever.
const MEDIAN_OF: usize = 10_000;

/// What came back so far.
#[derive(Debug, Default)]
struct Tally {
    sent: u64,
    received: u64,
    min_ms: Option<f64>,
    max_ms: Option<f64>,
    /// For the median.
    newest_ms: VecDeque<f64>,
}

pub(super) async fn run(
    home: Option<PathBuf>,
    arguments: PingArguments,
    output: Output,
) -> Result<(), Failure> {
    let mut interrupted = pin!(interrupted()?);
    let (mut tally, mut due) = (Tally::default(), Instant::now());
    let mut last = None;
    while arguments.count.is_none_or(|count| tally.sent < count) {
        let ping = async {
            sleep_until(due).await;
            due = Instant::now() + arguments.interval;
            ping(home.clone(), &arguments).await
        };
        let answer = tokio::select! {
            biased;
            () = &mut interrupted => break,
            answer = ping => answer,
        };
        tally.sent += 1;
        let (sequence, name) = (tally.sent, printable(&arguments.peer));
        match answer {
            Ok((rtt_ms, hops)) => {
                tally.add(rtt_ms);
                output.print(&Event::Pong { sequence, rtt_ms, hops }, || {
                    let hops = counted(hops, "hop");
                    format!("answer {sequence} from {name} in {} over {hops}", time(rtt_ms))
                })?;
            }
            // Out of reach now, perhaps not the next time.
            Err(failure) if failure.code.exit_code() == 5 => {
                let (code, message) = (failure.code, failure.message.clone());
                let text = format!("no answer {sequence} from {name}: {message}");
                output.print(&Event::NoPong { sequence, code, message }, || text)?;
                last = Some(failure);
            }
            Err(failure) => return Err(failure),
        }
    }
    let summary = tally.summary();
    output.print(&summary, || text(&summary))?;
    match last {
        _ if tally.received > 0 => Ok(()),
        Some(failure) => Err(failure),
        None => Err(Failure::timed_out("interrupted before an answer came")),
    }
}

/// One ping: its time in milliseconds, and hops.
async fn ping(home: Option<PathBuf>, arguments: &PingArguments) -> Result<(f64, u8), Failure> {
    let client = Client::connect(home).await?;
    let request = Request::Ping { peer: arguments.peer.clone(), timeout: arguments.timeout };
    match client.ask(&request, arguments.timeout).await? {
        Answer::Pong { rtt_ms, hops } => Ok((rtt_ms, hops)),
        other => Err(unexpected_answer(&other)),
    }
}

impl Tally {
    fn add(&mut self, rtt_ms: f64) {
        self.received += 1;
        self.min_ms = Some(self.min_ms.map_or(rtt_ms, |min| min.min(rtt_ms)));
        self.max_ms = Some(self.max_ms.map_or(rtt_ms, |max| max.max(rtt_ms)));
        if self.newest_ms.len() >= MEDIAN_OF {
            self.newest_ms.pop_front();
        }
        self.newest_ms.push_back(rtt_ms);
    }

    fn summary(&self) -> Event {
        let mut sorted: Vec<f64> = self.newest_ms.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let lost = (self.sent - self.received) as f64 / self.sent.max(1) as f64;
        Event::Pings {
            sent: self.sent,
            received: self.received,
            loss_percent: (lost * 1_000.0).round() / 10.0,
            min_ms: self.min_ms,
            median_ms: sorted.get(sorted.len() / 2).copied(),
            max_ms: self.max_ms,
        }
    }
}

fn text(summary: &Event) -> String {
    let Event::Pings { sent, received, loss_percent, min_ms, median_ms, max_ms } = summary else {
        return String::new();
    };
    let mut text = format!("{sent} sent, {received} received, {loss_percent} % lost");
    if let (Some(min), Some(median), Some(max)) = (min_ms, median_ms, max_ms) {
        let (min, median, max) = (time(*min), time(*median), time(*max));
        text.push_str(&format!("; min {min}, median {median}, max {max}"));
    }
    text
}

fn time(ms: f64) -> String {
    duration(Duration::from_secs_f64(ms.max(0.0) / 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_what_was_lost_and_orders_what_was_not() {
        let mut tally = Tally { sent: 6, ..Tally::default() };
        [9.0, 1.0, 300.0, 2.0, 3.0].into_iter().for_each(|rtt_ms| tally.add(rtt_ms));
        let summary = tally.summary();
        let expected = r#"{"event":"summary","sent":6,"received":5,"lossPercent":16.7,"minMs":1.0,"medianMs":3.0,"maxMs":300.0}"#;
        assert_eq!(serde_json::to_string(&summary).unwrap(), expected);
        let expected = "6 sent, 5 received, 16.7 % lost; min 1.0 ms, median 3.0 ms, max 300 ms";
        assert_eq!(text(&summary), expected);
        let none = Tally { sent: 2, ..Tally::default() }.summary();
        assert_eq!(text(&none), "2 sent, 0 received, 100 % lost");
        let json = serde_json::to_value(&none).unwrap();
        assert!(json["medianMs"].is_null() && json["lossPercent"] == 100.0, "{json}");
        assert_eq!(text(&Tally::default().summary()), "0 sent, 0 received, 0 % lost");
    }

    #[test]
    fn a_ping_that_runs_for_ever_takes_no_more_memory() {
        let mut tally = Tally::default();
        for rtt_ms in 0..3 * MEDIAN_OF {
            tally.add(rtt_ms as f64);
        }
        assert_eq!(tally.newest_ms.len(), MEDIAN_OF);
        assert_eq!((tally.received, tally.min_ms), (3 * MEDIAN_OF as u64, Some(0.0)));
    }
}
