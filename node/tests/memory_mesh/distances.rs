//! How far away the other end of a link is, from a driver that tells it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use hedgerow::driver::{
    ApproximateDistance, Dialling, Driver, DriverFuture, Endpoint, LinkEstimate, LinkOrigin,
    LinkShape, LinkUp, Port, Sighting, TransportCommand, TransportProfile,
};
use hedgerow::prelude::*;
use tokio::sync::{mpsc, watch};

use crate::scene::*;

/// One end of a string between two cans. One dials once, the other is dialled.
struct Can {
    dials: bool,
    /// Says that it was dialled.
    ring: mpsc::Sender<()>,
    rung: mpsc::Receiver<()>,
    to: mpsc::Sender<bytes::Bytes>,
    from: mpsc::Receiver<bytes::Bytes>,
    /// How far away the other can is, in centimetres.
    distance: watch::Receiver<Option<u32>>,
}

impl Driver for Can {
    fn profile(&self) -> TransportProfile {
        TransportProfile {
            kind: ConnectionType::other("String"),
            links_max: 2,
            dials_max: 1,
            dial_timeout: Duration::from_secs(5),
            dialled: Dialling::InSight,
        }
    }

    fn run(self: Box<Self>, port: Port) -> DriverFuture {
        Box::pin(async move { Ok(self.hold(port).await?) })
    }
}

impl Can {
    async fn hold(mut self, mut port: Port) -> Result<(), hedgerow::driver::NodeGone> {
        let (reports, endpoint) = (port.reports, Endpoint::new("can"));
        if self.dials {
            reports.sighted(Sighting { endpoint: endpoint.clone(), beacon: None }).await?;
        }
        let origin = loop {
            tokio::select! {
                Some(()) = self.rung.recv() => break LinkOrigin::Accepted,
                command = port.commands.recv() => match command {
                    Some(TransportCommand::Dial { dial, .. }) => break LinkOrigin::Dialled(dial),
                    Some(_) => {}
                    None => return Ok(()),
                },
            }
        };
        if self.dials {
            self.ring.send(()).await.unwrap();
        }
        let link = reports.next_link();
        let up = LinkUp {
            link,
            origin,
            shape: LinkShape::Stream { chunk_bytes: 4_096, frame_bytes_max: 1_280 },
            endpoint,
            estimate: LinkEstimate { rate_bytes_per_s: 100_000, delay: Duration::from_millis(1) },
        };
        let mut outgoing = reports.link_up(up).await?;
        loop {
            tokio::select! {
                command = port.commands.recv() => if command.is_none() { return Ok(()) },
                Some(chunk) = outgoing.next() => self.to.send(chunk).await.unwrap(),
                Some(chunk) = self.from.recv() => {
                    reports.received(link, BytesMut::from(chunk)).await?;
                }
                Ok(()) = self.distance.changed() => {
                    let distance = *self.distance.borrow_and_update();
                    let distance = distance.map(ApproximateDistance::from_centimetres);
                    reports.distance(link, distance).await?;
                }
            }
        }
    }
}

/// Two cans, and how far the one that dials is from the other.
fn cans() -> (Can, Can, watch::Sender<Option<u32>>) {
    let (ring, rung) = mpsc::channel(1);
    let (unheard, unrung) = mpsc::channel(1);
    let (to, from_first) = mpsc::channel(64);
    let (to_first, from) = mpsc::channel(64);
    let (distance, told) = watch::channel(None);
    let (never, unknown) = watch::channel(None);
    drop(never);
    let first = Can { dials: true, ring, rung: unrung, to, from, distance: told };
    let (to, from, distance_of) = (to_first, from_first, unknown);
    (first, Can { dials: false, ring: unheard, rung, to, from, distance: distance_of }, distance)
}

async fn holder(name: &str, can: Can) -> Mesh {
    let builder = Mesh::builder().name(name).network("test").own_drivers_only();
    builder.driver(can).start().await.unwrap()
}

/// The distance on the only connection that a graph shows.
fn shown(graph: &PresenceGraph) -> Option<f64> {
    assert_eq!(graph.local_peer.connections.len(), 1);
    graph.local_peer.connections[0].approximate_distance_in_meters
}

#[tokio::test(start_paused = true)]
async fn a_distance_that_a_driver_tells_is_shown_in_metres_and_calls_no_observer() {
    let (first, second, distance) = cans();
    let (a, b) = (holder("a", first).await, holder("b", second).await);
    let a_sees = wait_for(&a, |graph| !graph.local_peer.connections.is_empty()).await;
    assert_eq!(shown(&a_sees), None);
    wait_for(&b, |graph| !graph.local_peer.connections.is_empty()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;

    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let _observer = a.presence().observe(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    for centimetres in [250, 400, 320] {
        distance.send_replace(Some(centimetres));
        tokio::time::sleep(Duration::from_secs(5)).await;
        let metres = Some(f64::from(centimetres) / 100.0);
        assert_eq!(shown(&a.presence().graph()), metres);
        let links = a.links().await.unwrap();
        assert_eq!(links[0].approximate_distance_in_meters, metres);
    }
    let json = serde_json::to_value(a.presence().graph()).unwrap();
    let connection = &json["localPeer"]["connections"][0];
    assert_eq!(connection["approximateDistanceInMeters"], 3.2);
    assert_eq!(shown(&b.presence().graph()), None, "it was told to one end alone");
    distance.send_replace(None);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(shown(&a.presence().graph()), None);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}
