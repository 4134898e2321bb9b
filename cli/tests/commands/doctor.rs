//! `doctor`, with and without a node, and each check made to fail.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::namespace::{script, script_with_ip};
use crate::node::Node;
use crate::process::{Ended, Run, run};

/// For what comes by itself.
const PATIENCE: Duration = Duration::from_secs(30);

fn checks<'a>(all: &'a [Value], name: &str) -> Vec<&'a Value> {
    all.iter().filter(|check| check["check"] == name).collect()
}

/// The one line of a check.
fn the<'a>(all: &'a [Value], name: &str) -> &'a Value {
    let found = checks(all, name);
    assert_eq!(found.len(), 1, "{name}: {found:?}");
    found[0]
}

/// Every line has its four keys, and what is not well has a hint.
fn lines(ended: Ended, code: i32) -> Vec<Value> {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    let all = ended.json();
    for check in &all {
        let text = |key: &str| check[key].as_str().unwrap_or_else(|| panic!("{key}: {check}"));
        assert!(!text("check").is_empty() && !text("message").is_empty(), "{check}");
        assert!(["ok", "warn", "fail"].contains(&text("status")), "{check}");
        assert!(text("status") == "ok" || !text("hint").is_empty(), "no hint: {check}");
    }
    all
}

fn on_loopback(home: &Path) {
    let config = "transports.lan = { mdns_enabled = false, listen_ip = \"127.0.0.1\" }\ntransports.ble.enabled = false";
    fs::write(home.join("config.toml"), config).unwrap();
}

#[test]
fn before_the_first_start_nothing_is_wrong_and_nothing_is_made() {
    let outer = tempfile::tempdir().unwrap();
    let config = outer.path().join("c.toml");
    on_loopback(outer.path());
    fs::rename(outer.path().join("config.toml"), &config).unwrap();
    let home = outer.path().join("home");
    let all = lines(run(&home, &["doctor", "--json", "--config", config.to_str().unwrap()]), 0);
    assert!(all.iter().all(|check| check["status"] != "fail"), "{all:#?}");
    for name in ["home", "key", "epoch", "config", "network", "clock", "files", "node", "port"] {
        the(&all, name);
    }
    let radios = checks(&all, "transport");
    assert!(radios[0]["message"].as_str().unwrap().starts_with("Bluetooth is switched off"));
    assert!(radios[1]["message"].as_str().unwrap().starts_with("Wi-Fi Direct is switched off"));
    assert!(!home.exists());
}

#[test]
fn beside_a_node_it_asks_that_node() {
    let (ann, _ben) = Node::pair("");
    let all = lines(ann.run(&["doctor"]), 0);
    let node = the(&all, "node")["message"].as_str().unwrap();
    assert!(node.starts_with("ann runs for ") && node.contains("links: 1, peers: 1"), "{node}");
    assert!(the(&all, "key")["message"].as_str().unwrap().contains(&ann.key()));
    assert!(the(&all, "port")["message"].as_str().unwrap().contains(&ann.address()));
    assert_eq!(the(&all, "limits")["status"], "ok");
    assert!(checks(&all, "transport")[0]["message"].as_str().unwrap().contains("works"));
    assert!(checks(&all, "network").is_empty(), "the node's own word counts");

    let text = String::from_utf8(run(ann.home(), &["doctor"]).stdout).unwrap();
    let columns: Vec<_> = text.lines().filter(|line| !line.starts_with(' ')).collect();
    assert!(columns.len() >= 10 && columns.iter().all(|line| line.len() > 18), "{text}");
    let starts = |line: &&&str| ["ok    ", "warn  ", "FAIL  "].iter().any(|s| line.starts_with(s));
    assert_eq!(columns.iter().filter(starts).count(), columns.len(), "aligned: {text}");
}

#[test]
fn who_is_not_reached_is_told_with_the_reason_until_a_link_stands() {
    let (ann, ben) = Node::pair("");
    let dials = || -> Vec<Value> {
        checks(&ben.run(&["doctor"]).json(), "dial").into_iter().cloned().collect()
    };
    assert_eq!(dials(), [Value::Null; 0]);
    let address = ann.address();
    let Node { home, up, .. } = ann;
    up.terminate();
    up.end();
    let begun = Instant::now();
    let told = loop {
        // It says goodbye first.
        let is_told = |dial: &Value| dial["hint"].as_str().is_some_and(|it| it.contains("refused"));
        if let Some(dial) = dials().into_iter().find(is_told) {
            break dial;
        }
        assert!(begun.elapsed() < PATIENCE, "nothing is told");
        std::thread::sleep(Duration::from_millis(100));
    };
    let message = told["message"].as_str().unwrap();
    assert!(message.contains(&format!("at {address} is not reached over the local network")));
    assert!(message.contains("tried again "), "{message}");

    // At the address of before.
    let config = fs::read_to_string(home.path().join("config.toml")).unwrap();
    let (_, port) = address.rsplit_once(':').unwrap();
    let ip = "listen_ip = \"127.0.0.1\"";
    let with_port = config.replace(ip, &format!("{ip}, port = {port}"));
    fs::write(home.path().join("config.toml"), with_port).unwrap();
    let _ann = Node::start_in(home);
    ben.run(&["wait", "--peer", "ann", "--timeout", "60"]).ok();
    assert_eq!(dials(), [Value::Null; 0]);
}

#[test]
fn every_fault_of_home_and_configuration_is_a_line_and_exit_7() {
    let home = tempfile::tempdir().unwrap();
    on_loopback(home.path());
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    let fails = |name: &str, message: &str, hint: &str| {
        let all = lines(run(home.path(), &["doctor", "--json"]), 7);
        let failed: Vec<_> = all.iter().filter(|check| check["status"] == "fail").collect();
        assert!(!failed.is_empty() && failed.iter().all(|c| c["check"] == name), "{failed:?}");
        assert!(failed[0]["message"].as_str().unwrap().contains(message), "{failed:?}");
        assert!(failed[0]["hint"].as_str().unwrap().contains(hint), "{failed:?}");
    };
    write("key", "");
    fails("key", "it is empty", "restore it from a copy");
    fs::set_permissions(home.path().join("key"), fs::Permissions::from_mode(0o640)).unwrap();
    fails("key", "others may read", "chmod 600");
    fs::remove_file(home.path().join("key")).unwrap();
    write("epoch", "9");
    fails("epoch", "does not count starts", "remove it");
    fs::remove_file(home.path().join("epoch")).unwrap();
    let good = fs::read_to_string(home.path().join("config.toml")).unwrap();
    write("config.toml", &format!("{good}\nbus.give_up_ms = 0\ndevice_name = \"\"\n"));
    fails("config", "device_name", "give a name");
    write("config.toml", &format!("{good}\nnetwork.secret_file = \"none\"\n"));
    fails("network", "none", "check the path");
    write("config.toml", &good);
    lines(run(home.path(), &["doctor", "--json"]), 0);
}

#[test]
fn a_low_limit_of_files_is_told() {
    let home = tempfile::tempdir().unwrap();
    on_loopback(home.path());
    let mut command = Command::new("sh");
    let text = "ulimit -n 40; exec \"$0\" doctor --json";
    command.args(["-c", text, env!("CARGO_BIN_EXE_hedgerow")]).env("HEDGEROW_HOME", home.path());
    let all = lines(Run::of(command).end(), 0);
    let files = the(&all, "files");
    assert_eq!(files["status"], "fail", "{files}");
    assert!(files["hint"].as_str().unwrap().contains("ulimit -n"), "{files}");
}

#[test]
fn a_machine_without_any_network_is_exit_1_with_a_hint() {
    let home = tempfile::tempdir().unwrap();
    let test = "a_machine_without_any_network_is_exit_1_with_a_hint";
    let text = "exec \"$0\" doctor --json";
    let Some(command) = script(test, home.path(), text, &[]) else { return };
    let all = lines(Run::of(command).end(), 1);
    let interfaces = checks(&all, "interfaces");
    assert!(interfaces[0]["message"].as_str().unwrap().starts_with("lo is skipped"));
    let last = interfaces.last().unwrap();
    assert_eq!(last["status"], "fail", "{last}");
    assert!(last["hint"].as_str().unwrap().contains("ip link"), "{last}");
    assert!(checks(&all, "multicast").is_empty());
}

#[test]
fn a_link_proves_a_transport_that_finds_nobody() {
    let home = tempfile::tempdir().unwrap();
    let test = "a_link_proves_a_transport_that_finds_nobody";
    let text = "ip link set lo up\nmkdir \"$HEDGEROW_HOME/b\"\n\
         echo 'transports.lan.port = 4040' >\"$HEDGEROW_HOME/b/config.toml\"\n\
         \"$0\" up --home \"$HEDGEROW_HOME/b\" >&2 &\nb=$!\n\
         echo 'connect.tcp_servers = [\"127.0.0.1:4040\"]' >\"$HEDGEROW_HOME/config.toml\"\n\
         \"$0\" up >&2 &\na=$!\ntrap 'kill $a $b' EXIT\n\
         until \"$0\" wait --peers 1 >&2; do kill -0 $a; done\n\"$0\" doctor --json";
    let Some(command) = script_with_ip(test, home.path(), text, &[]) else { return };
    let all = lines(Run::of(command).end(), 0);
    assert!(the(&all, "node")["message"].as_str().unwrap().contains("links: 1"), "{all:#?}");
    let transport = checks(&all, "transport")[0];
    assert_eq!(transport["status"], "fail", "nobody is found: {transport}");
    assert!(transport["message"].as_str().unwrap().contains("TemporarilyUnavailable"));
}

/// Two ends of a cable in one namespace, with an address on one; the kernel takes a moment to
/// see that it is plugged in.
const CABLE: &str = "ip link add cable type veth peer name other\n\
    ip address add 10.79.1.1/24 dev cable\nip link set other up\nip link set cable up\n\
    until ip link show cable | grep -q 'state UP'; do :; done\n";

#[test]
fn multicast_is_really_tried_on_every_interface() {
    let home = tempfile::tempdir().unwrap();
    let test = "multicast_is_really_tried_on_every_interface";
    let text = format!("{CABLE}exec \"$0\" doctor --json");
    let Some(command) = script_with_ip(test, home.path(), &text, &[]) else { return };
    let all = lines(Run::of(command).end(), 0);
    let found = |name: &str, part: &str| {
        let found = checks(&all, name);
        let with = |c: &&&Value| c["message"].as_str().unwrap().contains(part);
        let found = found.iter().find(with).unwrap_or_else(|| panic!("{part}: {all:#?}"));
        found["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(found("interfaces", "cable: 10.79.1.1"), "ok");
    assert_eq!(found("multicast", "cable: sent to 224.0.0.251 and heard"), "ok");
}

#[test]
fn what_a_node_looks_on_is_what_is_told_and_the_hint_changes_it() {
    let home = tempfile::tempdir().unwrap();
    let test = "what_a_node_looks_on_is_what_is_told_and_the_hint_changes_it";
    let text = format!(
        "{CABLE}ip link set other down\nip link set other name docker0\n\
         ip address add 172.17.0.1/16 dev docker0\nip link set docker0 up\n\
         until ip link show cable | grep -q 'state UP'; do :; done\n\
         \"$0\" doctor --json\necho '{{\"check\":\"then\"}}'\n\
         echo 'transports.lan.interfaces.allow = [\"cable\", \"docker0\"]' \
         >\"$HEDGEROW_HOME/config.toml\"\n\"$0\" doctor --json"
    );
    let Some(command) = script_with_ip(test, home.path(), &text, &[]) else { return };
    let all = Run::of(command).end().json();
    let mut halves = all.split(|check| check["check"] == "then");
    let (before, after) = (halves.next().unwrap(), halves.next().unwrap());
    let with = |half: &[Value], name: &str, part: &str| {
        let line = |c: &&&Value| c["message"].as_str().unwrap().starts_with(part);
        checks(half, name).iter().find(line).map(|check| (*check).clone())
    };
    let skipped = with(before, "interfaces", "docker0 is skipped: made for containers").unwrap();
    let hint = "transports.lan.interfaces.allow = [\"cable\", \"docker0\"]";
    assert!(skipped["hint"].as_str().unwrap().ends_with(hint), "{skipped}");
    assert_eq!(with(before, "multicast", "docker0"), None);
    assert!(with(after, "interfaces", "docker0: 172.17.0.1").is_some(), "{after:#?}");
    assert!(with(after, "multicast", "docker0: sent to 224.0.0.251 and heard").is_some());
}

#[test]
fn a_program_that_keeps_the_multicast_port_for_itself_is_told() {
    let home = tempfile::tempdir().unwrap();
    let test = "a_program_that_keeps_the_multicast_port_for_itself_is_told";
    // The holder is this test binary again; it says when it holds the port.
    let text = format!(
        "{CABLE}HEDGEROW_TEST_HOLD=\"$HEDGEROW_HOME/held\" \"$1\" --exact doctor::holder >&2 &\n\
         until test -e \"$HEDGEROW_HOME/held\"; do kill -0 $!; done\n\
         \"$0\" doctor --json || true\nkill $!"
    );
    let program = std::env::current_exe().unwrap();
    let program = program.to_str().unwrap();
    let Some(command) = script_with_ip(test, home.path(), &text, &[program]) else { return };
    let ended = Run::of(command).end();
    let all = ended.json();
    let multicast = checks(&all, "multicast");
    let v4 = multicast.first().unwrap_or_else(|| panic!("{all:#?}"));
    assert_eq!(v4["status"], "fail", "{v4}");
    assert!(v4["message"].as_str().unwrap().contains("cannot share UDP port 5353"), "{v4}");
    assert!(v4["hint"].as_str().unwrap().contains("ss -lunp"), "{v4}");
}

/// Not a test of its own: holds the port for the test above, until it is killed.
#[test]
fn holder() {
    let Some(told) = std::env::var_os("HEDGEROW_TEST_HOLD") else { return };
    let _held = UdpSocket::bind("0.0.0.0:5353").unwrap();
    fs::write(told, "held\n").unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn a_node_without_any_network_runs_says_so_and_recovers() {
    let home = tempfile::tempdir().unwrap();
    let test = "a_node_without_any_network_runs_says_so_and_recovers";
    let text = format!(
        "mkdir \"$HEDGEROW_HOME/b\"\n\
         \"$0\" up --json --name a >\"$HEDGEROW_HOME/a.out\" 2>\"$HEDGEROW_HOME/a.log\" &\n\
         a=$!\n\"$0\" up --json --name b --home \"$HEDGEROW_HOME/b\" >\"$HEDGEROW_HOME/b.out\" 2>&1 &\n\
         b=$!\ntrap 'kill $a $b' EXIT\n\
         until \"$0\" peers >/dev/null 2>&1 && \"$0\" peers --home \"$HEDGEROW_HOME/b\" >/dev/null 2>&1; \
         do :; done\n\
         \"$0\" doctor --json && exit 9\necho '{{\"check\":\"then\"}}'\n\
         {CABLE}\"$0\" wait --peers 1 --timeout 50 --json\n\"$0\" doctor --json\n\
         cat \"$HEDGEROW_HOME/a.log\" >&2"
    );
    let Some(command) = script_with_ip(test, home.path(), &text, &[]) else { return };
    let ended = Run::of(command).end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // Its log tells that there is none, once, and that there is one again.
    let log: Vec<_> = ended.stderr.lines().filter(|line| line.contains("AccessPoint")).collect();
    let told = |words: &str| log.iter().filter(|line| line.contains(words)).count();
    assert_eq!(told("no network interface to find peers on"), 1, "{ended:?}");
    assert!(told("works again") >= 1 && log[0].contains(" WARN "), "{ended:?}");
    let all = ended.json();
    let mut halves = all.split(|check| check["check"] == "then");
    let failed = |half: &[Value], name: &str| {
        half.iter().any(|check| check["check"] == name && check["status"] == "fail")
    };
    let (before, after) = (halves.next().unwrap(), halves.next().unwrap());
    assert!(failed(before, "interfaces") && !failed(after, "interfaces"), "{all:#?}");
    assert!(!failed(after, "transport"), "{after:#?}");
}
