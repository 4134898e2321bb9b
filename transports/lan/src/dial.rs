//! Making a connection.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hedgerow_driver::{DialFailure, Endpoint};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::endpoint::{self, Target};

/// The head start of one address of a name over the next (RFC 8305 section 5).
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// `ENFILE` and `EMFILE`, the same on every unix.
const TOO_MANY_FILES: [i32; 2] = [23, 24];

/// Connects to an endpoint.
///
/// # Cancel safety
/// Dropped, it leaves nothing behind but a name lookup that runs out in the background.
pub(crate) async fn dial(endpoint: &Endpoint) -> Result<TcpStream, DialFailure> {
    match endpoint::parse(endpoint.as_str()) {
        None => Err(DialFailure::InvalidEndpoint),
        Some(Target::Address(address)) => connect(address).await.map_err(|error| failure(&error)),
        Some(Target::Name(host, port)) => {
            let found = lookup_host((host, port)).await.map_err(|error| failure(&error))?;
            race(found.take(ADDRESSES_MAX).collect()).await
        }
    }
}

/// The first address that answers wins; the attempts at the others are dropped.
async fn race(addresses: Vec<SocketAddr>) -> Result<TcpStream, DialFailure> {
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut first_failure = None;
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(connect(address));
        }
        tokio::select! {
            attempt = attempts.join_next() => match attempt {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => { first_failure.get_or_insert_with(|| failure(&error)); }
                Some(Err(stopped)) => {
                    first_failure.get_or_insert_with(|| DialFailure::Other(stopped.to_string()));
                }
                None => return Err(first_failure.unwrap_or(DialFailure::Unreachable)),
            },
            () = sleep(STAGGER), if waiting.len() > 0 => {}
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // A free port of this machine may be given to the dialling socket itself, which then
    // connects to itself.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

fn failure(error: &io::Error) -> DialFailure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => DialFailure::Refused,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => DialFailure::Unreachable,
        io::ErrorKind::TimedOut => DialFailure::TimedOut,
        io::ErrorKind::InvalidInput => DialFailure::InvalidEndpoint,
        io::ErrorKind::PermissionDenied => DialFailure::Unavailable(
            "the operating system refuses to connect: check the firewall of this machine".into(),
        ),
        _ if error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code)) => {
            DialFailure::Unavailable(
                "too many open files: raise the limit of open files for this program".into(),
            )
        }
        _ => DialFailure::Other(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn closed_port() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn the_address_that_answers_wins_over_those_that_refuse() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let stream = race(vec![closed_port().await, closed_port().await, open]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
    }

    #[tokio::test]
    async fn a_name_without_addresses_is_unreachable() {
        assert_eq!(race(vec![]).await.unwrap_err(), DialFailure::Unreachable);
    }

    #[tokio::test]
    async fn when_all_fail_the_first_failure_counts() {
        let nowhere = "[fe80::1]:9".parse().unwrap();
        let failed = race(vec![closed_port().await, nowhere]).await.unwrap_err();
        assert_eq!(failed, DialFailure::Refused);
    }

    #[test]
    fn the_systems_words_become_failures() {
        let of = |kind: io::ErrorKind| failure(&kind.into());
        assert_eq!(of(io::ErrorKind::HostUnreachable), DialFailure::Unreachable);
        assert_eq!(of(io::ErrorKind::TimedOut), DialFailure::TimedOut);
        assert!(matches!(of(io::ErrorKind::PermissionDenied), DialFailure::Unavailable(_)));
        assert!(matches!(of(io::ErrorKind::Other), DialFailure::Other(_)));
        let files = io::Error::from_raw_os_error(24);
        #[cfg(unix)]
        assert!(matches!(failure(&files), DialFailure::Unavailable(_)));
    }
}
