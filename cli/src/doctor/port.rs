//! The TCP port that a node would listen on.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};

use super::Check;

/// Tries to listen, as a node would. Only while none runs.
pub(crate) fn check(ip: IpAddr, port: u16) -> Check {
    let address = SocketAddr::new(ip, port);
    match TcpListener::bind(address) {
        Ok(_) if port == 0 => Check::ok("port", "the system chooses a free TCP port"),
        Ok(_) => Check::ok("port", format!("TCP {address} is free")),
        Err(error) => {
            let hint = match error.kind() {
                ErrorKind::AddrInUse => {
                    "stop the program that has it (`ss -ltnp` names it), or choose another port, \
                     or 0 for any"
                }
                ErrorKind::AddrNotAvailable => {
                    "this machine does not have the address: correct it, or remove it to listen \
                     on all"
                }
                ErrorKind::PermissionDenied => "choose a port from 1024 on",
                _ => "correct the address and the port to listen on",
            };
            Check::fail("port", format!("cannot listen on TCP {address}: {error}"), hint)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::doctor::Level;

    #[test]
    fn a_port_in_use_and_a_foreign_address_are_faults() {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let holder = TcpListener::bind((ip, 0)).unwrap();
        let port = holder.local_addr().unwrap().port();
        let taken = check(ip, port);
        assert_eq!(taken.status, Level::Fail);
        assert!(taken.message.contains(&port.to_string()) && taken.hint.contains("another port"));
        drop(holder);
        assert_eq!(check(ip, 0).status, Level::Ok);
        let foreign = check("192.0.2.77".parse().unwrap(), 0);
        assert!(foreign.hint.contains("does not have the address"), "{foreign:?}");
    }
}
