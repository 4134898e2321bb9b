//! An L2CAP channel between two adapters of this machine.

use std::str::FromStr;

use anyhow::Context;
use bluer::l2cap::{Security, SecurityLevel, SeqPacket, Socket, SocketAddr};
use bluer::{Address, AddressType};

use super::line::Line;

/// As much as a node takes: it is compared with this.
const RECEIVE_BYTES: u16 = 2 * 2_048;
const PACKET_BYTES_MAX: usize = 2_048;

/// Opens a channel over the connection that stands: both ends, and how long packets may be.
pub(crate) async fn channel(from: &str, to: &str) -> anyhow::Result<([Line; 2], usize)> {
    let (from, to) = (Address::from_str(from)?, Address::from_str(to)?);
    let listener = socket(to)?.listen(1)?;
    let psm = listener.as_ref().local_addr()?.psm;
    let calling = socket(from)?;
    let address = SocketAddr::new(to, AddressType::LePublic, psm);
    let opened = tokio::try_join!(calling.connect(address), listener.accept());
    let (near, (far, _)) = opened.context("no channel")?;
    let packet_bytes = near.send_mtu()?.min(far.send_mtu()?).min(PACKET_BYTES_MAX);
    Ok(([Line::Channel(near), Line::Channel(far)], packet_bytes))
}

fn socket(address: Address) -> anyhow::Result<Socket<SeqPacket>> {
    let socket = Socket::<SeqPacket>::new_seq_packet()?;
    socket.bind(SocketAddr::new(address, AddressType::LePublic, 0))?;
    socket.set_security(Security { level: SecurityLevel::Low, key_size: 0 })?;
    socket.set_recv_mtu(RECEIVE_BYTES)?;
    Ok(socket)
}
