//! Thousands of connections at once that say nothing, or too little.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use hedgerow::Mesh;
use hedgerow::driver::ConditionState;
use hedgerow::notice::Trouble;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::scene::{node, wait_for};

const CONNECTIONS: usize = 5_000;
/// Open files of the victim: what systems give a program.
const FILES_MAX: u64 = 1_024;
/// What the crowd may cost the victim.
const EXTRA_BYTES_MAX: u64 = 64 << 20;
const ROLE: &str = "HEDGEROW_TEST_VICTIM";

/// The victim in a process of its own: its memory and its files can be counted.
pub(crate) struct Victim {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl Victim {
    pub(crate) fn start(files_max: u64) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crowd::role", "--nocapture"])
            .env(ROLE, files_max.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().unwrap());
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut victim = Self { process, input, output, address };
        victim.address = victim.line("@listens ").parse().unwrap();
        victim
    }

    fn line(&mut self, start: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the victim ended");
            if let Some((_, rest)) = line.split_once(start) {
                return rest.trim().to_owned();
            }
        }
    }

    pub(crate) fn ask(&mut self, what: &str) -> String {
        writeln!(self.input.as_mut().unwrap(), "{what}").unwrap();
        self.line(&format!("@{what} "))
    }

    /// Memory in use, and open files.
    pub(crate) fn load(&self) -> (u64, usize) {
        let of = |what| format!("/proc/{}/{what}", self.process.id());
        let pages = std::fs::read_to_string(of("statm")).unwrap();
        let resident: u64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
        (resident * 4_096, std::fs::read_dir(of("fd")).unwrap().count())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Its input closes, and it ends; if it hangs, it is killed.
        drop(self.input.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn allow_files(files: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(maximum.map_or(files, |maximum| files.min(maximum)));
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

/// Not a test of its own: what the victim's process runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn role() {
    let Ok(files_max) = std::env::var(ROLE) else { return };
    allow_files(files_max.parse().unwrap());
    let mesh = node("victim", &[]).await;
    println!("\n@listens {}", mesh.listen_addresses()[0]);
    let mut notices = mesh.notices();
    tokio::spawn(async move {
        while let Some(notice) = notices.next().await {
            let kind =
                if matches!(notice.trouble, Trouble::Crowded { .. }) { "crowded" } else { "" };
            println!("\n@notice {kind} {notice}");
        }
    });
    let mut messages = mesh.bus().messages();
    let counted = std::sync::Arc::new(std::sync::Mutex::new((0_u32, Duration::ZERO)));
    let tally = counted.clone();
    tokio::spawn(async move {
        let mut last = Instant::now();
        while let Some(message) = messages.next().await {
            let mut tally = tally.lock().unwrap();
            assert_eq!(message.data[..], tally.0.to_be_bytes());
            tally.0 += 1;
            tally.1 = if tally.0 == 1 { Duration::ZERO } else { tally.1.max(last.elapsed()) };
            last = Instant::now();
        }
    });
    let (sender, mut commands) = tokio::sync::mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    while let Some(command) = commands.recv().await {
        if command == "tally" {
            let (count, longest) = *counted.lock().unwrap();
            println!("\n@tally {count} {}", longest.as_millis());
        } else {
            let counters = mesh.counters().await.unwrap();
            let transports = mesh.transports();
            let states = transports.iter().map(|transport| transport.condition.state);
            let conditions: Vec<_> =
                states.filter(|state| *state != ConditionState::Disabled).collect();
            println!(
                "\n@counters {} crowded out, {} failed, condition {conditions:?}",
                counters.handshakes_crowded_out, counters.handshakes_failed
            );
        }
    }
}

/// One of the crowd: connects from a host of its own and says a part of a handshake.
async fn one(number: usize, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.2:0".parse().unwrap())?;
    let mut stream = socket.connect(to).await?;
    let words: &[u8] = match number % 3 {
        0 => b"",
        1 => b"HDGW\x01\x01\x00\x00",
        // A whole message 1, which the victim answers.
        _ => b"HDGW\x01\x01\x00\x00\x00\x20a key that is as good as any oth",
    };
    stream.write_all(words).await?;
    Ok(stream)
}

/// An honest neighbour of the victim that sends it numbered messages until it is dropped.
struct Honest {
    mesh: Mesh,
    sending: tokio::task::JoinHandle<()>,
}

impl Honest {
    async fn of(victim: &Victim) -> Self {
        let mesh = node("honest", &[victim.address]).await;
        let graph = wait_for(&mesh, |graph| graph.remote_peers.len() == 1).await;
        let (to, bus) = (graph.remote_peers[0].peer_key, mesh.bus());
        let sending = tokio::spawn(async move {
            for number in 0_u32.. {
                bus.send_reliable(to, number.to_be_bytes().to_vec()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self { mesh, sending }
    }

    /// Nothing was lost or doubled, and nothing took long.
    async fn finish(self, victim: &mut Victim) {
        let delivered = |mesh: &Mesh| {
            let mesh = mesh.clone();
            async move { mesh.counters().await.unwrap().bus.messages_delivered }
        };
        let more = delivered(&self.mesh).await + 20;
        while delivered(&self.mesh).await < more {
            tokio::task::yield_now().await;
        }
        self.sending.abort();
        let delivered = delivered(&self.mesh).await;
        // Delivered means in the victim's inbox; its reader follows.
        let longest_ms = loop {
            let tally = victim.ask("tally");
            let (count, longest_ms) = tally.split_once(' ').unwrap();
            if count.parse::<u64>().unwrap() >= delivered {
                break longest_ms.parse::<u64>().unwrap();
            }
        };
        println!("{delivered} honest messages meanwhile, longest wait {longest_ms} ms");
        assert!(longest_ms < 1_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_runs_out_of_files_says_so_goes_on_and_recovers() {
    let mut victim = Victim::start(48);
    let honest = Honest::of(&victim).await;
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(TcpStream::connect(victim.address).await.unwrap());
    }
    let until = |victim: &mut Victim, state: &str| {
        let begin = Instant::now();
        loop {
            let counters = victim.ask("counters");
            if counters.contains(state) {
                return println!("{state} after {:.1?}: {counters}", begin.elapsed());
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "{counters}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    until(&mut victim, "TemporarilyUnavailable");
    drop(crowd);
    until(&mut victim, "[Ok]");
    let newcomer = node("newcomer", &[victim.address]).await;
    wait_for(&newcomer, |graph| graph.remote_peers.len() == 2).await;
    honest.finish(&mut victim).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_half_open_connections_do_not_keep_a_newcomer_out() {
    allow_files(2 * CONNECTIONS as u64);
    let mut victim = Victim::start(FILES_MAX);
    let address = victim.address;
    let honest = Honest::of(&victim).await;
    let (before, files_before) = victim.load();

    let mut crowd = tokio::task::JoinSet::new();
    for number in 0..CONNECTIONS {
        crowd.spawn(one(number, address));
    }
    // In the thick of it.
    let mut held = Vec::new();
    while held.len() < CONNECTIONS / 10 {
        held.push(crowd.join_next().await.unwrap().unwrap());
    }
    let begin = Instant::now();
    let newcomer = node("newcomer", &[address]).await;
    wait_for(&newcomer, |graph| graph.remote_peers.len() == 2).await;
    let took = begin.elapsed();
    let (thick, files_thick) = victim.load();
    println!("a newcomer behind {CONNECTIONS} half-open connections is in after {took:.2?}");
    assert!(took < Duration::from_secs(5), "{took:?}");

    while let Some(one) = crowd.join_next().await {
        held.push(one.unwrap());
    }
    let connected = held.iter().filter(|one| one.is_ok()).count();
    let (after, files_after) = victim.load();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{connected} connected; victim: {:.1} MiB and {files_before} files before, {:.1} MiB and \
         {files_thick} files in the thick of it, {:.1} MiB and {files_after} files after; {}",
        mib(before),
        mib(thick),
        mib(after),
        victim.ask("counters"),
    );
    assert!(thick.max(after) - before < EXTRA_BYTES_MAX);
    honest.finish(&mut victim).await;
}
