//! A node and Avahi, the multicast DNS of most Linux systems, see each other: on two hosts, and
//! as neighbours on one, where they share the port.

#![cfg(target_os = "linux")]

mod hosts;
mod node;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hosts::{Host, Namespace, run, segment, skip};
use node::{PATIENCE, beacon};

const TEST: &str = "a_node_and_avahi_see_each_other_come_and_go";
const SERVICE: &str = "_hedgerow._tcp";

/// A bus on which everybody may do everything.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=SOCKET</listen>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>
"#;

/// Not a test of its own: what runs in each namespace.
#[tokio::test]
async fn child() {
    hosts::child().await;
}

/// A process that ends with its owner.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Avahi and a bus of its own in a namespace.
struct Avahi<'a> {
    host: &'a Namespace,
    address: String,
    folder: tempfile::TempDir,
    daemons: Vec<Daemon>,
}

impl<'a> Avahi<'a> {
    fn start(host: &'a Namespace) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("bus");
        let address = format!("unix:path={}", socket.display());
        let mut avahi = Self { host, address, folder, daemons: Vec::new() };
        let bus = avahi.write("bus.conf", &BUS.replace("SOCKET", &socket.display().to_string()));
        avahi.spawn(&format!("exec dbus-daemon --nofork --nopidfile --config-file={bus}"));
        wait_for(&socket);
        let settings = avahi.write("avahi.conf", "[server]\nuse-ipv4=yes\nuse-ipv6=yes\n");
        // It keeps its socket and process id below /run, which is this process's own here.
        avahi.spawn(&format!(
            "mount -t tmpfs none /run && \
             exec avahi-daemon --no-drop-root --no-chroot --no-rlimits -f {settings} 2>&1"
        ));
        avahi
    }

    fn write(&self, name: &str, text: &str) -> String {
        let file = self.folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.host.0, "sh", "-c", script])
            .env("DBUS_SYSTEM_BUS_ADDRESS", &self.address)
            .stdin(Stdio::null());
        command
    }

    fn spawn(&mut self, script: &str) {
        let quiet = self.command(script).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.daemons.push(Daemon(quiet.unwrap()));
    }

    /// What `avahi-browse` resolves now, a service and an address a line.
    fn browse(&self) -> Vec<String> {
        let script = format!("exec avahi-browse -rtp {SERVICE}");
        let output = self.command(&script).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().filter(|line| line.starts_with('=')).map(str::to_owned).collect()
    }

    fn browse_until(&self, what: &str, is_so: impl Fn(&[String]) -> bool) -> Vec<String> {
        let began = Instant::now();
        loop {
            let lines = self.browse();
            if is_so(&lines) {
                return lines;
            }
            assert!(began.elapsed() < PATIENCE, "waited for {what}, found {lines:#?}");
        }
    }
}

/// Waits until a file is there: its folder tells.
fn wait_for(file: &Path) {
    let began = Instant::now();
    while !file.exists() {
        assert!(began.elapsed() < PATIENCE, "no {}", file.display());
        std::thread::yield_now();
    }
}

fn shows(lines: &[String], label: &str, address: &str) -> bool {
    lines.iter().any(|line| line.contains(label) && line.contains(address))
}

#[test]
fn a_node_and_avahi_see_each_other_come_and_go() {
    let programs = [
        ("avahi-daemon", "--version"),
        ("avahi-browse", "--version"),
        ("avahi-publish", "--version"),
        ("dbus-daemon", "--version"),
    ];
    for (program, version) in programs {
        if let Err(reason) = run(program, &[version]) {
            return skip(TEST, &reason);
        }
    }
    let Some([a, b]) = segment("avahi") else { return };
    let avahi = Avahi::start(&b);
    let (far, near) = (beacon(1), beacon(2));
    let far_host = Host::start(&a, 1, "");
    let near_host = Host::start(&b, 2, "");

    // Avahi sees both nodes, with their TXT records.
    let lines = avahi.browse_until("both nodes", |lines| {
        shows(lines, &far.label(), "10.77.0.1") && shows(lines, &near.label(), "10.77.0.2")
    });
    println!("{}", lines.join("\n"));
    for record in [r#""v=1-1""#, r#""n=01010101""#, r#""a=0101010101010101""#] {
        let of_far = lines.iter().filter(|line| line.contains(&far.label()));
        assert!(of_far.clone().all(|line| line.contains(record)), "{record} in {lines:#?}");
    }
    // Sharing the port, the nodes see each other as well.
    far_host.until_sighted(&near.label(), &["10.77.0.2:"]);
    near_host.until_sighted(&far.label(), &["10.77.0.1:"]);

    // A node sees what Avahi shows.
    let published = beacon(9);
    let script = format!(
        "exec avahi-publish -s {} {SERVICE} 4040 v=1-1 n=09090909 a=0909090909090909 2>&1",
        published.label()
    );
    let mut publisher = avahi.command(&script).stdout(Stdio::piped()).spawn().map(Daemon).unwrap();
    let said = BufReader::new(publisher.0.stdout.take().unwrap()).lines().next();
    assert!(said.is_some_and(|line| line.unwrap().contains("Established")));
    let endpoints = far_host.until_sighted(&published.label(), &["10.77.0.2:4040"]);
    drop(publisher);
    far_host.until_lost(&endpoints);

    // A node that ends well is gone at once and not when its records expire.
    far_host.until_ended();
    let ended = Instant::now();
    let lines = avahi.browse_until("the goodbye", |lines| !shows(lines, &far.label(), ""));
    assert!(ended.elapsed() < Duration::from_secs(15), "{:?}", ended.elapsed());
    assert!(shows(&lines, &near.label(), "10.77.0.2"), "{lines:#?}");
}
