//! Binding the listeners.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use hedgerow_driver::{Condition, ConditionState};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait for the accept loop: room for a newcomer behind a flood of others, which
/// the loop passes in a moment. The system may allow less.
const BACKLOG: i32 = 1_024;
/// Free ports tried until one is free in both families.
const FREE_PORTS_TRIED: usize = 16;

/// What listens, and what could not.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    /// One for each family, non-blocking.
    pub(crate) listeners: Vec<TcpListener>,
    /// The listeners that are missing.
    pub(crate) missing: Missing,
}

/// Listeners that could not be bound, and why.
#[derive(Debug, Default)]
pub(crate) struct Missing(Vec<(SocketAddr, io::Error)>);

impl Missing {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tries to bind them once more; those that work now are not missing any more.
    pub(crate) fn retry(&mut self) -> Vec<TcpListener> {
        let mut found = Vec::new();
        let missing = self.0.drain(..).map(|(address, _)| address).collect::<Vec<_>>();
        for address in missing {
            match open(address) {
                Ok(listener) => found.push(listener),
                Err(error) => self.0.push((address, error)),
            }
        }
        found
    }

    /// What to tell the user, if anything is missing while `others` listen.
    pub(crate) fn condition(&self, others: usize) -> Option<Condition> {
        let ((first, error), more) = self.0.split_first()?;
        let is_alike = more.iter().all(|(_, other)| other.kind() == error.kind());
        let failures = if is_alike {
            let addresses = more.iter().map(|(address, _)| format!(" and {address}"));
            advice(&format!("{first}{}", addresses.collect::<String>()), error)
        } else {
            let each = self.0.iter().map(|(address, error)| advice(&address.to_string(), error));
            each.collect::<Vec<_>>().join("; ")
        };
        let rest = if others == 0 {
            "nobody can connect to this node, but it can still connect to others"
        } else {
            "the other address family still accepts connections"
        };
        Some(Condition::new(
            ConditionState::ListenFailure,
            format!("{failures}; {rest}; trying again"),
        ))
    }
}

fn advice(address: &str, error: &io::Error) -> String {
    let what = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program uses this port: stop it, or choose another port or 0 for any"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have this address: correct the address to listen on, or remove \
             it to listen on all"
        }
        io::ErrorKind::PermissionDenied => {
            "the operating system refuses: choose a port from 1024 on, or give the program the \
             right to listen"
        }
        _ => "check the address and the port to listen on",
    };
    format!("cannot listen on {address} ({error}): {what}")
}

/// Binds `ip`, or both families where it is `None`, to the same port.
pub(crate) fn bind(ip: Option<IpAddr>, port: u16) -> Bound {
    if let Some(ip) = ip {
        let mut bound = Bound::default();
        bound.add(SocketAddr::new(ip, port));
        return bound;
    }
    let mut bound = Bound::default();
    for _ in 0..FREE_PORTS_TRIED {
        bound = bind_both(port);
        let taken = |(_, error): &(_, io::Error)| error.kind() == io::ErrorKind::AddrInUse;
        if port != 0 || !bound.missing.0.iter().any(taken) {
            break;
        }
    }
    bound
}

fn bind_both(port: u16) -> Bound {
    let mut bound = Bound::default();
    bound.add(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port));
    let same = bound.listeners.first().and_then(|listener| listener.local_addr().ok());
    let port = same.map_or(port, |address| address.port());
    bound.add(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
    if !bound.listeners.is_empty() {
        // A machine without IPv6 is not a failure.
        bound.missing.0.retain(|(_, error)| !is_family_missing(error));
    }
    bound
}

/// Whether the error says that the machine has no such address family: there is no socket of it
/// (`Unsupported` or uncategorised, depending on the system), or no address.
fn is_family_missing(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput
    )
}

impl Bound {
    fn add(&mut self, address: SocketAddr) {
        match open(address) {
            Ok(listener) => self.listeners.push(listener),
            Err(error) => self.missing.0.push((address, error)),
        }
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // On Windows it would let two programs share the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_families_with_one_trouble_are_one_sentence() {
        let missing = |second: io::ErrorKind| {
            let first = ("[::]:40".parse().unwrap(), io::ErrorKind::AddrInUse.into());
            Missing(vec![first, ("0.0.0.0:40".parse().unwrap(), second.into())])
        };
        let told = |missing: Missing| missing.condition(0).unwrap().detail;
        let same = told(missing(io::ErrorKind::AddrInUse));
        assert!(same.contains("listen on [::]:40 and 0.0.0.0:40 ("), "{same}");
        assert_eq!(same.matches("another program").count(), 1, "{same}");
        let other = told(missing(io::ErrorKind::PermissionDenied));
        assert!(other.contains("another program") && other.contains("from 1024 on"), "{other}");
    }

    #[test]
    fn both_families_get_the_same_free_port() {
        let bound = bind(None, 0);
        let ports: Vec<u16> =
            bound.listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        assert!(!ports.is_empty() && ports.iter().all(|port| *port == ports[0] && *port != 0));
        assert_eq!(bound.missing.condition(2), None);
    }

    #[test]
    fn a_port_in_use_is_a_condition_that_says_what_to_do() {
        let first = bind(Some(Ipv4Addr::LOCALHOST.into()), 0);
        let port = first.listeners[0].local_addr().unwrap().port();
        let mut second = bind(Some(Ipv4Addr::LOCALHOST.into()), port);
        assert!(second.listeners.is_empty());
        let condition = second.missing.condition(0).unwrap();
        assert_eq!(condition.state, ConditionState::ListenFailure);
        assert!(condition.detail.contains(&port.to_string()), "{}", condition.detail);
        assert!(condition.detail.contains("another port"), "{}", condition.detail);

        assert!(second.missing.retry().is_empty());
        assert!(second.missing.condition(0).is_some());
        drop(first);
        assert_eq!(second.missing.retry().len(), 1);
        assert_eq!(second.missing.condition(1), None);
    }

    #[test]
    fn one_family_whose_port_is_taken_is_told() {
        let taken = bind(Some(Ipv4Addr::UNSPECIFIED.into()), 0);
        let port = taken.listeners[0].local_addr().unwrap().port();
        let condition = bind(None, port).missing.condition(1).unwrap();
        assert!(condition.detail.contains(&format!("0.0.0.0:{port}")), "{}", condition.detail);
    }
}
