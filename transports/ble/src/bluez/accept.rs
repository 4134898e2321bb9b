//! Links that others make over GATT.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::{mpsc, watch};
use tracing::debug;

use super::acl::{Acls, Lease};
use super::endpoint::DeviceAddress;
use super::service::Acquired;
use super::socket::ValueSocket;
use crate::link::{BleLinks, Carrier, Medium, Seat};

/// A central that has subscribed: what it writes comes once it has written.
#[derive(Debug)]
pub(super) struct Subscriber {
    notify: ValueSocket,
    write: watch::Receiver<Option<Arc<ValueSocket>>>,
    /// Kept alive beside the link; the MTU may be exchanged after the subscription.
    value_bytes_max: watch::Receiver<usize>,
}

impl Subscriber {
    pub(super) fn medium(&self) -> Medium {
        Medium::Gatt(*self.value_bytes_max.borrow())
    }
}

impl Carrier for Subscriber {
    async fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.notify.send(packet).await
    }

    async fn recv(&self, buffer: &mut BytesMut) -> io::Result<bool> {
        let written = async {
            let mut write = self.write.clone();
            let socket =
                write.wait_for(Option::is_some).await.ok().and_then(|socket| socket.clone());
            match socket {
                Some(socket) => socket.recv(buffer).await,
                // Nobody writes any more; the subscription's end says when it is over.
                None => std::future::pending().await,
            }
        };
        let mut nothing = BytesMut::with_capacity(1);
        tokio::select! {
            written = written => written,
            // BlueZ writes nothing here: this is the end of the subscription.
            ended = self.notify.recv(&mut nothing) => ended.map(|_| false),
        }
    }

    fn sizes(&self) -> Option<watch::Receiver<usize>> {
        Some(self.value_bytes_max.clone())
    }
}

/// Somebody came in.
#[derive(Debug)]
pub(super) struct Newcomer<C> {
    pub(super) carrier: C,
    pub(super) device: DeviceAddress,
    pub(super) lease: Lease,
    pub(super) seat: Seat,
}

/// What is kept of a subscriber while its link stands.
struct Subscription {
    write: watch::Sender<Option<Arc<ValueSocket>>>,
    value_bytes_max: watch::Sender<usize>,
}

/// Turns BlueZ's sockets into newcomers. What it knows of subscribers outlives the work on one
/// adapter, as their links do.
pub(super) struct Acceptor {
    acquired: mpsc::Receiver<Acquired>,
    subscriptions: HashMap<String, Subscription>,
}

impl Acceptor {
    pub(super) fn new(acquired: mpsc::Receiver<Acquired>) -> Self {
        Self { acquired, subscriptions: HashMap::new() }
    }

    /// Accepts until the service is gone from the bus, or nobody takes newcomers any more.
    ///
    /// # Cancel safety
    /// A newcomer for whom there was no room yet is dropped, and tries again; nobody else is lost.
    pub(super) async fn accept(
        &mut self,
        acls: &Arc<Acls>,
        links: &BleLinks,
        is_random: impl Fn(&str) -> bool,
        newcomers: &mpsc::Sender<Newcomer<Subscriber>>,
    ) {
        while let Some(acquired) = self.acquired.recv().await {
            self.subscriptions.retain(|_, subscription| !subscription.write.is_closed());
            match acquired {
                Acquired::Notify { device, socket, value_bytes_max } => {
                    let address = DeviceAddress::of_path(&device, is_random(&device));
                    let (Some(address), Some(seat)) = (address, links.seat()) else {
                        // Dropping the socket ends the subscription.
                        debug!(device, "no room for another link");
                        continue;
                    };
                    let lease = acls.lease(&device);
                    let carrier = self.subscribe(device, socket, value_bytes_max);
                    let newcomer = Newcomer { carrier, device: address, lease, seat };
                    if newcomers.send(newcomer).await.is_err() {
                        return;
                    }
                }
                Acquired::Write { device, socket, value_bytes_max } => {
                    self.on_write(&device, socket, value_bytes_max);
                }
            }
        }
    }

    fn subscribe(
        &mut self,
        device: String,
        notify: ValueSocket,
        value_bytes_max: usize,
    ) -> Subscriber {
        let (write, written) = watch::channel(None);
        let (size, sizes) = watch::channel(value_bytes_max);
        self.subscriptions.insert(device, Subscription { write, value_bytes_max: size });
        Subscriber { notify, write: written, value_bytes_max: sizes }
    }

    /// A central writes for the first time. One that listens to nothing is no peer: its socket is
    /// dropped.
    fn on_write(&self, device: &str, socket: ValueSocket, value_bytes_max: usize) {
        let Some(subscription) = self.subscriptions.get(device) else { return };
        subscription.write.send_replace(Some(Arc::new(socket)));
        subscription
            .value_bytes_max
            .send_if_modified(|size| std::mem::replace(size, value_bytes_max) != value_bytes_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_subscriber_writes_comes_and_a_larger_mtu_is_told() {
        let (_sender, acquired) = mpsc::channel(1);
        let mut acceptor = Acceptor::new(acquired);
        let (notify, central) = ValueSocket::pair().unwrap();
        let subscriber = acceptor.subscribe("a".into(), notify, 18);
        let mut sizes = subscriber.sizes().unwrap();

        let (socket, writer) = ValueSocket::pair().unwrap();
        acceptor.on_write("a", socket, 512);
        sizes.changed().await.unwrap();
        assert_eq!(*sizes.borrow(), 512);
        ValueSocket::new(writer).unwrap().send(b"value").await.unwrap();
        let mut buffer = BytesMut::with_capacity(512);
        assert!(subscriber.recv(&mut buffer).await.unwrap());
        assert_eq!(buffer, &b"value"[..]);

        subscriber.send(b"answer").await.unwrap();
        let central = ValueSocket::new(central).unwrap();
        let mut buffer = BytesMut::with_capacity(512);
        assert!(central.recv(&mut buffer).await.unwrap());
        assert_eq!(buffer, &b"answer"[..]);
    }

    #[tokio::test]
    async fn a_subscription_that_ends_is_the_end_also_of_one_who_never_wrote() {
        let (_sender, acquired) = mpsc::channel(1);
        let mut acceptor = Acceptor::new(acquired);
        let (notify, central) = ValueSocket::pair().unwrap();
        let subscriber = acceptor.subscribe("a".into(), notify, 18);
        drop(central);
        let mut buffer = BytesMut::with_capacity(512);
        assert!(!subscriber.recv(&mut buffer).await.unwrap());
    }

    #[tokio::test]
    async fn who_writes_and_listens_to_nothing_is_hung_up_on() {
        let (_sender, acquired) = mpsc::channel(1);
        let acceptor = Acceptor::new(acquired);
        let (socket, writer) = ValueSocket::pair().unwrap();
        acceptor.on_write("a", socket, 512);
        let writer = ValueSocket::new(writer).unwrap();
        let mut buffer = BytesMut::with_capacity(512);
        assert!(!writer.recv(&mut buffer).await.unwrap());
    }
}
