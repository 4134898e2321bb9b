//! Which network interfaces discovery uses.
//!
//! Everything is decided here, from what is known of an interface; nothing is looked up.

use std::fmt;

/// The interfaces that discovery may use, by name.
///
/// A `*` in a pattern stands for any run of characters, none included. By default every interface
/// is used that is up and has an address, but for
///
/// - loopback,
/// - point-to-point interfaces: `ppp0`, `wg0`, most `tun0`,
/// - the ports of a bridge or a bond: what is on such a cable is found through the bridge. It is
///   the membership that counts, not the name: a `veth` inside a container is its only way out,
/// - bridges and cables that container engines and virtual machine monitors make for themselves,
///   such as `docker0` or `virbr0`. A bridge that a person made, such as `br0` or `br-lan`, is used.
///
/// Only discovery is concerned, and the addresses that neighbours are told: there point-to-point
/// interfaces count as well. A link to a configured peer goes wherever the system routes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceRules {
    /// If not empty, these interfaces are used and no others, also those that are passed over by
    /// default. Loopback and point-to-point interfaces stay out: multicast DNS finds nobody there.
    pub allow: Vec<String>,
    /// These are never used, whatever `allow` says.
    pub deny: Vec<String>,
}

/// Names of the bridges and cables that software makes for its own guests.
const MADE_FOR_GUESTS: [&str; 19] = [
    "cali*",
    "cbr*",
    "cilium*",
    "cni*",
    "docker*",
    "flannel*",
    "hassio*",
    "kube-*",
    "lxc*",
    "lxdbr*",
    "incusbr*",
    "nerdctl*",
    "podman*",
    "vboxnet*",
    "vEthernet (*",
    "virbr*",
    "vmnet*",
    "vnet*",
    "weave*",
];

/// Names of point-to-point interfaces whose system does not say what they are.
const POINT_TO_POINT: [&str; 6] = ["ppp*", "tailscale*", "utun*", "wg*", "awdl*", "llw*"];

/// Names of the interfaces of Wi-Fi Direct groups, as wpa_supplicant chooses them.
const WIFI_GROUPS: &str = "p2p-*";

/// What is known of an interface.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traits<'a> {
    pub(crate) name: &'a str,
    pub(crate) is_loopback: bool,
    pub(crate) is_point_to_point: bool,
    /// It belongs to a bridge or a bond, and has no routable address of its own.
    pub(crate) is_port: bool,
}

/// Why discovery does not use an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skip {
    /// It leads to this machine only.
    Loopback,
    /// It has one other end, a VPN or a modem: multicast DNS finds nobody there.
    PointToPoint,
    /// [`InterfaceRules::deny`] has it.
    Denied,
    /// [`InterfaceRules::allow`] has others and not this one.
    NotAllowed,
    /// It belongs to a bridge or a bond, which is looked at in its place.
    Port,
    /// A container engine or a virtual machine monitor made it for its guests.
    MadeForGuests,
    /// It is a Wi-Fi Direct group, which is a transport of its own.
    WifiGroup,
    /// It is down, or has no address.
    NoAddress,
    /// It is up and connected to nothing.
    NoCarrier,
    /// Its addresses are new, and the system still asks whether somebody else has them.
    NotReady,
    /// As many as can be used at once are used already.
    TooMany,
}

impl Skip {
    /// Whether the rules are the reason and other rules could change it.
    #[must_use]
    pub fn is_by_rules(self) -> bool {
        matches!(
            self,
            Self::Denied | Self::NotAllowed | Self::Port | Self::MadeForGuests | Self::WifiGroup
        )
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "leads to this machine only",
            Self::PointToPoint => "point-to-point, a VPN most likely",
            Self::Denied => "denied by the configuration",
            Self::NotAllowed => "not among those that the configuration allows",
            Self::Port => "port of a bridge or a bond",
            Self::WifiGroup => "a Wi-Fi Direct group",
            Self::MadeForGuests => "made for containers or virtual machines",
            Self::NoAddress => "down or without an address",
            Self::NoCarrier => "without a carrier (no cable, no Wi-Fi network)",
            Self::NotReady => "its new address is still being checked for duplicates",
            Self::TooMany => "as many others as can be used are used already",
        })
    }
}

impl InterfaceRules {
    /// Whether an interface of this name is allowed by name.
    pub(crate) fn allows(&self, name: &str) -> bool {
        let is_one_of = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, name));
        is_one_of(&self.allow) && !is_one_of(&self.deny)
    }

    /// Whether neighbours are told the addresses of an interface, given why discovery does not use
    /// it: of those that it uses, and of point-to-point ones, as long as no list is against it. Who
    /// is told a VPN's address may well be in that VPN.
    pub(crate) fn tells(&self, name: &str, skipped: Option<Skip>) -> bool {
        let is_one_of = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, name));
        match skipped {
            None | Some(Skip::TooMany) => true,
            Some(Skip::PointToPoint) => {
                !is_one_of(&self.deny) && (self.allow.is_empty() || is_one_of(&self.allow))
            }
            Some(_) => false,
        }
    }

    /// Whether an interface is used, or why not.
    pub(crate) fn check(&self, interface: &Traits<'_>) -> Result<(), Skip> {
        let is_one_of =
            |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, interface.name));
        if interface.is_loopback {
            Err(Skip::Loopback)
        } else if interface.is_point_to_point {
            Err(Skip::PointToPoint)
        } else if is_one_of(&self.deny) {
            Err(Skip::Denied)
        } else if !self.allow.is_empty() {
            if is_one_of(&self.allow) { Ok(()) } else { Err(Skip::NotAllowed) }
        } else {
            by_default(interface)
        }
    }
}

fn by_default(interface: &Traits<'_>) -> Result<(), Skip> {
    let is_one_of =
        |patterns: &[&str]| patterns.iter().any(|pattern| matches(pattern, interface.name));
    if interface.is_port {
        Err(Skip::Port)
    } else if is_one_of(&POINT_TO_POINT) {
        Err(Skip::PointToPoint)
    } else if is_one_of(&MADE_FOR_GUESTS) || is_docker_network(interface.name) {
        Err(Skip::MadeForGuests)
    } else if matches(WIFI_GROUPS, interface.name) {
        Err(Skip::WifiGroup)
    } else {
        Ok(())
    }
}

/// `br-` and twelve hexadecimal digits; a router's `br-lan` is not one.
fn is_docker_network(name: &str) -> bool {
    let digits = name.strip_prefix("br-").filter(|digits| digits.len() == 12);
    digits.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// Whether a name fits a pattern with `*`.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    // The first place of each piece leaves the most for those after it.
    for piece in middle.split('*') {
        let Some((_, after)) = name.split_once(piece) else { return false };
        name = after;
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str], deny: &[&str]) -> InterfaceRules {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        InterfaceRules { allow: owned(allow), deny: owned(deny) }
    }

    fn check(rules: &InterfaceRules, name: &str) -> Result<(), Skip> {
        rules.check(&Traits { name, ..Traits::default() })
    }

    #[test]
    fn by_default_a_network_is_used_and_what_leads_to_guests_is_not() {
        let used = [
            "eth0",
            "enp3s0",
            "wlan0",
            "wlp2s0",
            "en0",
            "Ethernet 2",
            "br0",
            "br-lan",
            "bond0",
            "eth0.7",
            "veth1",
            "usb0",
            "zt7nnig26",
            "to-b",
            "br-0123456789abc",
            "br-0123456789xy",
        ];
        let rules = InterfaceRules::default();
        for name in used {
            assert_eq!(check(&rules, name), Ok(()), "{name}");
        }
        for name in [
            "docker0",
            "virbr0",
            "br-0123456789ab",
            "cni0",
            "podman1",
            "lxcbr0",
            "vmnet8",
            "vEthernet (WSL)",
            "cali1234",
        ] {
            assert_eq!(check(&rules, name), Err(Skip::MadeForGuests), "{name}");
        }
        for name in ["wg0", "ppp0", "utun3", "tailscale0"] {
            assert_eq!(check(&rules, name), Err(Skip::PointToPoint), "{name}");
        }
        assert_eq!(check(&rules, "p2p-wlan0-3"), Err(Skip::WifiGroup));
    }

    #[test]
    fn the_flags_of_an_interface_count_whatever_its_name() {
        let rules = InterfaceRules::default();
        let eth0 = Traits { name: "eth0", ..Traits::default() };
        let is = |traits| rules.check(&traits);
        assert_eq!(is(Traits { is_loopback: true, ..eth0 }), Err(Skip::Loopback));
        assert_eq!(is(Traits { is_point_to_point: true, ..eth0 }), Err(Skip::PointToPoint));
        assert_eq!(is(Traits { is_port: true, ..eth0 }), Err(Skip::Port));
    }

    #[test]
    fn allow_takes_the_place_of_the_defaults_and_deny_goes_over_it() {
        let rules = rules(&["eth*", "docker0"], &["eth7"]);
        assert_eq!(check(&rules, "eth0"), Ok(()));
        assert_eq!(check(&rules, "docker0"), Ok(()));
        assert_eq!(check(&rules, "wlan0"), Err(Skip::NotAllowed));
        assert_eq!(check(&rules, "eth7"), Err(Skip::Denied));
        let port = Traits { name: "eth1", is_port: true, ..Traits::default() };
        assert_eq!(rules.check(&port), Ok(()), "named");
        let loopback = Traits { name: "eth1", is_loopback: true, ..Traits::default() };
        assert_eq!(rules.check(&loopback), Err(Skip::Loopback));
        let tunnel = Traits { name: "eth1", is_point_to_point: true, ..Traits::default() };
        assert_eq!(rules.check(&tunnel), Err(Skip::PointToPoint));
    }

    #[test]
    fn told_are_the_interfaces_of_discovery_and_point_to_point_ones_unless_a_list_is_against_it() {
        let tells = |rules: &InterfaceRules, skipped| rules.tells("wg0", skipped);
        let default = InterfaceRules::default();
        assert!(tells(&default, None) && tells(&default, Some(Skip::TooMany)));
        assert!(tells(&default, Some(Skip::PointToPoint)));
        assert!(tells(&rules(&["wg*"], &[]), Some(Skip::PointToPoint)));
        assert!(!tells(&rules(&["eth*"], &[]), Some(Skip::PointToPoint)));
        assert!(!tells(&rules(&["wg*"], &["wg0"]), Some(Skip::PointToPoint)));
        for skip in [Skip::Loopback, Skip::Denied, Skip::MadeForGuests, Skip::NoCarrier] {
            assert!(!tells(&default, Some(skip)), "{skip}");
        }
    }

    #[test]
    fn denied_alone_leaves_the_rest_to_the_defaults() {
        let rules = rules(&[], &["wlan*"]);
        assert_eq!(check(&rules, "wlan0"), Err(Skip::Denied));
        assert_eq!(check(&rules, "eth0"), Ok(()));
        assert_eq!(check(&rules, "docker0"), Err(Skip::MadeForGuests));
    }

    #[test]
    fn a_star_stands_for_any_run() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "eth0"),
            ("eth0", "eth0"),
            ("eth*", "eth"),
            ("*0", "eth0"),
            ("e*0", "eth0"),
            ("e*t*0", "eth0"),
            ("*a*a*", "aa"),
            ("a*ab", "aab"),
            ("**", "x"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "eth0"),
            ("eth0", "eth01"),
            ("eth", "eth0"),
            ("*1", "eth0"),
            ("a*a", "a"),
            ("e*x*0", "eth0"),
            ("*a*a*", "a"),
            ("Eth*", "eth0"),
            ("ab*ba", "aba"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
