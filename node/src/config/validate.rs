//! What a configuration must keep beyond its types. Finds every problem, not just the first.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hedgerow_core::limits::FORGET_AFTER;
use hedgerow_core::network::Network;

use super::{Config, ConfigError, Problem, Problems};

/// The longest name of a network interface on Linux (`IFNAMSIZ`, less its end).
const INTERFACE_BYTES_MAX: usize = 15;
/// More links than any Bluetooth controller holds.
const BLE_LINKS_MAX: usize = 32;
/// The longest pause of an observer: over it a person thinks the graph is stuck.
const OBSERVER_COALESCE_MS_MAX: u64 = 60_000;
/// The longest patience of the Bus: a day.
const PATIENCE_MS_MAX: u64 = 24 * 3_600 * 1_000;
/// The largest inbox, in messages and in bytes: over it a typing error is likelier than a wish.
const INBOX_MESSAGES_MAX: usize = 1_000_000;
const INBOX_BYTES_MAX: usize = 1 << 30;
/// The longest name of a host (RFC 1035 section 2.3.4).
const HOST_BYTES_MAX: usize = 253;

impl Config {
    /// Every problem, with the path of its key; none if the configuration can be used.
    ///
    /// Looks only at values, never at files, interfaces or names on the network.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_names(&mut problems);
        self.check_addresses(&mut problems);
        self.check_interfaces(&mut problems);
        self.check_numbers(&mut problems);
        problems
    }

    /// The configuration, if it has no problem.
    ///
    /// # Errors
    /// [`ConfigError::Problems`] with all of them.
    pub fn validated(self) -> Result<Self, ConfigError> {
        match Problems::new(self.validate()) {
            None => Ok(self),
            Some(problems) => Err(ConfigError::Problems { file: None, problems }),
        }
    }

    fn check_names(&self, problems: &mut Vec<Problem>) {
        if let Some(name) = &self.device_name {
            if name.trim().is_empty() {
                let message = "empty: give a name, or leave it out to use the host's";
                problems.push(Problem::new("device_name", message));
            } else if name.chars().any(char::is_control) {
                let message = format!("{name:?} has control characters: leave them out");
                problems.push(Problem::new("device_name", message));
            }
        }
        if let Err(error) = Network::open(&self.network.name) {
            problems.push(Problem::new("network.name", error.to_string()));
        }
        if self.network.secret_file.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            let message = "empty: name a file, or leave it out for an open network";
            problems.push(Problem::new("network.secret_file", message));
        }
    }

    fn check_addresses(&self, problems: &mut Vec<Problem>) {
        for (at, server) in self.connect.tcp_servers.iter().enumerate() {
            if let Err(wrong) = check_host_and_port(server) {
                let message = format!("{server:?} {wrong}: write it as host:port or [ipv6]:port");
                problems.push(Problem::new(format!("connect.tcp_servers[{at}]"), message));
            }
        }
        let lan = &self.transports.lan;
        let listened = [
            ("transports.lan.listen_ip", Some(lan.listen_ip)),
            ("listen.tcp.interface_ip", self.listen.tcp.map(|tcp| tcp.interface_ip)),
        ];
        for (path, ip) in listened {
            if let Some(Err(wrong)) = ip.map(check_own_ip) {
                problems.push(Problem::new(path, wrong));
            }
        }
        if !lan.enabled && !self.connect.tcp_servers.is_empty() {
            let message = "needs the local network: set transports.lan.enabled = true";
            problems.push(Problem::new("connect.tcp_servers", message));
        }
        let Some(tcp) = self.listen.tcp else { return };
        if tcp.port == 0 {
            let message = "0 is out of range, choose one from 1 to 65535 that others can be told";
            problems.push(Problem::new("listen.tcp.port", message));
        }
        if !lan.enabled {
            let message = "needs the local network: set transports.lan.enabled = true";
            problems.push(Problem::new("listen.tcp", message));
        }
        let default = super::LanConfig::default();
        if (lan.port, lan.listen_ip) != (default.port, default.listen_ip) {
            let message =
                "takes the place of transports.lan.port and listen_ip: remove one of them";
            problems.push(Problem::new("listen.tcp", message));
        }
    }

    fn check_interfaces(&self, problems: &mut Vec<Problem>) {
        let interfaces = &self.transports.lan.interfaces;
        for (list, patterns) in [("allow", &interfaces.allow), ("deny", &interfaces.deny)] {
            for (at, pattern) in patterns.iter().enumerate() {
                if pattern.is_empty() || pattern.chars().any(char::is_control) {
                    let path = format!("transports.lan.interfaces.{list}[{at}]");
                    let message = format!("{pattern:?} names no interface: write eth0 or eth*");
                    problems.push(Problem::new(path, message));
                }
            }
        }
    }

    fn check_numbers(&self, problems: &mut Vec<Problem>) {
        let forget_ms = u64::try_from(FORGET_AFTER.as_millis()).unwrap_or(u64::MAX);
        let (presence, bus) = (&self.presence, &self.bus);
        let mut check = |path, value, min, max| {
            if !(min..=max).contains(&value) {
                let message = format!("{value} is out of range, choose from {min} to {max}");
                problems.push(Problem::new(path, message));
            }
        };
        let coalesce_ms = presence.observer_coalesce_ms;
        check("presence.observer_coalesce_ms", coalesce_ms, 0, OBSERVER_COALESCE_MS_MAX);
        check("presence.unreachable_grace_ms", presence.unreachable_grace_ms, 0, forget_ms);
        check("bus.session_gap_ms", bus.session_gap_ms, 1, PATIENCE_MS_MAX);
        check("bus.give_up_ms", bus.give_up_ms, 1, PATIENCE_MS_MAX);
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let (messages, bytes) = (count(bus.inbox_messages_max), count(bus.inbox_bytes_max));
        check("bus.inbox_messages_max", messages, 1, count(INBOX_MESSAGES_MAX));
        check("bus.inbox_bytes_max", bytes, 1, count(INBOX_BYTES_MAX));
        let ble = &self.transports.ble;
        check("transports.ble.links_max", count(ble.links_max), 1, count(BLE_LINKS_MAX));
        if let Some(adapter) = &ble.adapter
            && (adapter.is_empty() || !adapter.chars().all(|c| c.is_ascii_alphanumeric()))
        {
            let message = format!("{adapter:?} names no adapter: write hci0");
            problems.push(Problem::new("transports.ble.adapter", message));
        }
        let wifi_direct = &self.transports.wifi_direct;
        if let Some(name) = &wifi_direct.interface
            && (name.is_empty() || name.len() > INTERFACE_BYTES_MAX || name.contains(['/', ' ']))
        {
            let message = format!("{name:?} names no network interface: write wlan0");
            problems.push(Problem::new("transports.wifi_direct.interface", message));
        }
        if let Some(bus) = &wifi_direct.bus
            && !bus.contains(':')
        {
            let message = format!("{bus:?} is no address of a bus: write unix:path=/run/dbus/..");
            problems.push(Problem::new("transports.wifi_direct.bus", message));
        }
    }
}

/// An address that this machine can have, in a form that says which.
fn check_own_ip(ip: IpAddr) -> Result<(), String> {
    match ip {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Err(format!(
            "{ip} is link-local and may be on every interface: use :: and choose the interfaces \
             with transports.lan.interfaces"
        )),
        ip if ip.is_multicast() => {
            Err(format!("{ip} is a group of machines: use an address of this one, or ::"))
        }
        _ => Ok(()),
    }
}

/// Checks the form only: whether the host exists, the dial will tell.
fn check_host_and_port(server: &str) -> Result<(), &'static str> {
    let (host, port) = server.rsplit_once(':').ok_or("has no port")?;
    if let Some(inside) = host.strip_prefix('[') {
        let inside = inside.strip_suffix(']').ok_or("has no closing bracket")?;
        let (address, scope) = match inside.split_once('%') {
            Some((_, "")) => return Err("has no interface after the %"),
            Some((address, scope)) => (address, Some(scope)),
            None => (inside, None),
        };
        let address: Ipv6Addr =
            address.parse().map_err(|_| "has no IPv6 address in its brackets")?;
        if address.is_unicast_link_local() && scope.is_none() {
            return Err("is link-local and needs its interface, as in [fe80::1%eth0]:4040");
        }
        check_peer_ip(address.into())?;
    } else if host.contains(':') {
        return Err("has an IPv6 address without brackets");
    } else if host.is_empty() {
        return Err("has no host");
    } else if host.chars().any(|c| c.is_whitespace() || c.is_control() || "/[]@%".contains(c)) {
        return Err("has a host with characters that no host has");
    } else if host.len() > HOST_BYTES_MAX {
        return Err("has a host that is longer than any");
    } else if let Ok(address) = host.parse::<Ipv4Addr>() {
        check_peer_ip(address.into())?;
    } else if is_number(host.trim_end_matches('.').rsplit('.').next().unwrap_or_default()) {
        // No top-level domain is a number (RFC 3696 section 2).
        return Err("has an IPv4 address that is none");
    }
    match port.parse::<u16>() {
        Ok(1..) if is_number(port) => Ok(()),
        _ => Err("has no port from 1 to 65535"),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit())
}

fn check_peer_ip(ip: IpAddr) -> Result<(), &'static str> {
    let is_broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    if ip.is_unspecified() || ip.is_multicast() || is_broadcast {
        return Err("is not the address of one machine");
    }
    Ok(())
}
