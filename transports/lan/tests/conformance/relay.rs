//! A relay of TCP connections that can be cut.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Leads connections on; cut, it resets them and refuses new ones.
pub(crate) struct Relay {
    address: SocketAddr,
    target: Option<SocketAddr>,
    task: JoinSet<()>,
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(8).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.into()
}

impl Relay {
    pub(crate) fn new() -> Self {
        let free = listen((Ipv4Addr::LOCALHOST, 0).into());
        Self { address: free.local_addr().unwrap(), target: None, task: JoinSet::new() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn lead_to(&mut self, target: SocketAddr) {
        self.target = Some(target);
        self.mend();
    }

    pub(crate) fn cut(&mut self) {
        self.task.abort_all();
    }

    pub(crate) fn mend(&mut self) {
        let (listener, target) = (listen(self.address), self.target.unwrap());
        self.task.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                connections.spawn(lead(near, target));
            }
        });
    }
}

async fn lead(mut near: TcpStream, target: SocketAddr) {
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    for stream in [&near, &far] {
        // Dropped, it resets the connection.
        SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
    let _ = copy_bidirectional(&mut near, &mut far).await;
}
