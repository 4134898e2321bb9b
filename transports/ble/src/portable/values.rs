//! A link over GATT to a peripheral that we connected to.

use std::io;

use btleplug::api::{Characteristic, Peripheral as _, WriteType};
use btleplug::platform::Peripheral;
use bytes::BytesMut;
use futures_util::StreamExt as _;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use crate::gatt::{Uuids, value_bytes_max};
use crate::link::{Carrier, Medium};

/// Notifications that wait for the node. The system's own queue drops silently when it is not read at
/// once; what does not fit here is repeated by the other end.
const WAITING_MAX: usize = 256;

/// How packets are carried to and from one peripheral.
#[derive(Debug)]
pub(super) struct Values {
    peripheral: Peripheral,
    rx: Characteristic,
    /// Taken while somebody waits for the next one.
    notified: Mutex<mpsc::Receiver<Vec<u8>>>,
    drain: JoinHandle<()>,
}

impl Values {
    /// Finds the service of a connected peripheral and subscribes. `None` if it is not offered.
    pub(super) async fn subscribe(peripheral: Peripheral) -> btleplug::Result<Option<Self>> {
        peripheral.discover_services().await?;
        let uuids = Uuids::new();
        let find = |uuid| {
            let all = peripheral.characteristics().into_iter();
            all.into_iter().find(|found| found.service_uuid == uuids.service && found.uuid == uuid)
        };
        let (Some(rx), Some(tx)) = (find(uuids.rx), find(uuids.tx)) else { return Ok(None) };
        let mut values = peripheral.notifications().await?;
        peripheral.subscribe(&tx).await?;
        let (sender, notified) = mpsc::channel(WAITING_MAX);
        let drain = tokio::spawn(async move {
            while let Some(notification) = values.next().await {
                if notification.uuid != tx.uuid {
                    continue;
                }
                if let Err(mpsc::error::TrySendError::Closed(_)) =
                    sender.try_send(notification.value)
                {
                    return;
                }
            }
        });
        let notified = Mutex::new(notified);
        Ok(Some(Self { peripheral, rx, notified, drain }))
    }

    pub(super) fn medium(&self) -> Medium {
        Medium::Gatt(value_bytes_max(self.peripheral.mtu()))
    }

    /// Ends the connection.
    pub(super) async fn hang_up(&self) {
        // It is gone already where this fails.
        let _ = self.peripheral.disconnect().await;
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        self.drain.abort();
    }
}

impl Carrier for Values {
    async fn send(&self, packet: &[u8]) -> io::Result<()> {
        let written = self.peripheral.write(&self.rx, packet, WriteType::WithoutResponse).await;
        written.map_err(io::Error::other)
    }

    async fn recv(&self, buffer: &mut BytesMut) -> io::Result<bool> {
        let Some(value) = self.notified.lock().await.recv().await else { return Ok(false) };
        buffer.extend_from_slice(&value);
        Ok(true)
    }
}
