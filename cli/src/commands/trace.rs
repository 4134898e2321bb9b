//! `hedgerow trace`.

use std::time::Duration;

use tokio::time::timeout;

use super::short_key;
use crate::arguments::TraceArguments;
use crate::control::{Answer, Client, Ending, HopLine, Named, Request, unexpected_answer};
use crate::event::Event;
use crate::failure::{ErrorCode, Failure};
use crate::output::{Output, counted, duration, printable};

pub(super) async fn run(
    client: Client,
    arguments: TraceArguments,
    output: Output,
) -> Result<(), Failure> {
    let patience = arguments.timeout;
    match timeout(patience, follow(client, &arguments, output)).await {
        Ok(followed) => followed,
        Err(_) => {
            let seconds = patience.as_secs_f64();
            Err(Failure::timed_out(format!("the trace did not end within {seconds} s")))
        }
    }
}

async fn follow(
    mut client: Client,
    arguments: &TraceArguments,
    output: Output,
) -> Result<(), Failure> {
    let name = printable(&arguments.peer);
    client.send(&Request::Trace { peer: arguments.peer.clone() }).await?;
    let route = match client.answer().await? {
        Answer::Route { route } => route,
        other => return Err(unexpected_answer(&other)),
    };
    if !output.json {
        let hops = counted(route.len() as u64, "hop");
        output.print_text(&format!("to {name}, {hops} as the graph has it"))?;
    }
    let mut hops = Vec::new();
    let end = loop {
        match client.answer().await? {
            Answer::Hop { hop } => {
                output.print(&hop, || text(&hop))?;
                hops.push(hop);
            }
            Answer::Traced { end } => break end,
            other => return Err(unexpected_answer(&other)),
        }
    };
    if differs(&hops, &route, end == Ending::Arrived) {
        let names: Vec<_> = route.iter().map(shown).collect();
        let computed = route.into_iter().map(|peer| peer.peer_key_string).collect();
        output.print(&Event::OtherRoute { computed }, || {
            format!("the graph has another way: {}", names.join(", "))
        })?;
    }
    match end {
        Ending::Arrived => Ok(()),
        Ending::NoAnswer => Err(unanswered(&name, &hops)),
        Ending::NoRoute => {
            let hops = counted(hops.len() as u64, "hop");
            let message = format!("the route to {name} was lost after {hops}");
            Err(Failure::new(ErrorCode::NoRoute, message, "see `hedgerow peers`, then try again"))
        }
    }
}

fn unanswered(name: &str, hops: &[HopLine]) -> Failure {
    let farthest = hops.iter().rev().find(|hop| hop.peer_key_string.is_some());
    let farthest = farthest.map_or_else(
        || "nor did any hop on the way".to_owned(),
        |hop| format!("the farthest that did is hop {}", hop.hop),
    );
    let mut failure = Failure::timed_out(format!("{name} did not answer; {farthest}"));
    failure.hint = "a node of an older version answers no trace: see `hedgerow ping`, or try \
                    again when the mesh has settled"
        .into();
    failure
}

/// Whether the hops that answered contradict the graph; silence contradicts nothing.
fn differs(hops: &[HopLine], route: &[Named], arrived: bool) -> bool {
    let contradicted = hops.iter().any(|hop| {
        let Some(key) = &hop.peer_key_string else { return false };
        let expected = usize::from(hop.hop).checked_sub(1).and_then(|at| route.get(at));
        expected.is_none_or(|expected| expected.peer_key_string != *key)
    });
    contradicted || (arrived && hops.len() != route.len())
}

fn shown(peer: &Named) -> String {
    match printable(&peer.device_name) {
        name if name.is_empty() => short_key(&peer.peer_key_string),
        name => name,
    }
}

fn text(hop: &HopLine) -> String {
    let (Some(key), Some(rtt_ms)) = (&hop.peer_key_string, hop.rtt_ms) else {
        return format!("{:>2}  *", hop.hop);
    };
    let device_name = hop.device_name.clone().unwrap_or_default();
    let name = shown(&Named { peer_key_string: key.clone(), device_name });
    let transport = printable(hop.transport.as_deref().unwrap_or_default());
    let rtt = duration(Duration::from_secs_f64(rtt_ms.max(0.0) / 1e3));
    format!("{:>2}  {name}  {}  {transport}  {rtt}", hop.hop, short_key(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(number: u8, key: Option<&str>) -> HopLine {
        HopLine {
            hop: number,
            peer_key_string: key.map(Into::into),
            device_name: key.map(|_| "b\u{1b}en".into()),
            transport: key.map(|_| "Bluetooth".into()),
            rtt_ms: key.map(|_| 61.4),
            held_ms: key.map(|_| 0.0),
        }
    }

    fn route(keys: &[&str]) -> Vec<Named> {
        let named = |key: &&str| Named { peer_key_string: (*key).into(), device_name: "".into() };
        keys.iter().map(named).collect()
    }

    #[test]
    fn a_hop_is_a_line_and_a_silent_one_a_star() {
        assert_eq!(
            text(&hop(2, Some("pkAbcdefghijk"))),
            " 2  b\u{fffd}en  pkAbcdefgh  Bluetooth  61 ms"
        );
        assert_eq!(text(&hop(12, None)), "12  *");
        let json = serde_json::to_string(&hop(1, None)).unwrap();
        let expected = r#"{"hop":1,"peerKeyString":null,"deviceName":null,"transport":null,"rttMs":null,"heldMs":null}"#;
        assert_eq!(json, expected);
    }

    #[test]
    fn a_route_differs_by_who_answered_and_not_by_silence() {
        let hops = [hop(1, Some("a")), hop(2, None), hop(3, Some("c"))];
        assert!(!differs(&hops, &route(&["a", "b", "c"]), true));
        assert!(differs(&hops, &route(&["b", "a", "c"]), true));
        assert!(differs(&hops, &route(&["a", "c"]), true), "a longer way than computed");
        assert!(differs(&hops[..1], &route(&["a", "c"]), true), "a shorter one");
        assert!(!differs(&hops[..2], &route(&["a", "c"]), false), "unknown how far it went");
        assert!(differs(&[hop(0, Some("a"))], &route(&["a"]), true), "no such hop");
    }

    #[test]
    fn who_does_not_answer_is_told_with_how_far_it_went() {
        let failure = unanswered("garden", &[hop(1, Some("a")), hop(2, None)]);
        assert_eq!(failure.message, "garden did not answer; the farthest that did is hop 1");
        assert_eq!(failure.code.exit_code(), 5);
        let failure = unanswered("garden", &[hop(1, None)]);
        assert_eq!(failure.message, "garden did not answer; nor did any hop on the way");
    }
}
