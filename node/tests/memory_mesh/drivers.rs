//! Transports that fail, and too many of them.

use std::time::Duration;

use hedgerow::driver::{Dialling, Driver, DriverError, DriverFuture, Port, TransportProfile};
use hedgerow::memory::{Medium, Shape};
use hedgerow::prelude::*;
use hedgerow::{MeshBuilder, StartError};

use crate::scene::*;

struct Broken(bool);

impl Driver for Broken {
    fn profile(&self) -> TransportProfile {
        TransportProfile {
            kind: ConnectionType::other("Broken"),
            links_max: 1,
            dials_max: 1,
            dial_timeout: Duration::from_secs(1),
            dialled: Dialling::InSight,
        }
    }

    fn run(self: Box<Self>, _: Port) -> DriverFuture {
        Box::pin(async move {
            assert!(!self.0, "a driver that panics");
            Err(DriverError::new("no pigeons left; buy some"))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_driver_is_a_condition_and_the_node_goes_on() {
    for panics in [false, true] {
        let medium = Medium::new();
        medium.connect("a", "b", Shape::lan()).unwrap();
        let a = Mesh::builder()
            .network("test")
            .own_drivers_only()
            .driver(Broken(panics))
            .driver(medium.driver("a"))
            .start()
            .await
            .unwrap();
        let mut transports = a.transport_changes();
        let dead = transports
            .wait_for(|all| all[0].condition.state == hedgerow::driver::ConditionState::Dead)
            .await
            .unwrap()
            .clone();
        assert_eq!(dead[0].condition.detail.contains("pigeons"), !panics);
        let disabled = hedgerow::driver::ConditionState::Disabled;
        let is_told = |all: &std::sync::Arc<[hedgerow::TransportStatus]>| {
            all.last().is_some_and(|lan| lan.condition.state == disabled)
        };
        if cfg!(feature = "lan") {
            let told = transports.wait_for(is_told);
            tokio::time::timeout(Duration::from_secs(10), told).await.unwrap().unwrap();
        }
        let b = node(&medium, "b").await;
        wait_for(&a, |graph| graph.remote_peers.len() == 1).await;
        a.bus().send_reliable(b.peer_key(), "still here").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_transports_are_refused() {
    let drivers = (0..256).map(|number| Medium::new().driver(&number.to_string()));
    let builder = Mesh::builder().network("test").own_drivers_only();
    let error = drivers.fold(builder, MeshBuilder::driver).start().await.unwrap_err();
    assert!(matches!(error, StartError::TooManyTransports { limit: 255, .. }), "{error}");
}
