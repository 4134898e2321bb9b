//! What a configuration must keep beyond its types. Finds every problem, not just the first.

use hedgerow_core::limits::FORGET_AFTER;
use hedgerow_core::network::Network;

use super::{Config, ConfigError, Problem, Problems};

/// The longest pause of an observer: over it a person thinks the graph is stuck.
const OBSERVER_COALESCE_MS_MAX: u64 = 60_000;
/// The longest patience of the Bus: a day.
const PATIENCE_MS_MAX: u64 = 24 * 3_600 * 1_000;
/// The largest inbox, in messages and in bytes: over it a typing error is likelier than a wish.
const INBOX_MESSAGES_MAX: usize = 1_000_000;
const INBOX_BYTES_MAX: usize = 1 << 30;

impl Config {
    /// Every problem, with the path of its key; none if the configuration can be used.
    ///
    /// Looks only at values, never at files, interfaces or names on the network.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_names(&mut problems);
        self.check_addresses(&mut problems);
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
    }
}

/// Checks the form only: whether the host exists, the dial will tell.
fn check_host_and_port(server: &str) -> Result<(), &'static str> {
    let (host, port) = server.rsplit_once(':').ok_or("has no port")?;
    if let Some(inside) = host.strip_prefix('[') {
        let inside = inside.strip_suffix(']').ok_or("has no closing bracket")?;
        let address = inside.split_once('%').map_or(inside, |(address, _scope)| address);
        address.parse::<std::net::Ipv6Addr>().map_err(|_| "has no IPv6 address in its brackets")?;
    } else if host.contains(':') {
        return Err("has an IPv6 address without brackets");
    } else if host.is_empty() {
        return Err("has no host");
    } else if host.chars().any(|c| c.is_whitespace() || c.is_control() || "/[]@".contains(c)) {
        return Err("has a host with characters that no host has");
    }
    match port.parse::<u16>() {
        Ok(1..) if port.bytes().all(|digit| digit.is_ascii_digit()) => Ok(()),
        _ => Err("has no port from 1 to 65535"),
    }
}
