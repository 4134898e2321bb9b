//! Multicast DNS as it works here and now: a question is sent on every interface, and heard.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use hedgerow::lan::InterfaceStatus;
use socket2::{Domain, Protocol, Socket, Type};

use super::Check;

const PORT: u16 = 5_353;
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// Our own packet comes back in microseconds; a busy machine takes longer.
const HEARD_WITHIN: Duration = Duration::from_millis(1_500);
/// It may be lost in a full buffer, so it is repeated.
const REPEAT_EVERY: Duration = Duration::from_millis(300);

/// Tries every interface that is used, of which there are few, in each family that it has, all at
/// once.
pub(crate) fn check(used: &[InterfaceStatus]) -> Vec<Check> {
    let tries: Vec<_> = used.iter().flat_map(ways).collect();
    thread::scope(|scope| {
        let running: Vec<_> =
            tries.iter().map(|way| (way, scope.spawn(|| attempt(&way.1)))).collect();
        let done = running.into_iter().map(|(way, thread)| {
            let result = thread.join().unwrap_or(Err(Fault::NotHeard));
            line(&way.0, &way.1, result)
        });
        done.collect()
    })
}

/// One family of one interface.
enum Way {
    V4(Ipv4Addr),
    V6(u32),
}

fn ways(used: &InterfaceStatus) -> Vec<(String, Way)> {
    let v4 = used.addresses.iter().find_map(|address| match address {
        IpAddr::V4(v4) => Some(Way::V4(*v4)),
        IpAddr::V6(_) => None,
    });
    let is_link_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let index = used.index.filter(|_| used.addresses.iter().any(is_link_local));
    let v6 = index.map(Way::V6);
    [v4, v6].into_iter().flatten().map(|way| (used.name.clone(), way)).collect()
}

enum Fault {
    Bind(io::Error),
    Join(io::Error),
    Send(io::Error),
    NotHeard,
}

fn line(name: &str, way: &Way, result: Result<(), Fault>) -> Check {
    let group = match way {
        Way::V4(_) => GROUP_V4.to_string(),
        Way::V6(_) => GROUP_V6.to_string(),
    };
    let peers = "or name peers in connect.tcp_servers";
    match result {
        Ok(()) => Check::ok("multicast", format!("{name}: sent to {group} and heard")),
        Err(Fault::Bind(error)) => Check::fail(
            "multicast",
            format!("{name}: cannot share UDP port {PORT}: {error}"),
            format!("stop the program that has the port for itself (`ss -lunp` names it), {peers}"),
        ),
        Err(Fault::Join(error)) => Check::fail(
            "multicast",
            format!("{name}: cannot join {group}: {error}"),
            format!("switch multicast on (`ip link set {name} multicast on`), {peers}"),
        ),
        // The system looks for duplicates of a new address before it is used.
        Err(Fault::Send(error))
            if matches!(way, Way::V6(_)) && error.kind() == ErrorKind::AddrNotAvailable =>
        {
            Check::warn(
                "multicast",
                format!("{name}: cannot send to {group}: its IPv6 address is not ready yet"),
                "wait two seconds and try again; if it stays, see `ip -6 address`",
            )
        }
        Err(Fault::Send(error)) => Check::fail(
            "multicast",
            format!("{name}: cannot send to {group}: {error}"),
            format!("see `ip address` and `ip route`, let multicast out of the firewall, {peers}"),
        ),
        Err(Fault::NotHeard) => Check::fail(
            "multicast",
            format!("{name}: what was sent to {group} did not come back"),
            format!("let UDP port {PORT} in through the firewall of this machine, {peers}"),
        ),
    }
}

fn attempt(way: &Way) -> Result<(), Fault> {
    let domain = match way {
        Way::V4(_) => Domain::IPV4,
        Way::V6(_) => Domain::IPV6,
    };
    let socket = bind(domain).map_err(Fault::Bind)?;
    let to = join(&socket, way).map_err(Fault::Join)?;
    let question = question().map_err(Fault::Send)?;
    let socket = UdpSocket::from(socket);
    let deadline = Instant::now() + HEARD_WITHIN;
    loop {
        socket.send_to(&question, to).map_err(Fault::Send)?;
        let repeat_at = deadline.min(Instant::now() + REPEAT_EVERY);
        if hears(&socket, &question, repeat_at) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Fault::NotHeard);
        }
    }
}

/// Shares the port as every responder does.
fn bind(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    let any: IpAddr = if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    socket.bind(&SocketAddr::new(any, PORT).into())?;
    Ok(socket)
}

fn join(socket: &Socket, way: &Way) -> io::Result<SocketAddr> {
    match way {
        Way::V4(address) => {
            socket.join_multicast_v4(&GROUP_V4, address)?;
            socket.set_multicast_if_v4(address)?;
            socket.set_multicast_loop_v4(true)?;
            Ok((GROUP_V4, PORT).into())
        }
        Way::V6(index) => {
            socket.join_multicast_v6(&GROUP_V6, *index)?;
            socket.set_multicast_if_v6(*index)?;
            socket.set_multicast_loop_v6(true)?;
            Ok(SocketAddrV6::new(GROUP_V6, PORT, 0, *index).into())
        }
    }
}

/// A question that nobody answers: for a service of a random name (RFC 6762 section 5.1).
fn question() -> io::Result<Vec<u8>> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let label: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    // No id, no flags, one question.
    let mut packet = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [label.as_str(), "_hedgerow-doctor", "_tcp", "local"] {
        packet.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        packet.extend_from_slice(label.as_bytes());
    }
    // The root, type PTR, class IN.
    packet.extend_from_slice(&[0, 0, 12, 0, 1]);
    Ok(packet)
}

fn hears(socket: &UdpSocket, question: &[u8], deadline: Instant) -> bool {
    let mut buffer = [0; 1_500];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || socket.set_read_timeout(Some(left)).is_err() {
            return false;
        }
        match socket.recv(&mut buffer) {
            Ok(length) if buffer.get(..length) == Some(question) => return true,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_one_of_dns() {
        let packet = question().unwrap();
        assert_eq!(packet.len(), 12 + 17 + 17 + 5 + 6 + 5);
        assert_eq!(packet[12], 16);
        assert_ne!(packet, question().unwrap());
    }

    #[test]
    fn every_fault_has_a_hint() {
        let error = || io::Error::from(ErrorKind::PermissionDenied);
        let way = Way::V4(Ipv4Addr::LOCALHOST);
        for fault in
            [Fault::Bind(error()), Fault::Join(error()), Fault::Send(error()), Fault::NotHeard]
        {
            let check = line("eth0", &way, Err(fault));
            assert_eq!(check.status, super::super::Level::Fail);
            assert!(check.message.starts_with("eth0: ") && check.hint.contains("tcp_servers"));
        }
    }
    #[test]
    fn an_ipv6_address_that_is_not_ready_yet_is_no_failure() {
        let fault = || Err(Fault::Send(io::Error::from(ErrorKind::AddrNotAvailable)));
        let check = line("eth0", &Way::V6(2), fault());
        assert_eq!(check.status, super::super::Level::Warn);
        assert!(check.message.contains("not ready yet") && check.hint.contains("two seconds"));
        let check = line("eth0", &Way::V4(Ipv4Addr::LOCALHOST), fault());
        assert_eq!(check.status, super::super::Level::Fail);
    }
}
