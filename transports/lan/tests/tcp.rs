//! Two drivers on one machine.

mod node;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hedgerow_driver::{
    Condition, ConditionState, DialFailure, Endpoint, LinkLoss, LinkOrigin, Report,
    TransportCommand, TransportEvent,
};
use hedgerow_lan::LanConfig;
use node::{Node, fill, on_localhost, pair, pattern};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::time::timeout;

const MIB: usize = 1024 * 1024;

/// Lets the driver do all that it can do while the node does not read reports. No test relies
/// on it to pass, but to be as hard as it can be.
async fn let_the_driver_run() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn megabytes_arrive_whole_in_both_directions() {
    let [(mut here, here_up, here_sender), (mut there, there_up, there_sender)] = pair().await;
    assert!(matches!(here_up.origin, LinkOrigin::Dialled(_)));
    assert_eq!(here_up.endpoint, Endpoint::new(&there.addresses[0].to_string()));
    assert_eq!(there_up.origin, LinkOrigin::Accepted);

    let (to_there, to_here) = (pattern(1, 16 * MIB + 1), pattern(2, 8 * MIB + 3));
    let (at_here, at_there) = tokio::join!(
        here.exchange(here_up.link, &here_sender, &to_there, to_here.len()),
        there.exchange(there_up.link, &there_sender, &to_here, to_there.len()),
    );
    assert!(at_there == to_there, "what arrived there differs");
    assert!(at_here == to_here, "what arrived here differs");
}

#[tokio::test]
async fn a_node_that_does_not_read_stops_the_sender_and_loses_nothing() {
    let [(mut here, here_up, here_sender), (mut there, there_up, there_sender)] = pair().await;
    let data = pattern(3, 64 * MIB);
    let mut left = data.clone();
    // Until nothing moves: more than this, all buffers of both ends together, would be a leak.
    let stalled = Duration::from_millis(500);
    loop {
        fill(&here_sender, &mut left);
        let Ok(report) = timeout(stalled, here.next()).await else { break };
        assert!(!matches!(report, Some(Report::Event(TransportEvent::LinkDown { .. }))));
    }
    let held = data.len() - left.len();
    assert!(held < data.len() / 2, "{held} bytes were taken although nobody reads");

    let nothing = Bytes::new();
    let (_, at_there) = tokio::join!(
        here.exchange(here_up.link, &here_sender, &left, 0),
        there.exchange(there_up.link, &there_sender, &nothing, data.len()),
    );
    assert!(at_there == data, "what arrived differs");
}

#[tokio::test]
async fn a_close_writes_what_was_taken_even_while_the_other_end_is_sending() {
    let [(mut here, here_up, here_sender), (mut there, there_up, there_sender)] = pair().await;
    let last = pattern(4, 512 * 1024);
    fill(&there_sender, &mut pattern(5, 512 * 1024));
    let taken = fill(&here_sender, &mut last.clone());
    assert_eq!(taken, last.len(), "two chunks fit");
    drop(here_sender);
    here.command(TransportCommand::Close(here_up.link)).await;

    let received = there.exchange(there_up.link, &there_sender, &Bytes::new(), last.len()).await;
    assert!(received == last, "{} bytes of {} arrived", received.len(), last.len());
    assert_eq!(there.link_down().await, (there_up.link, LinkLoss::ClosedByRemote));
    assert_eq!(here.link_down().await, (here_up.link, LinkLoss::Closed));

    here.command(TransportCommand::Close(here_up.link)).await;
    assert!(here.shut_down().await.is_empty(), "closed once");
}

#[tokio::test]
async fn a_close_takes_nothing_more_from_a_node_that_keeps_its_sender() {
    let [(mut here, here_up, here_sender), (mut there, there_up, there_sender)] = pair().await;
    let last = pattern(6, 512 * 1024);
    assert_eq!(fill(&here_sender, &mut last.clone()), last.len(), "two chunks fit");
    here.command(TransportCommand::Close(here_up.link)).await;

    let received = there.exchange(there_up.link, &there_sender, &Bytes::new(), last.len()).await;
    assert!(received == last, "{} bytes of {} arrived", received.len(), last.len());
    let down = timeout(Duration::from_secs(3), here.link_down()).await;
    assert_eq!(down, Ok((here_up.link, LinkLoss::Closed)));
    assert!(here_sender.try_reserve().is_none(), "it takes nothing more");
    assert_eq!(there.link_down().await, (there_up.link, LinkLoss::ClosedByRemote));
}

/// Closing a socket with unread bytes resets it, and what it was still sending is lost.
#[tokio::test]
async fn a_close_does_not_cut_off_an_end_that_keeps_sending() {
    let mut node = Node::start(on_localhost(), 1).await;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // Small, so that most of it waits in the driver's socket.
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    // The segments of loopback would not fit in there, and each would wait for a timer.
    socket.set_tcp_mss(1_400).unwrap();
    socket.connect(&node.addresses[0].into()).unwrap();
    let mut stream = TcpStream::from(socket);
    let (up, sender) = node.link_up().await;
    let mut sending = stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || while sending.write_all(&[0; 65_536]).is_ok() {});

    let last = pattern(7, 512 * 1024);
    assert_eq!(fill(&sender, &mut last.clone()), last.len(), "two chunks fit");
    drop(sender);
    node.command(TransportCommand::Close(up.link)).await;
    let (has_written, written) = mpsc::channel();
    let (has_read, read) = tokio::sync::oneshot::channel();
    let reading = std::thread::spawn(move || {
        let mut received = vec![0; 450 * 1024];
        stream.read_exact(&mut received).unwrap();
        has_read.send(()).unwrap();
        written.recv().unwrap();
        let end = stream.read_to_end(&mut received).map_err(|error| error.kind());
        let _ = stream.shutdown(Shutdown::Both);
        (received, end)
    });
    // What is left fits the driver's socket.
    timeout(node::PATIENCE, read).await.unwrap().unwrap();
    let_the_driver_run().await;
    has_written.send(()).unwrap();
    assert_eq!(node.link_down().await, (up.link, LinkLoss::Closed));
    let (received, end) = reading.join().unwrap();
    assert_eq!(end.map(|_| received.len()), Ok(last.len()));
    assert!(received == last, "what arrived differs");
    sending.join().unwrap();
}

#[tokio::test]
async fn what_the_other_end_said_is_read_even_when_writing_to_it_fails() {
    // More reports than fit: the link has to wait for the node with what it reads.
    let peers = (1..=20_000).map(|port| format!("192.0.2.1:{port}")).collect();
    let mut node = Node::start(LanConfig { peers, ..on_localhost() }, 1).await;
    let said = pattern(8, 96 * 1024);
    let (address, bytes) = (node.addresses[0], said.clone());
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&bytes).unwrap();
        // Dropping it waits until everything is acknowledged.
        SockRef::from(&stream).set_linger(Some(node::PATIENCE)).unwrap();
    });
    let (up, sender) = node.link_up().await;
    tokio::task::spawn_blocking(|| client.join().unwrap()).await.unwrap();

    let mut unheard = pattern(9, MIB);
    for _ in 0..10 {
        fill(&sender, &mut unheard);
        let_the_driver_run().await;
    }
    let received = node.exchange(up.link, &sender, &Bytes::new(), said.len()).await;
    assert!(received == said, "{} bytes of {} arrived", received.len(), said.len());
    assert_eq!(node.link_down().await.0, up.link);
}

#[tokio::test]
async fn the_other_ends_last_bytes_come_before_its_end() {
    let mut node = Node::start(on_localhost(), 1).await;
    let mut stream = TcpStream::connect(node.addresses[0]).unwrap();
    stream.write_all(b"last words").unwrap();
    drop(stream);
    let (up, sender) = node.link_up().await;
    assert_eq!(node.exchange(up.link, &sender, &Bytes::new(), 10).await, b"last words");
    assert_eq!(node.link_down().await, (up.link, LinkLoss::ClosedByRemote));
}

#[tokio::test]
async fn a_reset_is_told_from_an_end() {
    let mut node = Node::start(on_localhost(), 1).await;
    let stream = TcpStream::connect(node.addresses[0]).unwrap();
    let (up, _sender) = node.link_up().await;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    assert_eq!(node.link_down().await, (up.link, LinkLoss::Reset));
}

/// A listener whose backlog is full: a further dial to it neither succeeds nor fails.
fn full_listener() -> (Socket, Vec<Socket>, SocketAddr) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let waiting = (0..4).map(|_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address);
        socket
    });
    (listener, waiting.collect(), address.as_socket().unwrap())
}

#[tokio::test]
async fn a_cancelled_dial_is_answered_once_and_holds_up_no_other() {
    let mut node = Node::start(on_localhost(), 1).await;
    let (_listener, _waiting, nowhere) = full_listener();
    let stuck = node.dial(&nowhere.to_string()).await;
    let itself = node.addresses[0].to_string();
    let other = node.dial(&itself).await;
    let (first, _sender) = node.link_up().await;
    let (second, _sender) = node.link_up().await;
    assert!([first.origin, second.origin].contains(&LinkOrigin::Dialled(other)));

    node.command(TransportCommand::CancelDial(stuck)).await;
    assert_eq!(node.dial_failed().await, (stuck, DialFailure::Cancelled));
    node.command(TransportCommand::CancelDial(stuck)).await;
    node.command(TransportCommand::CancelDial(other)).await;
    let rest = node.shut_down().await;
    let is_answer = |report: &Report| {
        matches!(report, Report::LinkUp(..) | Report::Event(TransportEvent::DialFailed { .. }))
    };
    assert!(!rest.iter().any(is_answer), "{rest:?}");
}

#[tokio::test]
async fn dials_that_cannot_succeed_say_why() {
    let mut node = Node::start(on_localhost(), 1).await;
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let dial = node.dial(&closed).await;
    assert_eq!(node.dial_failed().await, (dial, DialFailure::Refused));
    let dial = node.dial("pigeon 7").await;
    assert_eq!(node.dial_failed().await, (dial, DialFailure::InvalidEndpoint));
    let dial = node.dial("no-such-host.invalid:4040").await;
    assert!(matches!(node.dial_failed().await, (failed, DialFailure::Other(_)) if failed == dial));
}

#[tokio::test]
async fn a_name_is_looked_up_and_kept_as_the_endpoint() {
    let mut here = Node::start(LanConfig::default(), 1).await;
    let mut there = Node::start(on_localhost(), 2).await;
    let name = format!("localhost:{}", there.addresses[0].port());
    let dial = here.dial(&name).await;
    let (up, _sender) = here.link_up().await;
    assert_eq!((up.origin, up.endpoint), (LinkOrigin::Dialled(dial), Endpoint::new(&name)));
    there.link_up().await;
}

#[tokio::test]
async fn both_families_accept_on_one_port() {
    let mut here = Node::start(LanConfig::default(), 1).await;
    let mut there = Node::start(LanConfig { listen: true, ..LanConfig::default() }, 2).await;
    for address in there.addresses.clone() {
        let host = if address.is_ipv4() { "127.0.0.1" } else { "[::1]" };
        here.dial(&format!("{host}:{}", there.addresses[0].port())).await;
        let (_, _sender) = here.link_up().await;
        let (up, _sender) = there.link_up().await;
        assert_eq!(up.endpoint.as_str().starts_with('['), address.is_ipv6());
    }
}

#[tokio::test]
async fn a_port_in_use_is_a_condition_and_dialling_goes_on() {
    let mut there = Node::start(on_localhost(), 2).await;
    let port = there.addresses[0].port();
    let mut here = Node::start(LanConfig { port, ..on_localhost() }, 1).await;
    assert!(here.addresses.is_empty());
    let condition = here.condition().await;
    assert_eq!(condition.state, ConditionState::ListenFailure);
    assert!(condition.detail.contains(&port.to_string()), "{}", condition.detail);

    here.dial(&there.addresses[0].to_string()).await;
    here.link_up().await;
    there.link_up().await;
}

#[tokio::test]
async fn configured_peers_are_sighted_as_they_were_written() {
    let peers = vec!["[fe80::1%eth0]:4040".to_owned(), "node.example:4040".to_owned()];
    let mut node = Node::start(LanConfig { peers: peers.clone(), ..LanConfig::default() }, 1).await;
    assert_eq!(node.condition().await, Condition::ok());
    for peer in peers {
        let Some(Report::Event(TransportEvent::Sighted(sighting))) = node.next().await else {
            panic!("a sighting of {peer}")
        };
        assert_eq!((sighting.endpoint, sighting.beacon), (Endpoint::new(&peer), None));
    }
}

#[tokio::test]
async fn a_shutdown_ends_links_and_dials_within_a_second() {
    let [(mut here, here_up, sender), (mut there, there_up, there_sender)] = pair().await;
    let (_listener, _waiting, nowhere) = full_listener();
    let dial = here.dial(&nowhere.to_string()).await;
    let mut last = Bytes::from_static(b"goodbye");
    fill(&sender, &mut last);

    let began = Instant::now();
    let mut ends: Vec<String> = here.shut_down().await.iter().filter_map(end).collect();
    assert!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
    ends.sort();
    let (up, dial) = (here_up.link, format!("{dial:?} Cancelled"));
    let mut expected = [dial, format!("{up:?} Shutdown")];
    expected.sort();
    assert_eq!(ends, expected);

    let received = there.exchange(there_up.link, &there_sender, &Bytes::new(), 7).await;
    assert_eq!(received, b"goodbye");
    assert_eq!(there.link_down().await, (there_up.link, LinkLoss::ClosedByRemote));
}

fn end(report: &Report) -> Option<String> {
    match report {
        Report::Event(TransportEvent::LinkDown { link, reason }) => {
            Some(format!("{link:?} {reason:?}"))
        }
        Report::Event(TransportEvent::DialFailed { dial, reason }) => {
            Some(format!("{dial:?} {reason:?}"))
        }
        _ => None,
    }
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_an_end_that_does_not_read() {
    let mut node = Node::start(on_localhost(), 1).await;
    let mut stream = TcpStream::connect(node.addresses[0]).unwrap();
    let (up, sender) = node.link_up().await;
    let mut left = pattern(6, 64 * MIB);
    loop {
        fill(&sender, &mut left);
        if timeout(Duration::from_millis(300), node.next()).await.is_err() {
            break;
        }
    }
    assert!(!left.is_empty(), "the link is full");
    let began = Instant::now();
    let rest = node.shut_down().await;
    assert!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
    let ends: Vec<String> = rest.iter().filter_map(end).collect();
    assert_eq!(ends, [format!("{:?} Shutdown", up.link)]);
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
}

#[tokio::test]
async fn a_driver_that_is_dropped_leaves_no_link_behind() {
    let mut node = Node::start(on_localhost(), 1).await;
    let mut stream = TcpStream::connect(node.addresses[0]).unwrap();
    let (_up, _sender) = node.link_up().await;
    node.abort().await;
    stream.set_read_timeout(Some(node::PATIENCE)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}
