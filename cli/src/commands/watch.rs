//! `hedgerow watch`.

use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hedgerow::presence::{Change, LeaveReason};
use hedgerow::{Connection, Peer};
use tokio::time::{Instant, sleep_until};

use super::short_key;
use super::up::interrupted;
use crate::arguments::WatchArguments;
use crate::control::{Answer, ChangeLine, Client, Request, unexpected_answer};
use crate::event::Event;
use crate::failure::Failure;
use crate::output::{Output, counted, printable};

pub(super) async fn run(
    mut client: Client,
    arguments: &WatchArguments,
    output: Output,
) -> Result<(), Failure> {
    let mut interrupted = pin!(interrupted()?);
    let deadline = arguments.timeout.map(|timeout| Instant::now() + timeout);
    client.send(&Request::Watch).await?;
    let mut seen = 0;
    while arguments.count.is_none_or(|count| seen < count) {
        let answer = tokio::select! {
            biased;
            () = &mut interrupted => return Ok(()),
            () = until(deadline) => return Err(timed_out(arguments, seen)),
            answer = client.answer() => answer?,
        };
        match answer {
            Answer::Change { change } => {
                output.print(&change, || format!("{}  {}", clock(now()), text(&change)))?;
                seen += u64::from(!change.initial);
            }
            Answer::Lagged { missed } => {
                let changes = counted(missed, "change");
                let text = format!("{}  missed {changes}; there are now:", clock(now()));
                output.print(&Event::Lagged { missed }, || text)?;
            }
            other => return Err(unexpected_answer(&other)),
        }
    }
    Ok(())
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn timed_out(arguments: &WatchArguments, seen: u64) -> Failure {
    let seconds = arguments.timeout.unwrap_or_default().as_secs_f64();
    Failure::timed_out(match arguments.count {
        Some(count) => format!("{seen} of {} came within {seconds} s", counted(count, "change")),
        None => format!("{} came within {seconds} s", counted(seen, "change")),
    })
}

/// Since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The time of day in UTC, as the log has it.
fn clock(since: Duration) -> String {
    let (seconds, millis) = (since.as_secs() % 86_400, since.subsec_millis());
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{millis:03}Z", seconds % 60)
}

fn text(line: &ChangeLine) -> String {
    match &line.change {
        Change::PeerJoined(peer) if line.initial => format!("there    {}", of_peer(peer)),
        Change::PeerJoined(peer) => format!("joined   {}", of_peer(peer)),
        Change::PeerUpdated(peer) => format!("updated  {}", of_peer(peer)),
        Change::PeerLeft { peer, reason } => {
            let name = name_or_key(Some(&peer.device_name), &peer.peer_key_string);
            let key = short_key(&peer.peer_key_string);
            format!("left     {name}  {key}  {}", why(*reason))
        }
        Change::ConnectionUp(connection) => format!("up       {}", ends(line, connection)),
        Change::ConnectionDown(connection) => format!("down     {}", ends(line, connection)),
        _ => "a change of a newer version".to_owned(),
    }
}

fn of_peer(peer: &Peer) -> String {
    let name = name_or_key(Some(&peer.device_name), &peer.peer_key_string);
    let hops = match peer.hops {
        None => "out of reach".to_owned(),
        Some(hops) => counted(hops, "hop"),
    };
    format!("{name}  {}  {hops}", short_key(&peer.peer_key_string))
}

fn ends(line: &ChangeLine, connection: &Connection) -> String {
    let a = name_or_key(line.device_name1.as_deref(), &connection.peer_key_string1);
    let b = name_or_key(line.device_name2.as_deref(), &connection.peer_key_string2);
    format!("{a} - {b}  {}", printable(connection.connection_type.name()))
}

fn name_or_key(name: Option<&str>, key: &str) -> String {
    match name {
        None | Some("") => short_key(key),
        Some(name) => printable(name),
    }
}

fn why(reason: LeaveReason) -> &'static str {
    match reason {
        LeaveReason::Goodbye => "said goodbye",
        LeaveReason::Unreachable => "out of reach",
        LeaveReason::Revoked => "not admitted any more",
        _ => "for a reason this version does not know",
    }
}

#[cfg(test)]
mod tests {
    use hedgerow::{ConnectionType, Peer};

    use super::*;
    use crate::naming::tests::keys;

    #[test]
    fn a_change_is_a_line_of_words_and_of_the_graphs_keys() {
        let keys = keys();
        let mut peer = Peer::new(keys[0], "gar\u{1b}den");
        peer.hops = Some(2);
        let (key, none) = (short_key(&keys[0].to_string()), || [String::new(), String::new()]);
        let joined = Change::PeerJoined(peer.clone().into());
        let line = ChangeLine::new(joined.clone(), true, none());
        assert_eq!(text(&line), format!("there    gar\u{fffd}den  {key}  2 hops"));
        let json = serde_json::to_value(&line).unwrap();
        assert_eq!((&json["event"], &json["initial"]), (&"peerJoined".into(), &true.into()));
        assert_eq!(json["peerKeyString"], keys[0].to_string());

        let line = ChangeLine::new(joined, false, none());
        assert!(text(&line).starts_with("joined "));
        assert_eq!(serde_json::to_value(&line).unwrap().get("initial"), None);
        let left = Change::PeerLeft { peer: peer.into(), reason: LeaveReason::Unreachable };
        let line = ChangeLine::new(left, false, none());
        assert_eq!(text(&line), format!("left     gar\u{fffd}den  {key}  out of reach"));
        assert_eq!(serde_json::to_value(&line).unwrap()["reason"], "unreachable");

        let connection = Connection::new(&keys[0], &keys[1], ConnectionType::Bluetooth);
        let names = ["ann".to_owned(), String::new()];
        let line = ChangeLine::new(Change::ConnectionUp(connection.clone()), false, names);
        let other = short_key(&connection.peer_key_string2);
        assert_eq!(text(&line), format!("up       ann - {other}  Bluetooth"));
        let json = serde_json::to_value(&line).unwrap();
        assert_eq!((&json["id"], &json["deviceName1"]), (&connection.id.into(), &"ann".into()));
        // What travels from the node comes back as it was.
        assert_eq!(serde_json::from_value::<ChangeLine>(json).unwrap(), line);
    }

    #[test]
    fn the_clock_shows_a_time_of_day() {
        let time = Duration::from_millis(5 * 86_400_000 + 3_723_004);
        assert_eq!(clock(time), "01:02:03.004Z");
    }
}
