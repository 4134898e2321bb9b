//! The program of a few lines that nodes are compared with, on the connection that they have.

use std::time::Duration;

use anyhow::{Context, bail};

use crate::bare::{Bare, Central, Line, NOTIFIED, Service, WRITTEN, channel};
use crate::stage::Stage;

const OPEN_SECONDS: u64 = 30;
const FLOOD_SECONDS: u64 = 180;

/// It, at the first two adapters, which must be this machine's.
pub(super) struct Rival {
    bare: Bare,
    service: Service,
    adapter: String,
    addresses: [String; 2],
    /// There and back: who sends, who receives, and how long packets may be.
    ways: Vec<(Line, Line, usize)>,
}

impl Rival {
    /// `None` where an adapter is another machine's.
    pub(super) fn open(stage: &Stage) -> anyhow::Result<Option<Self>> {
        let (near, far) = (stage.adapter(0)?, stage.adapter(1)?);
        if !stage.is_local(&near) || !stage.is_local(&far) {
            return Ok(None);
        }
        let address = |adapter: &crate::stage::Adapter| {
            let objects = stage.objects(adapter)?;
            objects.address(&adapter.name).with_context(|| format!("{} has none", adapter.name))
        };
        let addresses = [address(&near)?, address(&far)?];
        let bare = Bare::open()?;
        let registering = Service::register(bare.connection(), &far.name);
        let service = bare.run(stage.limit(OPEN_SECONDS), registering)?;
        Ok(Some(Self { bare, service, adapter: near.name, addresses, ways: Vec::new() }))
    }

    /// Takes a way each way over a medium of the connection that stands.
    pub(super) fn take(&mut self, stage: &Stage, medium: &str) -> anyhow::Result<()> {
        let limit = stage.limit(OPEN_SECONDS);
        let [near, far] = &self.addresses;
        self.ways = match medium {
            "gatt" => {
                let (connection, service) = (self.bare.connection(), &mut self.service);
                let opening = async {
                    let central = Central::new(connection, &self.adapter, far).await?;
                    let characteristic = central.characteristic(WRITTEN).await?;
                    let (writing, bytes) = characteristic.writing().await?;
                    // BlueZ asks the service for its end with the first write.
                    writing.send(b"hello").await?;
                    let there = (writing, service.written().await?, bytes);
                    there.1.receive(&mut [0; 5]).await?;
                    let characteristic = central.characteristic(NOTIFIED).await?;
                    let (notified, bytes) = characteristic.notified().await?;
                    // BlueZ wants room to join several into one PDU, and cuts what does not fit.
                    let back = (service.notified().await?, notified, bytes.min(512) - 2);
                    Ok(vec![there, back])
                };
                self.bare.run(limit, opening).context("a bare program over GATT")?
            }
            "l2cap" => {
                let opening = async {
                    let ([one, other], bytes) = channel(near, far).await?;
                    let ([two, another], _) = channel(near, far).await?;
                    Ok(vec![(one, other, bytes), (another, two, bytes)])
                };
                self.bare.run(limit, opening).context("a bare program over L2CAP")?
            }
            other => bail!("no medium {other}"),
        };
        Ok(())
    }

    /// Sends so many bytes there (0) or back (1).
    pub(super) fn bytes_per_s(
        &self,
        stage: &Stage,
        way: usize,
        bytes: usize,
    ) -> anyhow::Result<f64> {
        let (from, to, packet_bytes) = self.ways.get(way).context("no such way")?;
        let flood = from.flood(to, *packet_bytes, bytes);
        let time = self.bare.run(stage.limit(FLOOD_SECONDS), flood).context("a bare program")?;
        Ok(bytes as f64 / time.max(Duration::from_millis(1)).as_secs_f64())
    }

    /// Gives the ways back.
    pub(super) fn leave(&mut self) {
        self.ways.clear();
    }
}
