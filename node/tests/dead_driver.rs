//! A driver that has ended while something it started goes on reporting.

use std::time::Duration;

use hedgerow::driver::{
    Condition, ConditionState, Dialling, Driver, DriverError, DriverFuture, Endpoint, LinkEstimate,
    LinkOrigin, LinkShape, LinkUp, Outgoing, Port, TransportProfile,
};
use hedgerow::prelude::*;
use tokio::sync::oneshot;

/// Ends at once and leaves a task behind, which a driver must not do.
struct Careless {
    /// When the task goes on.
    go_on: oneshot::Receiver<()>,
    /// Gets the way to send on a link that comes up too late.
    late: oneshot::Sender<Outgoing>,
}

impl Driver for Careless {
    fn profile(&self) -> TransportProfile {
        TransportProfile {
            kind: ConnectionType::other("Careless"),
            links_max: 1,
            dials_max: 1,
            dial_timeout: Duration::from_secs(1),
            dialled: Dialling::InSight,
        }
    }

    fn run(self: Box<Self>, port: Port) -> DriverFuture {
        Box::pin(async move {
            let reports = port.reports;
            tokio::spawn(async move {
                self.go_on.await.unwrap();
                let up = LinkUp {
                    link: reports.next_link(),
                    origin: LinkOrigin::Accepted,
                    shape: LinkShape::Stream { chunk_bytes: 4_096, frame_bytes_max: 1_280 },
                    endpoint: Endpoint::new("late"),
                    estimate: LinkEstimate { rate_bytes_per_s: 1, delay: Duration::ZERO },
                };
                reports.condition(Condition::ok()).await.unwrap();
                self.late.send(reports.link_up(up).await.unwrap()).unwrap();
            });
            Err(DriverError::new("no pigeons left; buy some"))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_driver_said_last_changes_nothing() {
    let (go_on, gone_on) = oneshot::channel();
    let (late, came_late) = oneshot::channel();
    let mesh = Mesh::builder()
        .network("test")
        .own_drivers_only()
        .driver(Careless { go_on: gone_on, late })
        .start()
        .await
        .unwrap();
    let mut transports = mesh.transport_changes();
    let dead = |all: &std::sync::Arc<[hedgerow::TransportStatus]>| {
        all[0].condition.state == ConditionState::Dead
    };
    transports.wait_for(dead).await.unwrap();

    go_on.send(()).unwrap();
    let mut outgoing = came_late.await.unwrap();
    let sent = tokio::time::timeout(Duration::from_secs(60), outgoing.next()).await;
    assert_eq!(sent, Ok(None), "nobody takes chunks, so the node must not hold a sender");
    assert!(mesh.links().await.unwrap().is_empty());
    assert!(dead(&mesh.transports()), "{:?}", mesh.transports());
    mesh.shutdown().await;
}
