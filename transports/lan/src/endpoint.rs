//! The text of an endpoint: `192.168.1.7:4040`, `[fe80::1%3]:4040`, `host.example:4040`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use hedgerow_driver::Endpoint;

/// What an endpoint's text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An address, as it is.
    Address(SocketAddr),
    /// A host to look up; also an IPv6 address whose scope is the name of an interface.
    Name(String, u16),
}

/// The longest name that DNS knows.
const NAME_BYTES_MAX: usize = 253;

/// Reads an endpoint; `None` if it is not one of this transport.
pub(crate) fn parse(text: &str) -> Option<Target> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return (address.port() != 0).then_some(Target::Address(address));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(host) => {
            let host = host.strip_suffix(']')?;
            let (ip, scope) = host.split_once('%')?;
            ip.parse::<Ipv6Addr>().ok()?;
            (!scope.is_empty()).then_some(host)?
        }
        None => host,
    };
    let is_name = !host.is_empty() && host.len() <= NAME_BYTES_MAX && is_clean(host, text);
    is_name.then(|| Target::Name(host.to_owned(), port))
}

/// A bare IPv6 address is ambiguous, and no name holds a space, a slash or a control character.
fn is_clean(host: &str, text: &str) -> bool {
    let bracketed = text.starts_with('[');
    !host.chars().any(|c| {
        c.is_whitespace() || c.is_control() || "/[]@".contains(c) || (c == ':' && !bracketed)
    })
}

/// The endpoint of an address that was seen. A link-local address means something only together
/// with the interface that it was seen on; `None` without.
pub(crate) fn of(ip: IpAddr, scope_id: u32, port: u16) -> Option<Endpoint> {
    let address = match ip {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), port),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            if scope_id == 0 {
                return None;
            }
            SocketAddrV6::new(ip, port, 0, scope_id).into()
        }
        IpAddr::V6(ip) => SocketAddr::new(ip.into(), port),
    };
    let useful = port != 0 && !ip.is_unspecified() && !ip.is_multicast();
    useful.then(|| Endpoint::new(&address.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_read() {
        let address = |text: &str| Some(Target::Address(text.parse().unwrap()));
        let name = |host: &str| Some(Target::Name(host.to_owned(), 4040));
        assert_eq!(parse("192.168.1.7:4040"), address("192.168.1.7:4040"));
        assert_eq!(parse("[::1]:4040"), address("[::1]:4040"));
        assert_eq!(parse("[fe80::1%3]:4040"), address("[fe80::1%3]:4040"));
        assert_eq!(parse("[fe80::1%eth0]:4040"), name("fe80::1%eth0"));
        assert_eq!(parse("node.example:4040"), name("node.example"));
        assert_eq!(parse("localhost:4040"), name("localhost"));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            ":",
            ":1",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "host:x",
            "::1",
            "::1:4040",
            "[::1]",
            "[::1]:",
            "[::1]:0",
            "[host]:1",
            "[fe80::1%]:1",
            "[x%eth0]:1",
            "a b:1",
            "a/b:1",
            "1.2.3.4:0",
            "[fe80::1%a b]:1",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!(parse(&format!("{}:1", "a".repeat(254))), None);
    }

    #[test]
    fn what_was_seen_reads_back() {
        let of = |ip: &str, scope| of(ip.parse().unwrap(), scope, 4040);
        assert_eq!(of("192.168.1.7", 3), Some(Endpoint::new("192.168.1.7:4040")));
        assert_eq!(of("fe80::1", 3), Some(Endpoint::new("[fe80::1%3]:4040")));
        assert_eq!(of("2001:db8::1", 3), Some(Endpoint::new("[2001:db8::1]:4040")));
        assert_eq!(of("fe80::1", 0), None, "without its interface it names nobody");
        assert_eq!(of("0.0.0.0", 3), None);
        assert_eq!(of("ff02::1", 3), None);
    }
}
