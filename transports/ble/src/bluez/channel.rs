//! L2CAP connection-oriented channels: what carries a link once it is proven to work.
//!
//! Some stacks accept a channel and never carry a byte, so the dialling end sends a probe first and
//! takes the channel only when it comes back (protocol 2.3).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bluer::l2cap::{Security, SecurityLevel, SeqPacket, SeqPacketListener, Socket, SocketAddr};
use bluer::{Address, AddressType};
use bytes::BytesMut;
use tokio::io::ReadBuf;
use tokio::time::timeout;
use tracing::{debug, trace};

use super::endpoint::DeviceAddress;
use super::queue::Queue;
use super::station::Station;
use crate::beacon::Psm;
use crate::link::Carrier;
use hedgerow_core::limits::PACKET_BYTES_MAX;

/// From the call to the probe's return.
pub(super) const PROVEN_WITHIN: Duration = Duration::from_secs(3);
/// What begins a probe; eight random bytes follow.
const PROBE_MAGIC: [u8; 4] = *b"HDGP";
const PROBE_BYTES: usize = 12;
/// Packets that the other end may send before they are read: it has credits for so much.
const RECEIVE_BYTES: u16 = 2 * 2_048;
/// Newcomers that may wait to be accepted.
const BACKLOG: u32 = 8;

/// A channel that was proven.
#[derive(Debug)]
pub(super) struct Channel {
    socket: SeqPacket,
    queue: Option<Queue>,
}

impl Channel {
    fn new(socket: SeqPacket) -> Self {
        let queue = Queue::of(&socket);
        if let Err(error) = &queue {
            debug!(%error, "the channel's queue is as long as the system has it");
        }
        Self { socket, queue: queue.ok() }
    }

    /// The largest packet that both ends take.
    pub(super) fn packet_bytes_max(&self) -> usize {
        self.socket.send_mtu().map_or(PACKET_BYTES_MAX, |mtu| mtu.min(PACKET_BYTES_MAX))
    }

    /// Opens a channel to a device that is connected, and proves it.
    pub(super) async fn open(
        station: &Station,
        device: DeviceAddress,
        psm: Psm,
        probe: [u8; 8],
    ) -> io::Result<Self> {
        let proven = async {
            let socket = socket(station.address, station.address_type, 0)?;
            let to = SocketAddr::new(device.address, device.address_type(), psm.number());
            let channel = Self::new(socket.connect(to).await?);
            let mut packet = [0; PROBE_BYTES];
            packet[..4].copy_from_slice(&PROBE_MAGIC);
            packet[4..].copy_from_slice(&probe);
            channel.send(&packet).await?;
            let mut answer = BytesMut::with_capacity(PACKET_BYTES_MAX);
            if channel.recv(&mut answer).await? && answer == packet[..] {
                Ok(channel)
            } else {
                Err(io::Error::new(io::ErrorKind::InvalidData, "the probe came back altered"))
            }
        };
        timeout(PROVEN_WITHIN, proven).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Answers the probe of whoever opened a channel to us.
    pub(super) async fn answer(socket: SeqPacket) -> io::Result<Self> {
        let channel = Self::new(socket);
        let answered = async {
            let mut probe = BytesMut::with_capacity(PACKET_BYTES_MAX);
            let came = channel.recv(&mut probe).await?;
            if !came || probe.len() != PROBE_BYTES || !probe.starts_with(&PROBE_MAGIC) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "not a probe"));
            }
            channel.send(&probe).await
        };
        timeout(PROVEN_WITHIN, answered)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        Ok(channel)
    }
}

impl Carrier for Channel {
    async fn send(&self, packet: &[u8]) -> io::Result<()> {
        let sent = self.socket.send(packet).await?;
        if let Some(Err(error)) = self.queue.as_ref().map(|queue| queue.on_sent(sent)) {
            // The packet is on its way all the same, behind a queue of another length.
            trace!(%error, "the channel's queue stays as it is");
        }
        Ok(())
    }

    async fn recv(&self, buffer: &mut BytesMut) -> io::Result<bool> {
        let mut room = [0; PACKET_BYTES_MAX];
        let mut packet = ReadBuf::new(&mut room);
        std::future::poll_fn(|context| self.socket.poll_recv(context, &mut packet)).await?;
        buffer.extend_from_slice(packet.filled());
        Ok(!packet.filled().is_empty())
    }
}

fn socket(address: Address, kind: AddressType, psm: u16) -> io::Result<Socket<SeqPacket>> {
    let socket = Socket::<SeqPacket>::new_seq_packet()?;
    socket.bind(SocketAddr::new(address, kind, psm))?;
    // Whoever comes in is strange until the handshake; everything is sealed above.
    socket.set_security(Security { level: SecurityLevel::Low, key_size: 0 })?;
    socket.set_recv_mtu(RECEIVE_BYTES)?;
    Ok(socket)
}

/// Where channels come in.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    listener: Arc<SeqPacketListener>,
    /// The number that the system chose.
    pub(super) psm: Psm,
}

impl Listener {
    pub(super) fn bind(address: Address, kind: AddressType) -> io::Result<Self> {
        let socket = socket(address, kind, 0)?;
        let listener = socket.listen(BACKLOG)?;
        let number = listener.as_ref().local_addr()?.psm;
        let psm = Psm::new(number)
            .ok_or_else(|| io::Error::other(format!("the system chose the channel {number}")))?;
        Ok(Self { listener: Arc::new(listener), psm })
    }

    /// The next channel, not proven yet.
    pub(super) async fn accept(&self) -> io::Result<(SeqPacket, DeviceAddress)> {
        let (socket, from) = self.listener.accept().await?;
        let is_random = from.addr_type == AddressType::LeRandom;
        Ok((socket, DeviceAddress { address: from.addr, is_random }))
    }
}
