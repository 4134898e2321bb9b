//! Commands in network and mount namespaces of their own, which go with the last process in them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Says loudly that a test was skipped; written so that it shows even when the test passes.
pub(crate) fn skip(test: &str, why: &str) {
    let line = format!("\nSKIP {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// A command that runs `script` in namespaces of its own. There, `$0` is the `hedgerow` binary
/// and `$1`, `$2` ... are `arguments`. `None` after a skip, where this machine cannot.
pub(crate) fn script(test: &str, home: &Path, script: &str, arguments: &[&str]) -> Option<Command> {
    let works = |flags: &&str| {
        let probe = Command::new("unshare").args([flags, "true"]).stderr(Stdio::null()).status();
        probe.is_ok_and(|status| status.success())
    };
    // Root in a container may have only the second way.
    let Some(flags) = ["-nm", "-Urnm"].into_iter().find(works) else {
        skip(test, "no namespaces: neither root nor `unshare -Urnm`");
        return None;
    };
    let mut command = Command::new("unshare");
    command.args([flags, "sh", "-ec", script, env!("CARGO_BIN_EXE_hedgerow")]);
    command.args(arguments).env("HEDGEROW_HOME", home);
    // A namespace hides the networks of the machine, not its radios.
    command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent");
    for name in ["HEDGEROW_NETWORK", "HEDGEROW_NAME", "HEDGEROW_LOG"] {
        command.env_remove(name);
    }
    Some(command)
}

/// The same, and `None` as well where there is no `ip` command.
pub(crate) fn script_with_ip(
    test: &str,
    home: &Path,
    text: &str,
    arguments: &[&str],
) -> Option<Command> {
    let probe = Command::new("ip").arg("-V").stdout(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        skip(test, "no `ip` command of iproute2");
        return None;
    }
    script(test, home, text, arguments)
}
