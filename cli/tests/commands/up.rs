//! `up`: one node for each home, and a clean end.

use std::os::unix::fs::PermissionsExt;

use crate::node::Node;
use crate::process::{Run, run};

#[test]
fn the_ready_line_says_who_and_where() {
    let node = Node::alone("kitchen");
    let ready = &node.ready;
    assert!(node.key().starts_with("pk") && node.key().len() == 45);
    assert_eq!((&ready["deviceName"], &ready["open"]), (&"kitchen".into(), &true.into()));
    assert!(ready["network"].as_str().unwrap().starts_with("cli-test-"));
    assert!(node.address().starts_with("127.0.0.1:"), "{ready}");
    let socket = node.home().join("control.sock");
    let mode = std::fs::metadata(socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn people_are_told_that_a_network_is_open() {
    let home = tempfile::tempdir().unwrap();
    let config = "transports.lan = { mdns_enabled = false, listen_ip = \"127.0.0.1\" }\ntransports.ble.enabled = false";
    std::fs::write(home.path().join("config.toml"), config).unwrap();
    let up = Run::start_by_lines(home.path(), &["up", "--name", "hall", "--network", "n1"]);
    let lines: Vec<String> = (0..5).map(|_| up.line()).collect();
    let text = lines.join("\n");
    assert!(text.contains("hall") && text.contains("n1 (open: everybody"), "{text}");
    assert!(text.contains("127.0.0.1:"), "{text}");
}

#[test]
fn a_home_has_one_node() {
    let node = Node::alone("ann");
    let error = node.run(&["up"]).error(8);
    assert_eq!(error["code"], "home_in_use");
    node.run(&["peers"]).ok();
}

#[test]
fn a_signal_ends_it_cleanly_and_the_home_is_free() {
    let node = Node::alone("ann");
    let (key, socket) = (node.key(), node.home().join("control.sock"));
    node.up.terminate();
    let Node { home, up, .. } = node;
    let ended = up.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!socket.exists());
    assert_eq!(run(home.path(), &["peers"]).code, Some(3));
    assert_eq!(Node::start_in(home).key(), key, "the same identity again");
}

#[test]
fn a_crash_leaves_nothing_that_is_in_the_way() {
    let mut node = Node::alone("ann");
    node.up.kill();
    assert!(node.home().join("control.sock").exists());
    assert_eq!(node.run(&["peers"]).error(3)["code"], "no_node");
    let again = Node::start_in(node.home);
    again.run(&["peers"]).ok();
}

#[test]
fn a_bad_configuration_is_told_by_its_key() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.toml");
    for (text, key) in [
        ("transports.lan.prot = 1", "prot"),
        ("bus.give_up_ms = 0", "bus.give_up_ms"),
        ("connect.tcp_servers = [\"nowhere\"]", "connect.tcp_servers[0]"),
    ] {
        std::fs::write(&file, text).unwrap();
        let error = run(home.path(), &["up", "--json"]).error(7);
        assert_eq!(error["code"], "bad_config");
        assert!(error["message"].as_str().unwrap().contains(key), "{error}");
    }
    let missing = run(home.path(), &["up", "--config", "no-such-file.toml", "--json"]).error(7);
    assert!(missing["message"].as_str().unwrap().contains("no-such-file.toml"));
}

#[test]
fn a_key_that_others_may_read_and_a_bad_secret_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_in({
        let config = "transports = { lan.enabled = false, ble.enabled = false }";
        std::fs::write(home.path().join("config.toml"), config).unwrap();
        home
    });
    let Node { home, up, .. } = node;
    drop(up);
    let key = home.path().join("key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(run(home.path(), &["up", "--json"]).error(7)["code"], "bad_key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();

    let secret = home.path().join("secret");
    std::fs::write(&secret, "password").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let error = run(home.path(), &["up", "--json", "--secret-file", secret.to_str().unwrap()]);
    let error = error.error(7);
    assert!(error["message"].as_str().unwrap().contains("secret"), "{error}");
    assert!(!error.to_string().contains("password"), "{error}");
}

#[test]
fn a_secret_closes_the_network() {
    let home = tempfile::tempdir().unwrap();
    let secret = home.path().join("secret");
    std::fs::write(&secret, "hedgerow-secret-1 AAECAwQFBgcICQoLDA0ODw\n").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = "transports = { lan.enabled = false, ble.enabled = false }";
    std::fs::write(home.path().join("config.toml"), config).unwrap();
    let arguments = ["up", "--json", "--secret-file", secret.to_str().unwrap()];
    let up = Run::start_by_lines(home.path(), &arguments);
    let ready: serde_json::Value = serde_json::from_str(&up.line()).unwrap();
    assert_eq!((&ready["open"], &ready["listen"]), (&false.into(), &serde_json::json!([])));
}
