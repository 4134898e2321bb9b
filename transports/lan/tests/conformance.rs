//! The LAN driver keeps the contract, over real sockets in a network namespace of its own.
//!
//! The test starts itself again in the namespace; `suite` is what runs there.

#![cfg(target_os = "linux")]

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use hedgerow_driver::conformance::{self, Bench, Check, End, Figures, Verdict};
use hedgerow_driver::{Driver, Endpoint};
use hedgerow_lan::{Lan, LanConfig};

#[path = "conformance/relay.rs"]
mod relay;

use relay::Relay;

/// Set in the namespace.
const INSIDE: &str = "HEDGEROW_LAN_TEST_CONFORMANCE";
/// Run in a new namespace: a cable that leads to nobody, and small buffers of the system
/// so that a standstill comes soon.
const SCRIPT: &str = "ip link set lo up && ip link add nobody type veth peer name loose && \
    ip addr add 10.77.0.1/24 dev nobody && ip link set nobody arp off up && \
    ip link set loose up && \
    echo 4096 65536 262144 > /proc/sys/net/ipv4/tcp_rmem && \
    echo 4096 65536 262144 > /proc/sys/net/ipv4/tcp_wmem";

/// Two drivers on this host; a cut needs a relay between them, as a host has no cable to itself.
struct Host {
    addresses: [Option<SocketAddr>; 2],
    relay: Option<Relay>,
}

impl Host {
    fn new(check: Check) -> Self {
        Self { addresses: [None; 2], relay: (check == Check::Cut).then(Relay::new) }
    }
}

impl Bench for Host {
    fn driver(&mut self, end: End) -> Box<dyn Driver> {
        let listen_ip = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let lan = Lan::bind(LanConfig { listen: true, listen_ip, ..LanConfig::default() });
        let address = lan.listen_addresses()[0];
        self.addresses[end as usize] = Some(address);
        if let (Some(relay), End::There) = (&mut self.relay, end) {
            relay.lead_to(address);
        }
        Box::new(lan)
    }

    fn endpoint(&self, end: End) -> Option<Endpoint> {
        let address = match (&self.relay, end) {
            (Some(relay), End::There) => relay.address(),
            _ => self.addresses[end as usize]?,
        };
        Some(Endpoint::new(&address.to_string()))
    }

    fn nowhere(&self) -> Endpoint {
        Endpoint::new("127.0.0.1:9")
    }

    fn silent(&mut self) -> Option<Endpoint> {
        Some(Endpoint::new("10.77.0.2:4040"))
    }

    fn invalid(&self) -> Endpoint {
        Endpoint::new("pigeon 7")
    }

    fn cut(&mut self) {
        self.relay.as_mut().expect("made for this check").cut();
    }

    fn mend(&mut self) {
        self.relay.as_mut().expect("made for this check").mend();
    }

    fn figures(&self) -> Figures {
        // The kernel's buffers of both ends, as set above; a sender counts twice what it holds.
        Figures {
            buffered_bytes_max: 3 * 262_144,
            load_bytes: 8 << 20,
            quiet: Duration::from_millis(400),
            ..Figures::default()
        }
    }
}

#[tokio::test]
async fn suite() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let findings = conformance::assert_all(Host::new).await;
    let skipped = findings.0.iter().filter(|(_, verdict)| matches!(verdict, Verdict::NotTried(_)));
    let skipped: Vec<_> = skipped.map(|(check, _)| *check).collect();
    // Without multicast DNS nobody is sighted; a port that is taken is a condition, no end.
    assert_eq!(skipped, [Check::Sightings, Check::Hopeless]);
}

#[test]
fn the_lan_keeps_the_contract() {
    let is_root = std::fs::metadata("/proc/self")
        .is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0);
    let unshare = if is_root { "-n" } else { "-Urn" };
    let run = |script: &str| {
        let mut command = Command::new("unshare");
        command.args([unshare, "sh", "-c", script]).arg(std::env::current_exe().unwrap());
        command.env(INSIDE, "1").output()
    };
    let prepared = match run(SCRIPT) {
        Err(error) => return skip(&format!("unshare cannot be run: {error}")),
        Ok(output) => output,
    };
    if !prepared.status.success() {
        return skip(String::from_utf8_lossy(&prepared.stderr).trim());
    }
    let output = run(&format!("{SCRIPT} && exec \"$0\" --exact suite --nocapture")).unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (said, cried) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}\n{cried}");
    assert!(said.contains("1 passed"), "{said}");
}

fn skip(reason: &str) {
    // Not `eprintln`, which the test runner captures.
    let line = format!("SKIP conformance: {reason}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}
