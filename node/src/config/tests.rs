use std::path::Path;

use super::*;

fn problems(text: &str) -> Vec<String> {
    let config = Config::from_toml_str(text).unwrap();
    config.validate().iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_text_is_the_default() {
    assert_eq!(Config::from_toml_str("").unwrap(), Config::default());
    assert_eq!(Config::from_json_str("{}").unwrap(), Config::default());
    assert_eq!(Config::default().validate(), []);
    assert_eq!(Config::default().network.name, "hedgerow");
    assert_eq!(Config::default().presence.unreachable_grace_ms, 3_000);
}

#[test]
fn a_configuration_goes_both_ways_in_both_languages() {
    let text = r#"
        device_name = "kitchen"
        connect.tcp_servers = ["a.example:1", "[fe80::1%eth0]:65535", "10.0.0.1:4040"]
        listen.tcp = { interface_ip = "10.0.0.2", port = 4040 }
        transports.lan = { mdns_enabled = false, exchange_addresses = false, interfaces = { allow = ["eth*"], deny = ["eth9"] } }
        presence.observer_coalesce_ms = 0
        [network]
        name = "home"
        secret_file = "secret"
        [bus]
        when_full = "reject"
    "#;
    let config = Config::from_toml_str(text).unwrap();
    assert_eq!(config.validate(), []);
    assert_eq!(config.bus.when_full, Some(WhenFull::Reject));
    assert!(!config.transports.lan.mdns_enabled && !config.transports.lan.exchange_addresses);
    assert_eq!(config.transports.lan.interfaces.allow, ["eth*"]);
    assert_eq!(config.transports.lan.interfaces.deny, ["eth9"]);
    assert_eq!(config.tcp_listener(), ("10.0.0.2".parse().unwrap(), 4040));

    let toml = toml::to_string(&config).unwrap();
    assert_eq!(Config::from_toml_str(&toml).unwrap(), config);
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(Config::from_json_str(&json).unwrap(), config);
}

#[test]
fn every_problem_is_told_with_its_path() {
    let found = problems(
        r#"
        device_name = " "
        connect.tcp_servers = ["good.example:80", "bad", "::1:80", "h:0", ":1", "h:+1", "[x]:1"]
        listen.tcp.port = 0
        transports.lan.port = 7
        network = { name = "", secret_file = "" }
        presence.unreachable_grace_ms = 3_600_001
        presence.observer_coalesce_ms = 60_001
        bus = { session_gap_ms = 0, give_up_ms = 0, inbox_messages_max = 0, inbox_bytes_max = 0 }
        "#,
    );
    let paths: Vec<_> = found.iter().map(|text| text.split(": ").next().unwrap()).collect();
    let expected = [
        "device_name",
        "network.name",
        "network.secret_file",
        "connect.tcp_servers[1]",
        "connect.tcp_servers[2]",
        "connect.tcp_servers[3]",
        "connect.tcp_servers[4]",
        "connect.tcp_servers[5]",
        "connect.tcp_servers[6]",
        "listen.tcp.port",
        "listen.tcp",
        "presence.observer_coalesce_ms",
        "presence.unreachable_grace_ms",
        "bus.session_gap_ms",
        "bus.give_up_ms",
        "bus.inbox_messages_max",
        "bus.inbox_bytes_max",
    ];
    assert_eq!(paths, expected, "{found:#?}");
    assert!(found[3].ends_with(r#""bad" has no port: write it as host:port or [ipv6]:port"#));
}

#[test]
fn an_address_that_cannot_lead_to_a_peer_is_told_before_it_is_dialled() {
    let wrong = [
        ("[fe80::1]:4040", "needs its interface, as in [fe80::1%eth0]:4040"),
        ("[fe80::1%]:4040", "no interface after the %"),
        ("fe80::1%eth0:4040", "without brackets"),
        ("0.0.0.0:4040", "not the address of one machine"),
        ("[::]:4040", "not the address of one machine"),
        ("255.255.255.255:4040", "not the address of one machine"),
        ("224.0.0.251:4040", "not the address of one machine"),
        ("[ff02::fb%eth0]:4040", "not the address of one machine"),
        ("192.168.1:4040", "an IPv4 address that is none"),
        ("192.168.1.300:4040", "an IPv4 address that is none"),
        ("1.2.3.4.:4040", "an IPv4 address that is none"),
        ("a%b:4040", "characters that no host has"),
        ("h:65536", "no port from 1 to 65535"),
    ];
    for (server, why) in wrong {
        let found = problems(&format!("connect.tcp_servers = [\"{server}\"]"));
        assert_eq!(found.len(), 1, "{server}: {found:?}");
        assert!(found[0].contains(why) && found[0].contains(server), "{}", found[0]);
    }
    let long = "a".repeat(254);
    assert_eq!(problems(&format!("connect.tcp_servers = [\"{long}:1\"]")).len(), 1);
    let right = ["192.168.1.7:4040", "node1.example:1", "4040.example.:1", "[::1]:1", "h:65535"];
    let right = format!("connect.tcp_servers = {right:?}");
    assert_eq!(problems(&right), [""; 0]);
}

#[test]
fn an_interface_without_a_name_and_an_address_of_nobody_are_problems() {
    let found = problems(
        "transports.lan.interfaces = { allow = [\"eth*\", \"\"], deny = [\"\"] }
        transports.lan.listen_ip = \"fe80::1\"
        listen.tcp = { interface_ip = \"224.0.0.1\", port = 1 }",
    );
    let paths: Vec<_> = found.iter().map(|text| text.split(": ").next().unwrap()).collect();
    let expected = [
        "transports.lan.listen_ip",
        "listen.tcp.interface_ip",
        "listen.tcp",
        "transports.lan.interfaces.allow[1]",
        "transports.lan.interfaces.deny[0]",
    ];
    assert_eq!(paths, expected, "{found:#?}");
    assert!(found[0].contains("transports.lan.interfaces"), "{}", found[0]);
}

#[test]
fn what_needs_the_local_network_says_so_when_it_is_off() {
    let found = problems(
        "transports.lan.enabled = false\nconnect.tcp_servers = [\"h:1\"]\nlisten.tcp.port = 1",
    );
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|text| text.contains("transports.lan.enabled = true")), "{found:?}");
}

#[test]
fn an_unknown_key_is_an_error_with_its_place_and_the_nearest_known_one() {
    let text = "[transports.lan]\nenabled = true\nmdns_enable = false\n";
    let error = Config::from_toml_str(text).unwrap_err();
    let ConfigError::Syntax { place: Some(place), suggestion: Some(suggestion), .. } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!((*place, suggestion.as_str()), (Place { line: 3, column: 1 }, "mdns_enabled"));
    let message = error.to_string();
    assert!(message.starts_with("configuration, line 3, column 1: unknown field `mdns_enable`"));
    assert!(message.ends_with("; did you mean `mdns_enabled`?"), "{message}");

    let error = Config::from_json_str("{\n \"devicename\": \"x\"}").unwrap_err().to_string();
    assert!(error.starts_with("configuration, line 2, column 13: unknown field"), "{error}");
    assert!(error.ends_with("did you mean `device_name`?"), "{error}");
    assert_eq!(error.matches("line 2").count(), 1, "{error}");

    let error = Config::from_toml_str("colour = 1").unwrap_err();
    assert!(matches!(error, ConfigError::Syntax { suggestion: None, .. }), "{error}");
    assert!(error.to_string().contains("`network`"), "the known keys are listed: {error}");

    let error = Config::from_toml_str("bus.when_full = \"rejct\"").unwrap_err().to_string();
    assert!(error.ends_with("did you mean `reject`?"), "{error}");
}

#[test]
fn no_section_ignores_an_unknown_key() {
    let sections = [
        "network",
        "transports",
        "transports.lan",
        "transports.wifi_direct",
        "connect",
        "listen",
        "presence",
        "bus",
    ];
    for section in sections {
        let error = Config::from_toml_str(&format!("{section}.mystery = 1")).unwrap_err();
        assert!(error.to_string().contains("unknown field `mystery`"), "{section}: {error}");
    }
    let error = Config::from_toml_str("listen.tcp = { port = 1, mystery = 1 }").unwrap_err();
    assert!(error.to_string().contains("unknown field `mystery`"), "{error}");
}

#[test]
fn a_radio_that_cannot_be_named_so_is_told() {
    let good = "transports.wifi_direct = { interface = \"wlan0\", bus = \"unix:path=/b\", power = \"low\" }";
    assert_eq!(problems(good), [""; 0]);
    let found = problems(
        "transports.wifi_direct = { interface = \"wlan0123456789ab\", bus = \"/run/bus\" }",
    );
    assert!(found[0].starts_with("transports.wifi_direct.interface: "), "{found:?}");
    assert!(found[1].starts_with("transports.wifi_direct.bus: "), "{found:?}");
}

#[test]
fn limits_are_inclusive() {
    let at_most = "presence = { observer_coalesce_ms = 60_000, unreachable_grace_ms = 3_600_000 }
        bus = { session_gap_ms = 86_400_000, give_up_ms = 1, inbox_messages_max = 1 }";
    assert_eq!(problems(at_most), [""; 0]);
    assert_eq!(problems("bus.session_gap_ms = 86_400_001").len(), 1);
}

#[test]
fn a_wrong_type_and_broken_text_are_errors_with_their_place() {
    for (text, line) in [("\n[bus]\ngive_up_ms = -1", 3), ("a = = 1", 1), ("\nnetwork = 4", 2)] {
        let error = Config::from_toml_str(text).unwrap_err();
        let ConfigError::Syntax { place: Some(place), .. } = &error else { panic!("{error:?}") };
        assert_eq!(place.line, line, "{error}");
    }
    assert!(Config::from_toml_str("listen.tcp.interface_ip = \"::\"").is_err(), "no port");
    assert!(Config::from_json_str("").is_err());
}

#[test]
fn a_file_is_named_in_its_errors() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let load = |file: &Path| Config::load(file).unwrap_err().to_string();

    let file = write("a.toml", "nettwork = 1");
    assert!(load(&file).starts_with(&format!("{}:1:1: unknown field", file.display())));
    let file = write("b.toml", "network.name = \"\"\nbus.give_up_ms = 0");
    let message = load(&file);
    assert!(message.starts_with(&format!("{}:\nnetwork.name: ", file.display())), "{message}");
    assert_eq!(message.lines().count(), 3);
    let missing = folder.path().join("c.toml");
    let message = load(&missing);
    assert!(message.starts_with("cannot read the configuration ") && message.contains("c.toml"));

    let file = write("d.json", r#"{"network": {"secret_file": "s"}}"#);
    let config = Config::load(&file).unwrap();
    assert_eq!(config.network.secret_file, Some(folder.path().join("s")));
}

#[test]
fn a_device_name_is_cut_between_characters_and_defaults_to_the_host() {
    let config = Config { device_name: Some("ä".repeat(40)), ..Config::default() };
    assert_eq!(config.effective_device_name(), "ä".repeat(31));
    assert_eq!(config.validate(), []);
    assert!(!Config::default().effective_device_name().is_empty());
}
