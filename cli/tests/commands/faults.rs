//! What goes wrong with homes, keys, disks and ports: each with its code, exit code and a
//! sentence that says what to do. docs/troubleshooting.md names these tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::namespace::{script, skip};
use crate::node::Node;
use crate::process::{Run, run};

/// A home whose node has started once, without a network.
fn used_home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(
        home.path().join("config.toml"),
        "transports = { lan.enabled = false, ble.enabled = false }",
    )
    .unwrap();
    let node = Node::start_in(home);
    let Node { home, up, .. } = node;
    drop(up);
    home
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// What `up` says, with the code, and with both halves of the sentence.
fn refuses(home: &Path, code: &str, message: &str, hint: &str) {
    told(&run(home, &["up", "--json"]).error(7), code, message, hint);
}

fn told(error: &Value, code: &str, message: &str, hint: &str) {
    assert_eq!(error["code"], code, "{error}");
    assert!(error["message"].as_str().unwrap().contains(message), "{error}");
    assert!(error["hint"].as_str().unwrap().contains(hint), "{error}");
}

#[test]
fn a_key_that_is_damaged_empty_or_open_is_refused_and_stays_as_it_was() {
    let home = used_home();
    let key = home.path().join("key");
    let good = fs::read(&key).unwrap();
    let restore = "restore it from a copy, or move it away";
    for (content, message) in [
        (&b""[..], "is not a usable key: it is empty"),
        (b"garbage", "does not begin with `hedgerow-key-1`"),
        (&good[..20], "5 characters instead of 43"),
        (&[0xff; 64], "does not begin with"),
    ] {
        fs::write(&key, content).unwrap();
        refuses(home.path(), "bad_key", message, restore);
        assert_eq!(fs::read(&key).unwrap(), content);
    }
    fs::write(&key, &good).unwrap();
    set_mode(&key, 0o644);
    refuses(home.path(), "bad_key", "others may read", "run `chmod 600 ");
    fs::remove_file(&key).unwrap();
    fs::create_dir(&key).unwrap();
    set_mode(&key, 0o700);
    refuses(home.path(), "bad_home", "cannot read", "see what is there");
}

#[test]
fn a_count_of_starts_that_is_damaged_is_refused_and_can_be_removed() {
    let home = used_home();
    let epoch = home.path().join("epoch");
    for content in ["", "hedgerow-epoch-1 x\n", "hedgerow-epoch-1 18446744073709551615\n"] {
        fs::write(&epoch, content).unwrap();
        refuses(
            home.path(),
            "bad_home",
            "does not count starts",
            "remove it, and counting goes on",
        );
    }
    fs::remove_file(&epoch).unwrap();
    drop(Node::start_in(home));
}

#[test]
fn a_home_that_is_a_file_or_missing_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for home in [file.clone(), file.join("below")] {
        refuses(&home, "bad_home", "cannot make the folder", "a file is in the way");
    }
    // A user without a home directory, as services and containers have it.
    let homeless = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hedgerow"));
        command.args(arguments).env_clear().env("HOME", "nowhere").env("XDG_DATA_HOME", "");
        Run::of(command).end()
    };
    let error = homeless(&["up", "--json"]).error(7);
    told(&error, "bad_home", "no data folder", "set HEDGEROW_HOME");
    let doctor = homeless(&["doctor", "--json"]);
    assert_eq!(doctor.code, Some(7), "{doctor:?}");
    let check = doctor.json().remove(0);
    assert_eq!((&check["check"], &check["status"]), (&"home".into(), &"fail".into()));
}

#[test]
fn a_read_only_home_is_refused() {
    let home = used_home();
    let text = "mount --bind \"$HEDGEROW_HOME\" \"$HEDGEROW_HOME\"\n\
                mount -o remount,ro,bind \"$HEDGEROW_HOME\"\nexec \"$0\" \"$@\"";
    let test = "a_read_only_home_is_refused";
    let Some(up) = script(test, home.path(), text, &["up", "--json"]) else { return };
    let error = Run::of(up).end().error(7);
    told(&error, "bad_home", "Read-only file system", "make it writable, or choose another home");
    let Some(doctor) = script(test, home.path(), text, &["doctor", "--json"]) else { return };
    let ended = Run::of(doctor).end();
    assert_eq!(ended.code, Some(7), "{ended:?}");
    let check = ended.json().into_iter().find(|check| check["check"] == "home").unwrap();
    assert_eq!(check["status"], "fail", "{check}");
    assert!(check["hint"].as_str().unwrap().contains("make it writable"), "{check}");
}

#[test]
fn a_full_disk_is_refused_and_leaves_no_half_key() {
    let home = tempfile::tempdir().unwrap();
    // One page, which another file takes: names can be made, bytes cannot be written.
    let text = "mount -t tmpfs -o size=4k tmpfs \"$HEDGEROW_HOME\"\n\
                head -c 4096 /dev/zero >\"$HEDGEROW_HOME/full\"\n\
                \"$0\" \"$@\" || code=$?\nls \"$HEDGEROW_HOME\" >&2\nexit $code";
    let test = "a_full_disk_is_refused_and_leaves_no_half_key";
    let Some(up) = script(test, home.path(), text, &["up", "--json"]) else { return };
    let ended = Run::of(up).end();
    let names: Vec<String> = ended.stderr.lines().map(str::to_owned).collect();
    told(&ended.error(7), "bad_home", "No space left on device", "free some space");
    assert!(names.iter().all(|name| ["full", "lock"].contains(&name.as_str())), "{names:?}");
    let Some(doctor) = script(test, home.path(), text, &["doctor", "--json"]) else { return };
    let ended = Run::of(doctor).end();
    assert_eq!(ended.code, Some(7), "{ended:?}");
    let check = ended.json().into_iter().find(|check| check["check"] == "home").unwrap();
    assert!(check["message"].as_str().unwrap().contains("0 bytes left"), "{check}");
}

#[test]
fn another_users_home_is_refused() {
    let home = tempfile::tempdir().unwrap();
    if std::os::unix::fs::chown(home.path(), Some(4_242), None).is_err() {
        return skip("cli_another_users_home_is_refused", "only root gives a folder away");
    }
    refuses(home.path(), "bad_home", "belongs to user 4242", "run as its owner");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn another_users_node_is_not_ours_to_command() {
    let node = Node::alone("ann");
    if !rustix::process::geteuid().is_root() {
        return skip(
            "another_users_node_is_not_ours_to_command",
            "only root becomes somebody else",
        );
    }
    set_mode(node.home(), 0o755);
    let mut command = Command::new("setpriv");
    command.args(["--reuid=4242", "--regid=4242", "--clear-groups"]);
    // The build folder may be closed to that user.
    let copy = node.home().join("hedgerow");
    fs::copy(env!("CARGO_BIN_EXE_hedgerow"), &copy).unwrap();
    command.arg(&copy).args(["peers", "--json"]).env("HEDGEROW_HOME", node.home());
    let error = Run::of(command).end().error(7);
    told(&error, "bad_home", "belongs to another user", "name your own home with --home");
}

#[test]
fn a_home_with_a_long_path_has_its_socket_elsewhere() {
    let outer = tempfile::tempdir().unwrap();
    let home = outer.path().join("x".repeat(120)).join("y".repeat(60));
    fs::create_dir_all(&home).unwrap();
    fs::write(
        home.join("config.toml"),
        "transports = { lan.enabled = false, ble.enabled = false }",
    )
    .unwrap();
    let up = Run::start_by_lines(&home, &["up", "--json"]);
    assert!(up.line().contains("ready"));
    run(&home, &["peers", "--json"]).ok();
    assert!(!home.join("control.sock").exists());
    up.terminate();
    assert_eq!(up.end().code, Some(0));
    assert_eq!(run(&home, &["peers", "--json"]).error(3)["code"], "no_node");
}

#[test]
fn what_a_killed_node_left_is_in_nobodys_way() {
    let mut node = Node::alone("ann");
    node.up.kill();
    let left = ["lock", "control.sock"].map(|name| node.home().join(name).exists());
    assert_eq!(left, [true; 2], "a stale lock and a stale socket");
    let doctor = node.run(&["doctor"]);
    let check = doctor.json().into_iter().find(|check| check["check"] == "node").unwrap();
    assert_eq!(check["status"], "warn", "{check}");
    assert!(check["message"].as_str().unwrap().contains("without a goodbye"), "{check}");
    // A socket that a crash left half made, too.
    fs::write(node.home().join("control.new"), "").unwrap();
    Node::start_in(node.home).run(&["peers"]).ok();
}

#[test]
fn a_port_in_use_is_a_condition_and_the_node_goes_on() {
    let ann = Node::alone("ann");
    let home = tempfile::tempdir().unwrap();
    let (_, port) = ann.ready["listen"][0].as_str().unwrap().rsplit_once(':').unwrap();
    let config = format!(
        "device_name = \"ben\"\nlisten.tcp = {{ interface_ip = \"127.0.0.1\", port = {port} }}\n\
         transports = {{ lan.mdns_enabled = false, ble.enabled = false }}\nconnect.tcp_servers = [{:?}]\n\
         network.name = {:?}\n",
        ann.address(),
        ann.ready["network"].as_str().unwrap(),
    );
    fs::write(home.path().join("config.toml"), config).unwrap();
    let before = run(home.path(), &["doctor", "--json"]).json();
    let check = before.iter().find(|check| check["check"] == "port").unwrap();
    assert_eq!(check["status"], "fail", "{check}");
    assert!(check["hint"].as_str().unwrap().contains("choose another port"), "{check}");

    let ben = Node::start_in(home);
    assert_eq!(ben.ready["listen"], serde_json::json!([]));
    ben.run(&["wait", "--peer", "ann"]).ok();
    let doctor = ben.run(&["doctor"]).ok();
    let transport = doctor.iter().find(|check| check["check"] == "transport").unwrap();
    assert_eq!(transport["status"], "warn", "{transport}");
    assert!(transport["message"].as_str().unwrap().contains("ListenFailure"), "{transport}");
    assert!(transport["hint"].as_str().unwrap().contains("another port"), "{transport}");
    ben.up.terminate();
    let ended = ben.up.end();
    assert!(ended.stderr.contains("another program uses this port"), "{}", ended.stderr);
    assert_eq!(ended.code, Some(0));
}
