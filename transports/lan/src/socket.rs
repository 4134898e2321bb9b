//! The TCP options of every link.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tracing::debug;

/// An idle link is probed after this; a dead one is gone 30 s after its last sign of life.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 3;
/// Bytes that nobody acknowledges for this long end the link.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(20);
/// What the kernel holds beyond what is in flight. More only delays control frames.
#[cfg(target_os = "linux")]
const NOT_SENT_BYTES_MAX: u32 = 128 * 1024;

/// Sets the options. A system that does not know one of them still carries the link.
pub(crate) fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    #[cfg(not(target_os = "openbsd"))]
    let keepalive = keepalive.with_retries(KEEPALIVE_PROBES);
    note("TCP_NODELAY", socket.set_tcp_nodelay(true));
    note("SO_KEEPALIVE", socket.set_tcp_keepalive(&keepalive));
    #[cfg(target_os = "linux")]
    {
        note("TCP_USER_TIMEOUT", socket.set_tcp_user_timeout(Some(USER_TIMEOUT)));
        note("TCP_NOTSENT_LOWAT", socket.set_tcp_notsent_lowat(NOT_SENT_BYTES_MAX));
    }
}

fn note(option: &str, result: std::io::Result<()>) {
    if let Err(error) = result {
        debug!(option, %error, "a socket option was refused");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_options_are_set() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tune(&stream);
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_AFTER);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), NOT_SENT_BYTES_MAX);
    }
}
