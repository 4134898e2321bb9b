//! A process that runs out of file descriptors. Alone in its file: the limit is the process's.

#![cfg(unix)]

mod node;

use std::fs::File;

use hedgerow_driver::{Condition, ConditionState, Report, TransportEvent};
use node::{Node, on_localhost};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

/// Enough for the runtime, the driver and the test.
const FILES_MAX: u64 = 128;

#[tokio::test]
async fn too_many_open_files_is_a_condition_that_passes() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(FILES_MAX), maximum }).unwrap();
    let mut node = Node::start(on_localhost(), 1).await;
    assert_eq!(node.condition().await, Condition::ok());

    let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    client.connect(&node.addresses[0].into()).unwrap();
    let condition = node.condition().await;
    assert_eq!(condition.state, ConditionState::TemporarilyUnavailable);
    assert!(condition.detail.contains("limit of open files"), "{}", condition.detail);

    drop(files);
    let (mut is_up, mut is_ok) = (false, false);
    while !(is_up && is_ok) {
        match node.next().await.unwrap() {
            Report::LinkUp(..) => is_up = true,
            Report::Event(TransportEvent::Condition(condition)) => {
                is_ok = condition == Condition::ok();
            }
            _ => {}
        }
    }
}
