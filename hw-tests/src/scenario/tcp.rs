//! What TCP carries between two radios, by two programs of a few lines.

use std::net::SocketAddrV6;
use std::process::Stdio;

use anyhow::{Context, ensure};

use crate::stage::running::{Lines, Running};
use crate::stage::{Radio, Stage};

const TCP_SECONDS: u64 = 60;

/// What goes from one to the other in the group that they are in, in bytes a second, when so many
/// bytes do.
pub(super) fn bytes_per_s(
    stage: &Stage,
    from: &Radio,
    to: &Radio,
    bytes: usize,
) -> anyhow::Result<u64> {
    let ourselves = std::env::current_exe()?.to_string_lossy().into_owned();
    let program = |radio: &Radio, words: &[&str]| {
        let mut command = stage.program(radio, &[&[&ourselves[..]], words].concat());
        command.stdin(Stdio::null());
        let (name, log) = (format!("{} of {}", words[0], radio.name()), stage.logs());
        Running::start(&name, command, Lines::Stdout, &log.join(format!("{}.log", words[0])))
    };
    let group = |radio| stage.supplicant(radio).group()?.context("no group");
    let (near, far) = (group(from)?, group(to)?);
    let address = far.address.context("no address")?;
    let limit = stage.limit(TCP_SECONDS);
    // An address of a link means something together with an interface only, one's own.
    let here = SocketAddrV6::new(address, 0, 0, far.index).to_string();
    let mut sink = program(to, &["tcp-sink", &here])?;
    let port = sink.event("listening", limit)?["port"].as_u64().context("no port")?;
    let there = SocketAddrV6::new(address, u16::try_from(port)?, 0, near.index).to_string();
    let mut source = program(from, &["tcp-source", &there, &bytes.to_string()])?;
    let received = sink.event("received", limit)?;
    let sent = source.event("sent", limit)?;
    ensure!(received["bytes"] == bytes, "sent {bytes} bytes, {received}");
    let ms = sent["ms"].as_u64().context("no time")?.max(1);
    Ok(u64::try_from(bytes)? * 1_000 / ms)
}
