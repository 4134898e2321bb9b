//! The processes that are measured: this program again, in a role. A child tells what it sees in
//! lines of `word json` on its output and ends when its input does.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdout, Command, Stdio};

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::case::Job;
use crate::{mesh, raw};

/// Where a process is to be found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) address: String,
    pub(crate) key: String,
}

/// What a source measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Goodput.
    pub(crate) bytes_per_s: f64,
    /// The median round trip, or, of a set-up, when it began.
    pub(crate) micros: f64,
    pub(crate) micros_p99: f64,
}

/// What a process took of the machine.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Used {
    pub(crate) rss_kib: u64,
    pub(crate) cpu_us: u64,
}

/// Tells the parent.
pub(crate) fn say(word: &str, value: &impl Serialize) {
    let json = serde_json::to_string(value).expect("figures are JSON");
    let mut output = std::io::stdout().lock();
    // Without a reader the parent is gone, and so is this process soon.
    let _ = writeln!(output, "{word} {json}").and_then(|()| output.flush());
}

/// Microseconds of the clock that all processes share.
pub(crate) fn shared_micros() -> f64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    since.expect("the clock is past 1970").as_secs_f64() * 1e6
}

/// Plays a role until the parent closes the input.
pub(crate) fn run(role: &str, job: &str) -> anyhow::Result<()> {
    let job: Job = serde_json::from_str(job)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let role = role.to_owned();
    runtime.block_on(async {
        tokio::select! {
            // A task among others, as in most programs.
            result = tokio::spawn(async move { play(&role, job).await }) => result??,
            _ = end => {}
        }
        anyhow::Ok(())
    })?;
    say("used", &used()?);
    runtime.shutdown_background();
    Ok(())
}

async fn play(role: &str, job: Job) -> anyhow::Result<()> {
    match role {
        "raw-sink" => raw::sink(job).await?,
        "raw-source" => raw::source(job).await?,
        "mesh-sink" => mesh::sink(job).await?,
        "mesh-source" => mesh::source(job).await?,
        "mesh-relay" => mesh::relay(job).await?,
        _ => bail!("there is no role {role:?}"),
    }
    std::future::pending().await
}

fn used() -> anyhow::Result<Used> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let rss = rss.and_then(|rest| rest.split_whitespace().next()).context("no VmHWM")?;
    let mut cpu_ns = 0;
    for thread in std::fs::read_dir("/proc/self/task")? {
        // The first figure is the thread's time on a processor; a thread may just have ended.
        let times = std::fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        cpu_ns += times.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Used { rss_kib: rss.parse()?, cpu_us: cpu_ns / 1_000 })
}

/// A process in a role; killed when dropped.
pub(crate) struct Child {
    process: std::process::Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Child {
    pub(crate) fn start(role: &str, job: &Job) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([format!("role-{role}"), serde_json::to_string(job)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().context("the child has no output")?;
        Ok(Self { process, lines: BufReader::new(output).lines() })
    }

    /// What the next line that starts with `word` says.
    pub(crate) fn line<T: DeserializeOwned>(&mut self, word: &str) -> anyhow::Result<T> {
        for line in &mut self.lines {
            let line = line?;
            if let Some((first, json)) = line.split_once(' ')
                && first == word
            {
                return Ok(serde_json::from_str(json)?);
            }
        }
        bail!("the process ended without saying {word:?}")
    }

    /// Ends the process; tells what it took.
    pub(crate) fn finish(mut self) -> anyhow::Result<Used> {
        drop(self.process.stdin.take());
        let used = self.line("used")?;
        self.process.wait()?;
        Ok(used)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // One that has ended already cannot be killed; both is well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
