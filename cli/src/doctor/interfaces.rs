//! The network interfaces: which of them a node uses, and why it skips the others. The local
//! network's transport decides; this tells it in words.

use std::io;

use hedgerow::config::Config;
use hedgerow::lan::{InterfaceRules, InterfaceStatus, Skip};

use super::Check;

/// Interfaces that are told one by one; a host of containers has hundreds.
const TOLD_MAX: usize = 16;
/// Interfaces that a hint names; with more it says it in words.
const NAMED_MAX: usize = 4;

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Those where a node looks for others.
    pub(crate) used: Vec<InterfaceStatus>,
    /// Whether any other node can be reached, be it a configured one or one of this machine.
    pub(crate) reaches: bool,
    pub(crate) checks: Vec<Check>,
}

/// What a node with this configuration has.
pub(crate) fn check(config: &Config) -> Found {
    let lan = &config.transports.lan;
    if lan.mdns_enabled {
        return of(hedgerow::lan::interfaces(&lan.interfaces.rules()), config);
    }
    // The rules are about multicast DNS; links go wherever the system routes them.
    let all = InterfaceRules { allow: vec!["*".to_owned()], deny: Vec::new() };
    let mut found = hedgerow::lan::interfaces(&all);
    for interface in found.iter_mut().flatten() {
        interface.skipped.take_if(|why| matches!(why, Skip::PointToPoint | Skip::TooMany));
    }
    of(found, config)
}

fn of(all: io::Result<Vec<InterfaceStatus>>, config: &Config) -> Found {
    let all = match all {
        Ok(all) => all,
        Err(error) => {
            let message = format!("the system does not list its network interfaces: {error}");
            let hint = "run it outside of the sandbox, or with the right to see the network";
            let checks = vec![Check::fail("interfaces", message, hint)];
            return Found { used: Vec::new(), reaches: false, checks };
        }
    };
    let (used, skipped): (Vec<_>, Vec<_>) = all.into_iter().partition(|i| i.skipped.is_none());
    let mut checks: Vec<Check> = used.iter().map(in_use).collect();
    checks.extend(skipped.iter().filter_map(|one| Some(passed_over(one, one.skipped?, &used))));
    if checks.len() > TOLD_MAX {
        let more = format!("and {} more", checks.len() - TOLD_MAX);
        checks.truncate(TOLD_MAX);
        checks.push(Check::ok("interfaces", more));
    }
    let detour = skipped.iter().any(|one| is_enough(one, config));
    if used.is_empty() {
        checks.push(none_used(detour, skipped.iter().any(is_by_rules)));
    }
    Found { reaches: detour || !used.is_empty(), used, checks }
}

fn in_use(interface: &InterfaceStatus) -> Check {
    let addresses: Vec<String> = interface.addresses.iter().map(ToString::to_string).collect();
    Check::ok("interfaces", format!("{}: {}", interface.name, addresses.join(", ")))
}

/// What a person chose, or what is so by default, is not a fault; the hint says how to change it.
fn passed_over(interface: &InterfaceStatus, why: Skip, used: &[InterfaceStatus]) -> Check {
    let name = &interface.name;
    let mut check = Check::ok("interfaces", format!("{name} is skipped: {why}"));
    check.hint = match why {
        Skip::PointToPoint => {
            "name the peers behind it in connect.tcp_servers; multicast DNS finds nobody there"
                .to_owned()
        }
        Skip::Denied => {
            "to look for peers there, take it out of transports.lan.interfaces.deny".to_owned()
        }
        Skip::NotAllowed => {
            format!("to look for peers there, add {name:?} to transports.lan.interfaces.allow")
        }
        Skip::Port | Skip::MadeForGuests => allow(name, used),
        Skip::NoCarrier => "to use it, plug in its cable or join a Wi-Fi network".to_owned(),
        Skip::NoAddress => {
            format!("to use it, bring it up (`ip link set {name} up`) and give it an address")
        }
        Skip::NotReady => "wait two seconds; a node that runs finds it by itself".to_owned(),
        Skip::TooMany => "choose those that matter with transports.lan.interfaces.allow".to_owned(),
        _ => String::new(),
    };
    check
}

/// Whoever allows one interface must allow the others too: the list takes the place of the
/// defaults.
fn allow(name: &str, used: &[InterfaceStatus]) -> String {
    let key = "to look for peers there, set transports.lan.interfaces.allow";
    if used.len() >= NAMED_MAX {
        return format!("{key} to those in use and {name:?}");
    }
    let names = used.iter().map(|interface| interface.name.as_str()).chain([name]);
    let names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
    format!("{key} = [{}]", names.join(", "))
}

fn is_by_rules(interface: &InterfaceStatus) -> bool {
    interface.skipped.is_some_and(Skip::is_by_rules)
}

/// Whether a node can do its work over an interface on which it looks for nobody.
fn is_enough(interface: &InterfaceStatus, config: &Config) -> bool {
    match interface.skipped {
        // A node that listens there on purpose has what it needs.
        Some(Skip::Loopback) => config.tcp_listener().0.is_loopback(),
        Some(Skip::PointToPoint) => !config.connect.tcp_servers.is_empty(),
        _ => false,
    }
}

fn none_used(detour: bool, some_by_rules: bool) -> Check {
    let connect = "plug in a cable, join a Wi-Fi network, or bring an interface up and give it an \
                   address (`ip link`, `ip address`); a node that runs finds it by itself";
    let hint = match some_by_rules {
        true => format!("change the rules that skip the interfaces above, or {connect}"),
        false => connect.to_owned(),
    };
    if detour {
        let message = "no network interface to find peers on; only configured peers, and those on \
                       this machine, are in reach";
        return Check::warn("interfaces", message, hint);
    }
    let message = "no network interface can be used: peers in other devices are out of reach";
    Check::fail("interfaces", message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    fn interface(name: &str, ip: [u8; 4], skipped: Option<Skip>) -> InterfaceStatus {
        let (name, addresses) = (name.to_owned(), vec![ip.into()]);
        InterfaceStatus { name, index: Some(2), addresses, skipped }
    }

    fn loopback() -> InterfaceStatus {
        interface("lo", [127, 0, 0, 1], Some(Skip::Loopback))
    }

    fn vpn() -> InterfaceStatus {
        interface("wg0", [10, 8, 0, 1], Some(Skip::PointToPoint))
    }

    #[test]
    fn each_interface_is_told_and_why_it_is_skipped() {
        let skips = [
            ("docker0", Skip::MadeForGuests),
            ("eth1", Skip::NoCarrier),
            ("wlan0", Skip::NoAddress),
            ("eth9", Skip::Denied),
            ("eth8", Skip::NotAllowed),
        ];
        let mut all = vec![loopback(), interface("eth0", [192, 168, 1, 7], None), vpn()];
        all.extend(skips.map(|(name, skip)| interface(name, [10, 0, 0, 1], Some(skip))));
        let found = of(Ok(all), &Config::default());
        let lines: Vec<_> = found.checks.iter().map(|c| (&*c.message, &*c.hint)).collect();
        let allow = "to look for peers there, set transports.lan.interfaces.allow = \
                     [\"eth0\", \"docker0\"]";
        assert_eq!(lines[0], ("eth0: 192.168.1.7", ""));
        assert_eq!(lines[1], ("lo is skipped: leads to this machine only", ""));
        assert!(lines[2].0.contains("VPN") && lines[2].1.contains("tcp_servers"), "{lines:?}");
        let made = "docker0 is skipped: made for containers or virtual machines";
        assert_eq!(lines[3], (made, allow));
        assert!(
            lines[4].0.contains("without a carrier") && lines[4].1.contains("cable"),
            "{lines:?}"
        );
        assert!(lines[5].0.contains("without an address"), "{lines:?}");
        assert!(lines[5].1.contains("ip link set wlan0 up"), "{lines:?}");
        assert!(lines[6].1.contains("transports.lan.interfaces.deny"), "{lines:?}");
        assert!(
            lines[7].1.contains("add \"eth8\" to transports.lan.interfaces.allow"),
            "{lines:?}"
        );
        assert!(found.checks.iter().all(|check| check.status == Level::Ok), "{lines:?}");
        assert_eq!((found.used.len(), found.reaches, lines.len()), (1, true, 8));
    }

    #[test]
    fn without_any_the_last_line_fails_and_says_what_to_do() {
        let found = of(Ok(vec![loopback()]), &Config::default());
        let last = found.checks.last().unwrap();
        assert_eq!((last.status, found.reaches), (Level::Fail, false));
        assert!(last.hint.starts_with("plug in a cable"), "{last:?}");
        let docker = interface("docker0", [172, 17, 0, 1], Some(Skip::MadeForGuests));
        let found = of(Ok(vec![docker]), &Config::default());
        assert!(found.checks[0].hint.ends_with("allow = [\"docker0\"]"), "{found:?}");
        assert!(found.checks[1].hint.starts_with("change the rules"), "{found:?}");
    }

    #[test]
    fn who_is_configured_can_be_reached_where_nobody_is_found() {
        let mut config = Config::default();
        assert!(!of(Ok(vec![vpn()]), &config).reaches);
        config.connect.tcp_servers.push("10.8.0.2:4040".to_owned());
        let found = of(Ok(vec![vpn()]), &config);
        let status = found.checks.last().unwrap().status;
        assert_eq!((found.reaches, status), (true, Level::Warn));

        let mut config = Config::default();
        assert!(!of(Ok(vec![loopback()]), &config).reaches);
        config.transports.lan.listen_ip = [127, 0, 0, 1].into();
        assert!(of(Ok(vec![loopback()]), &config).reaches, "it listens there on purpose");
    }

    #[test]
    fn a_host_of_containers_does_not_fill_the_screen() {
        let one = |n: u8| interface(&format!("veth{n}"), [10, 0, n, 1], Some(Skip::Port));
        let mut many: Vec<_> = (0..200).map(one).collect();
        many.extend((0..5).map(|n| interface(&format!("eth{n}"), [10, 1, n, 1], None)));
        let found = of(Ok(many), &Config::default());
        assert_eq!((found.used.len(), found.checks.len()), (5, TOLD_MAX + 1));
        assert_eq!(found.checks.last().unwrap().message, "and 189 more");
        assert_eq!(found.checks[0].message, "eth0: 10.1.0.1", "those in use come first");
        assert!(found.checks[5].hint.ends_with("to those in use and \"veth0\""), "{found:?}");
    }
}
