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

/// Turns BlueZ's sockets into newcomers, until the service is gone from the bus.
pub(super) async fn accept(
    acquired: &mut mpsc::Receiver<Acquired>,
    acls: &Arc<Acls>,
    links: &BleLinks,
    is_random: impl Fn(&str) -> bool,
    newcomers: &mpsc::Sender<Newcomer<Subscriber>>,
) {
    let mut subscriptions: HashMap<String, Subscription> = HashMap::new();
    while let Some(acquired) = acquired.recv().await {
        subscriptions.retain(|_, subscription| !subscription.write.is_closed());
        match acquired {
            Acquired::Notify { device, socket, value_bytes_max } => {
                let (Some(address), Some(seat)) =
                    (DeviceAddress::of_path(&device, is_random(&device)), links.seat())
                else {
                    // Dropping the socket ends the subscription.
                    debug!(device, "no room for another link");
                    continue;
                };
                let (write, written) = watch::channel(None);
                let (size, sizes) = watch::channel(value_bytes_max);
                let lease = acls.lease(&device);
                subscriptions.insert(device, Subscription { write, value_bytes_max: size });
                let carrier = Subscriber { notify: socket, write: written, value_bytes_max: sizes };
                let newcomer = Newcomer { carrier, device: address, lease, seat };
                if newcomers.send(newcomer).await.is_err() {
                    return;
                }
            }
            Acquired::Write { device, socket, value_bytes_max } => {
                // Who writes and listens to nothing is no peer: the socket is dropped.
                if let Some(subscription) = subscriptions.get(&device) {
                    subscription.write.send_replace(Some(Arc::new(socket)));
                    subscription.value_bytes_max.send_if_modified(|size| {
                        std::mem::replace(size, value_bytes_max) != value_bytes_max
                    });
                }
            }
        }
    }
}
