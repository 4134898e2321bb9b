//! Firewalls that are switched on. Their rules cannot be read without rights, so this only
//! says what they must let through.

use std::fs;
use std::path::Path;

use super::Check;

pub(crate) fn check(listen: &[String], port: u16) -> Check {
    in_root(Path::new("/"), listen, port)
}

fn in_root(root: &Path, listen: &[String], port: u16) -> Check {
    let Some((name, command)) = active(root) else {
        return Check::ok("firewall", "neither ufw nor firewalld is on; other rules are not seen");
    };
    let listening = listen.iter().find_map(|address| address.rsplit(':').next());
    let tcp = match (listening, port) {
        (_, 1..) => format!("TCP port {port}"),
        (Some(port), 0) => {
            format!("TCP port {port} (another one at each start, unless listen.tcp.port is set)")
        }
        (None, 0) => "a fixed TCP port, set as listen.tcp.port".to_owned(),
    };
    let hint = format!("let UDP port 5353 and {tcp} in: {command}");
    Check::warn("firewall", format!("{name} is on and may keep others out"), hint)
}

/// The firewall that is on, and its command to let a port in.
fn active(root: &Path) -> Option<(&'static str, &'static str)> {
    let ufw = fs::read_to_string(root.join("etc/ufw/ufw.conf")).unwrap_or_default();
    if ufw.lines().any(|line| line.trim().eq_ignore_ascii_case("enabled=yes")) {
        return Some(("ufw", "`ufw allow 5353/udp`"));
    }
    if root.join("run/firewalld").exists() {
        return Some(("firewalld", "`firewall-cmd --add-service=mdns`"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn a_firewall_that_is_on_is_told_with_the_ports_it_must_let_in() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(in_root(root.path(), &[], 0).status, Level::Ok);
        fs::create_dir_all(root.path().join("etc/ufw")).unwrap();
        fs::write(root.path().join("etc/ufw/ufw.conf"), "ENABLED=no\n").unwrap();
        assert_eq!(in_root(root.path(), &[], 0).status, Level::Ok);
        fs::write(root.path().join("etc/ufw/ufw.conf"), "# on\nENABLED=yes\n").unwrap();
        let check = in_root(root.path(), &[], 4040);
        assert_eq!(check.status, Level::Warn);
        assert!(check.hint.contains("5353") && check.hint.contains("TCP port 4040"), "{check:?}");
        let check = in_root(root.path(), &["[::]:33505".to_owned()], 0);
        assert!(check.hint.contains("33505") && check.hint.contains("listen.tcp.port"));

        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("run/firewalld")).unwrap();
        assert!(in_root(root.path(), &[], 0).message.starts_with("firewalld"));
    }
}
