//! Two running nodes with one key.

use std::time::Duration;

use hedgerow::Identity;
use hedgerow::notice::Trouble;
use hedgerow::prelude::*;

use crate::scene::{NETWORK, Scene, config, identity, notice};

async fn twin(name: &str, identity: &Identity, scene: &Scene) -> Mesh {
    let builder = Mesh::builder().config(config(scene.victim.listen_addresses())).name(name);
    builder.network(NETWORK).identity(identity.clone()).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_with_one_key_are_told_so_and_harm_nobody_else() {
    let scene = Scene::new().await;
    let identity = identity();
    let one = twin("one", &identity, &scene).await;
    let mut first = one.notices();
    let other = twin("other", &identity, &scene).await;
    let mut second = other.notices();
    let told = |trouble: &Trouble| matches!(trouble, Trouble::DuplicateKey);
    let (first, second) = tokio::join!(notice(&mut first, told), notice(&mut second, told));
    assert_eq!(first.to_string(), second.to_string());

    // Their fight over the victim's attention slows down.
    let mut changes = 0;
    let mut reader = scene.victim.presence().changes();
    let watched = tokio::time::timeout(Duration::from_secs(10), async {
        while reader.next().await.is_some() {
            changes += 1;
        }
    });
    assert!(watched.await.is_err());
    println!("  {changes} changes of the victim's graph in 10 s");
    assert!(changes < 60, "{changes}");
    scene.finish().await;
}
