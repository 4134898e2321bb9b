//! The node of this home: whether it runs, and what it says of itself.

use std::path::Path;
use std::time::Duration;

use hedgerow::home::{Survey, find_control_socket};
use tokio::time::timeout;

use super::Check;
use crate::control::{Answer, Client, RefusalLine, Request, Status, TransportLine};
use crate::failure::{ErrorCode, Failure};
use crate::output::{duration, printable};

/// A node that is well answers in milliseconds.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// The node's answer if one runs, and the line about it.
pub(crate) async fn ask(survey: &Survey) -> (Option<Status>, Check) {
    let home = &survey.folder;
    let asked = async {
        let client = Client::connect(Some(home.clone())).await?;
        match client.ask(&Request::Status, Duration::ZERO).await? {
            Answer::Status { status } => Ok(status),
            other => Err(crate::control::unexpected_answer(&other)),
        }
    };
    match timeout(ANSWER_MAX, asked).await {
        Ok(Ok(status)) => {
            let check = Check::ok("node", running(&status));
            (Some(status), check)
        }
        Ok(Err(failure)) => (None, silent(survey, Some(failure))),
        Err(_) => (None, silent(survey, None)),
    }
}

fn running(status: &Status) -> String {
    let Status { pid, device_name, network, peers, links, .. } = status;
    let kind = if status.open { "open" } else { "closed" };
    format!(
        "{} runs for {} as process {pid}, in the {kind} network {:?}, links: {links}, peers: {peers}",
        printable(device_name),
        duration(Duration::from_millis(status.uptime_ms)),
        printable(network),
    )
}

fn silent(survey: &Survey, failure: Option<Failure>) -> Check {
    let home = survey.folder.display();
    match (failure, survey.user) {
        (None, _) => {
            let message = format!("the node of {home} does not answer");
            let hint = match survey.user {
                Some(pid) => format!(
                    "it may be stopped: `kill -CONT {pid}`; or end it with `kill {pid}` and \
                     start it again"
                ),
                None => "end it and start it again".to_owned(),
            };
            Check::fail("node", message, hint)
        }
        (Some(failure), Some(pid)) if failure.code == ErrorCode::NoNode => {
            let message = format!("process {pid} uses {home}, without a control socket");
            let hint = "it is a program with a node of its own: ask that program, or choose \
                        another home";
            Check::warn("node", message, hint)
        }
        (Some(failure), None) if failure.code == ErrorCode::NoNode => {
            let left = find_control_socket(&survey.folder).is_ok_and(|path| exists(&path));
            let message = if left {
                format!("no node runs; the last one of {home} ended without a goodbye")
            } else {
                format!("no node runs with the home {home}")
            };
            Check::warn("node", message, "start one with `hedgerow up`")
        }
        (Some(failure), _) => Check::fail("node", failure.message, failure.hint),
    }
}

fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// What a running node says of its transports, its surroundings and its limits.
pub(crate) fn checks(status: &Status) -> Vec<Check> {
    let mut checks: Vec<Check> = status.transports.iter().map(transport).collect();
    if status.transports.is_empty() {
        let hint = "switch one on: transports.lan.enabled = true in the configuration";
        checks.push(Check::fail("transport", "the node has no transport", hint));
    }
    let listen = status.listen.join(", ");
    checks.push(if listen.is_empty() {
        let hint = "nobody can connect to it, but it connects to others; see the transport above";
        Check::warn("port", "the node does not listen", hint)
    } else {
        Check::ok("port", format!("the node listens on TCP {listen}"))
    });
    for stranger in &status.strangers {
        let how = if stranger.tried {
            let last = duration(Duration::from_millis(stranger.last_seen_ms));
            let tries = if stranger.count == 1 { "try" } else { "tries" };
            format!("{} {tries}, last {last} ago", stranger.count)
        } else {
            "it shows itself".to_owned()
        };
        let endpoint = printable(&stranger.endpoint);
        let message = format!("somebody at {endpoint} cannot join ({how})");
        checks.push(Check::warn("stranger", message, printable(&stranger.reason)));
    }
    checks.extend(status.refusals.iter().map(refusal));
    checks.push(limits(status));
    checks
}

fn refusal(line: &RefusalLine) -> Check {
    let endpoint = printable(&line.endpoint);
    let whom = match &line.device_name {
        Some(name) => format!("{} at {endpoint}", printable(name)),
        None => format!("who is at {endpoint}"),
    };
    let times =
        if line.failures == 1 { "once".to_owned() } else { format!("{} times", line.failures) };
    let next = match line.next_try_ms {
        None => "tried again now".to_owned(),
        Some(ms) => format!("tried again in {}", duration(Duration::from_millis(ms))),
    };
    let over = medium(&line.transport);
    let message = format!("{whom} is not reached over {over} (failed {times}, {next})");
    Check::warn("dial", message, printable(&line.reason))
}

/// What people call a transport.
fn medium(transport: &str) -> &str {
    match transport {
        "AccessPoint" => "the local network",
        "Bluetooth" => "Bluetooth",
        "P2PWiFi" => "Wi-Fi Direct",
        _ => "this transport",
    }
}

pub(crate) fn transport(line: &TransportLine) -> Check {
    let kind = printable(&line.transport);
    let name = medium(&line.transport);
    if line.state == "Ok" {
        return Check::ok("transport", format!("{name} works ({kind})"));
    }
    let message = format!("{name} {} ({kind}: {})", how(&line.state), printable(&line.state));
    // A detail says what is wrong and what to do in one sentence.
    let detail = printable(&line.detail);
    // What a person switched off, or what a machine does not have, is not a fault.
    if line.works || matches!(line.state.as_str(), "Disabled" | "NoHardware") {
        Check::warn("transport", message, detail)
    } else {
        Check::fail("transport", message, detail)
    }
}

/// The state of a transport in words.
fn how(state: &str) -> &'static str {
    match state {
        "Disabled" => "is switched off",
        "NoHardware" => "has no hardware here",
        "NoPermission" => "may not be used",
        "MdnsFailure" => "works, but finds nobody by itself",
        "ListenFailure" => "works, but accepts no links",
        "RadioOff" => "has its radio switched off",
        "TemporarilyUnavailable" => "does not work right now",
        "Unsupported" => "works in part",
        "Dead" => "has failed",
        _ => "is not well",
    }
}

/// What a node that is well counts too: its work, what the air loses, and what it does about that.
const WORK: [&str; 13] = [
    "relayed",
    "bus.packetsSent",
    "bus.packetsReceived",
    "bus.packetsLost",
    "bus.handshakesStarted",
    "bus.handshakesAnswered",
    "bus.handshakesCompleted",
    "bus.hintsSent",
    "bus.rekeys",
    "bus.probes",
    "bus.messagesDelivered",
    "bus.messagesReceived",
    "bus.unreliableReceived",
];

/// What the node has dropped or refused since it started: a limit that was hit, or somebody's
/// fault.
fn limits(status: &Status) -> Check {
    let counters = status.counters.iter().filter(|(name, _)| !WORK.contains(&name.as_str()));
    let counters: Vec<String> = counters.map(|(name, count)| format!("{name} {count}")).collect();
    if counters.is_empty() {
        return Check::ok("limits", "nothing was dropped or refused since the start");
    }
    let message = format!("dropped or refused since the start: {}", counters.join(", "));
    Check::ok("limits", message)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::control::StrangerLine;
    use crate::doctor::Level;

    fn status() -> Status {
        Status {
            pid: 7,
            peer_key_string: "pkA".into(),
            device_name: "kitchen".into(),
            network: "home".into(),
            open: false,
            listen: vec!["[::]:4040".into()],
            uptime_ms: 5_000,
            transports: vec![TransportLine {
                transport: "AccessPoint".into(),
                works: true,
                state: "Ok".into(),
                detail: String::new(),
            }],
            peers: 2,
            links: 1,
            strangers: Vec::new(),
            refusals: Vec::new(),
            counters: BTreeMap::new(),
        }
    }

    #[test]
    fn a_node_that_is_well_is_all_ok() {
        let checks = checks(&status());
        assert!(checks.iter().all(|check| check.status == Level::Ok), "{checks:?}");
        assert!(running(&status()).contains("closed network \"home\", links: 1, peers: 2"));
    }

    #[test]
    fn what_is_left_out_as_work_is_counted_by_these_names() {
        let all = serde_json::to_value(hedgerow::Counters::default()).unwrap();
        for name in WORK {
            let found = all.pointer(&format!("/{}", name.replace('.', "/")));
            assert!(found.is_some_and(serde_json::Value::is_u64), "{name}");
        }
    }

    #[test]
    fn conditions_strangers_and_limits_are_lines_of_their_own() {
        let mut sick = status();
        sick.transports[0].state = "Dead".into();
        sick.transports[0].works = false;
        sick.transports[0].detail = "its driver failed; restart the node".into();
        sick.listen.clear();
        sick.counters.insert("relayed".into(), 9);
        sick.counters.insert("turnedAway".into(), 2);
        sick.counters.insert("bus.packetsSent".into(), 900);
        sick.counters.insert("bus.streamsRefused".into(), 4);
        sick.strangers.push(StrangerLine {
            endpoint: "10.0.0.2:1234".into(),
            reason: "it has another secret".into(),
            count: 3,
            last_seen_ms: 1_500,
            tried: true,
        });
        sick.refusals.push(RefusalLine {
            transport: "P2PWiFi".into(),
            endpoint: "02:00:00:00:01:00".into(),
            device_name: Some("shed".into()),
            reason: "the other device said no".into(),
            failures: 2,
            next_try_ms: Some(40_000),
        });
        let checks = checks(&sick);
        let of = |name| checks.iter().find(|check| check.check == name).unwrap();
        assert_eq!(of("transport").status, Level::Fail);
        let failed = "the local network has failed (AccessPoint: Dead)";
        assert_eq!(of("transport").message, failed);
        assert_eq!(of("transport").hint, "its driver failed; restart the node");
        let off = TransportLine { state: "Disabled".into(), ..sick.transports[0].clone() };
        assert_eq!(transport(&off).status, Level::Warn);
        assert_eq!(of("port").status, Level::Warn);
        assert!(of("stranger").message.contains("10.0.0.2:1234 cannot join (3 tries"));
        let refused = "shed at 02:00:00:00:01:00 is not reached over Wi-Fi Direct (failed 2 times, \
                       tried again in 40.0 s)";
        assert_eq!(of("dial").message, refused);
        assert_eq!(of("dial").hint, "the other device said no");
        let counted = "dropped or refused since the start: bus.streamsRefused 4, turnedAway 2";
        assert_eq!(of("limits").message, counted);
        sick.transports.clear();
        assert_eq!(super::checks(&sick)[0].status, Level::Fail);
    }
}
