//! `hedgerow links`.

use std::time::Duration;

use super::short_key;
use crate::control::{Answer, Client, LinkLine, Request, unexpected_answer};
use crate::failure::Failure;
use crate::output::{Output, duration, printable};
use crate::table::{Table, or_dash};

pub(super) async fn run(client: Client, output: Output) -> Result<(), Failure> {
    let links = match client.ask(&Request::Links, Duration::ZERO).await? {
        Answer::Links { links } => links,
        other => return Err(unexpected_answer(&other)),
    };
    if !output.json {
        return output.print_text(&text(&links));
    }
    links.iter().try_for_each(|link| output.print_json(link))
}

fn text(lines: &[LinkLine]) -> String {
    let (refused, links): (Vec<_>, Vec<_>) = lines.iter().partition(|line| is_refused(line));
    let mut text = if links.is_empty() { "no links".to_owned() } else { table(&links) };
    for line in refused {
        let reason = printable(line.last_close.as_deref().unwrap_or_default());
        text.push_str(&format!("\nno link with {}: {reason}", printable(&line.endpoint)));
    }
    text
}

/// Somebody tried to make a link and cannot join.
fn is_refused(line: &LinkLine) -> bool {
    line.state == "closed" && line.peer_key_string.is_none()
}

fn table(links: &[&LinkLine]) -> String {
    let headings =
        ["PEER", "TRANSPORT", "STATE", "ENDPOINT", ">RTT", ">LOSS", ">RATE", ">QUEUED", ">AGE"];
    let mut table = Table::new(&headings);
    for link in links {
        let key = link.peer_key_string.as_deref().map(short_key);
        let name = link.device_name.as_deref().map(printable).filter(|name| !name.is_empty());
        table.add(vec![
            or_dash(name.or(key), |peer| peer),
            printable(&link.transport),
            if link.is_active { format!("{} *", link.state) } else { link.state.clone() },
            printable(&link.endpoint),
            or_dash(link.rtt_ms, |rtt| duration(Duration::from_secs_f64(rtt.max(0.0) / 1e3))),
            or_dash(link.loss, |loss| format!("{:.1} %", loss * 100.0)),
            format!("{:.1} KB/s", link.rate_bytes_per_s as f64 / 1e3),
            format!("{} B", link.queued_bytes),
            duration(Duration::from_millis(link.age_ms)),
        ]);
    }
    let mut text = table.render();
    if links.iter().any(|link| link.is_active) {
        text.push_str("\n* carries data");
    }
    for link in links {
        if let (Some(key), Some(reason)) = (&link.peer_key_string, &link.last_close) {
            let (key, transport) = (short_key(key), printable(&link.transport));
            let reason = printable(reason);
            text.push_str(&format!("\nthe {transport} link to {key} before closed: {reason}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_a_table_with_why_the_last_one_closed() {
        let link = LinkLine {
            peer_key_string: Some("pk0123456789".into()),
            device_name: Some("ben".into()),
            transport: "AccessPoint".into(),
            state: "up".into(),
            endpoint: "127.0.0.1:4040".into(),
            is_active: true,
            rtt_ms: Some(0.25),
            rtt_min_ms: Some(0.2),
            cost: Some(224),
            loss: None,
            rate_bytes_per_s: 1_500,
            bytes_sent: 1_000,
            bytes_received: 2_000,
            approximate_distance_in_meters: None,
            queued_bytes: 12,
            adverts_waiting: 0,
            advert_bytes_sent: 345,
            age_ms: 4_200,
            last_close: Some("timed out".into()),
        };
        let expected = "\
PEER  TRANSPORT    STATE  ENDPOINT           RTT  LOSS      RATE  QUEUED    AGE
ben   AccessPoint  up *   127.0.0.1:4040  0.2 ms     -  1.5 KB/s    12 B  4.2 s
* carries data
the AccessPoint link to pk01234567 before closed: timed out";
        assert_eq!(text(std::slice::from_ref(&link)), expected);
        let waiting = LinkLine { state: "handshaking".into(), is_active: false, ..link };
        assert!(!text(&[waiting]).contains('*'), "nothing to explain");
        assert_eq!(text(&[]), "no links");
    }
}
