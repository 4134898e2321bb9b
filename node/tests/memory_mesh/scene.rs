//! Nodes on one medium.

use std::time::Duration;

use hedgerow::config::Config;
use hedgerow::memory::{Medium, Shape};
use hedgerow::prelude::*;

pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) async fn node(medium: &Medium, name: &str) -> Mesh {
    configured(medium, name, Config::default()).await
}

pub(crate) async fn configured(medium: &Medium, name: &str, config: Config) -> Mesh {
    Mesh::builder()
        .config(config)
        .name(name)
        .network("test")
        .own_drivers_only()
        .driver(medium.driver(name))
        .start()
        .await
        .unwrap()
}

/// Nodes a, b, c ... in a line.
pub(crate) async fn line(shape: Shape, names: &[&str]) -> (Medium, Vec<Mesh>) {
    let medium = Medium::new();
    let mut nodes = Vec::new();
    for pair in names.windows(2) {
        medium.connect(pair[0], pair[1], shape).unwrap();
    }
    for name in names {
        nodes.push(node(&medium, name).await);
    }
    for mesh in &nodes {
        wait_for(mesh, |graph| {
            graph.remote_peers.len() == names.len() - 1
                && graph.remote_peers.iter().all(|peer| !peer.device_name.is_empty())
        })
        .await;
    }
    (medium, nodes)
}

pub(crate) async fn wait_for(
    mesh: &Mesh,
    condition: impl FnMut(&PresenceGraph) -> bool,
) -> PresenceGraph {
    tokio::time::timeout(SOON, mesh.presence().wait_for(condition)).await.unwrap().unwrap()
}

/// Polls all futures in their order, as often as needed.
pub(crate) async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(move |cx| {
        let mut pending = false;
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(ready) => *output = Some(ready),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(outputs.iter_mut().map(|output| output.take().unwrap()).collect())
    })
    .await
}

pub(crate) async fn polled_once<F: Future>(
    mut future: std::pin::Pin<&mut F>,
) -> std::task::Poll<F::Output> {
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await
}
