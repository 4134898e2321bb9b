//! `hedgerow doctor`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use hedgerow::config::Config;
use hedgerow::home::survey;

use crate::arguments::UpArguments;
use crate::control::{Status, TransportLine};
use crate::doctor::{
    Check, Level, clock, configuration, files, firewall, home, interfaces, multicast, node, port,
    radios,
};
use crate::failure::{ErrorCode, Failure};
use crate::output::{Output, printable};
use crate::settings;

/// Checks that, failed, keep a node from starting.
const NEEDED: [&str; 5] = ["home", "key", "epoch", "config", "network"];

pub(super) async fn run(
    flag: Option<PathBuf>,
    flags: UpArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    let folder = match settings::home_folder(flag) {
        Ok(folder) => folder,
        Err(failure) => {
            print(&[Check::fail("home", failure.message, failure.hint)], output)?;
            return Ok(ExitCode::from(failure.code.exit_code()));
        }
    };
    let survey = survey(&folder);
    let mut checks = home::check(&survey);
    let (config, configured) = configuration::check(&survey.folder, &flags);
    checks.extend(configured);
    checks.push(clock::check(SystemTime::now(), &survey));
    checks.push(files::check());
    let (status, running) = node::ask(&survey).await;
    if status.is_some() {
        // What the node is in counts, not what it would be in after a start with these flags.
        checks.retain(|check| check.check != "network" || check.status == Level::Fail);
    }
    checks.push(running);
    let config = config.unwrap_or_default();
    let radios = match &status {
        Some(_) => Vec::new(),
        None => radios::look(&config.transports).await,
    };
    let works = look_at_transports(config, status, &radios, &mut checks);
    print(&checks, output)?;
    let cannot_start = |check: &Check| check.status == Level::Fail && NEEDED.contains(&check.check);
    Ok(match works {
        _ if checks.iter().any(cannot_start) => ExitCode::from(ErrorCode::BadHome.exit_code()),
        true => ExitCode::SUCCESS,
        false => ExitCode::from(ErrorCode::Internal.exit_code()),
    })
}

/// Whether at least one transport works: by the word of the node if one runs, else by what this
/// machine has.
fn look_at_transports(
    config: Config,
    status: Option<Status>,
    radios: &[TransportLine],
    checks: &mut Vec<Check>,
) -> bool {
    let (ip, listen_port) = config.tcp_listener();
    let lan = &config.transports.lan;
    let mut works = false;
    if lan.enabled {
        let found = interfaces::check(&config);
        works = found.reaches;
        checks.extend(found.checks);
        if lan.mdns_enabled {
            checks.extend(multicast::check(&found.used));
        } else {
            let others = if lan.exchange_addresses { " and what neighbours tell" } else { "" };
            let message = format!(
                "multicast DNS is switched off; only connect.tcp_servers{others} are dialled"
            );
            checks.push(Check::ok("multicast", message));
        }
    }
    match &status {
        Some(status) => {
            checks.extend(node::checks(status));
            // It may have been started with other flags than these.
            let reaches = works || status.listens_on_loopback();
            // A link is the proof, whatever else is not well.
            works = status.links > 0
                || status.transports.iter().any(|transport| {
                    transport.works && (reaches || transport.transport != "AccessPoint")
                });
        }
        None if lan.enabled => checks.push(port::check(ip, listen_port)),
        None => {
            let hint = "set transports.lan.enabled = true";
            checks.push(Check::warn("transport", "the local network is switched off", hint));
        }
    }
    if lan.enabled {
        let listen = status.map(|status| status.listen).unwrap_or_default();
        checks.push(firewall::check(&listen, listen_port));
    }
    for line in radios {
        works |= line.works;
        checks.push(node::transport(line));
    }
    works
}

fn print(checks: &[Check], output: Output) -> Result<(), Failure> {
    if output.json {
        return checks.iter().try_for_each(|check| output.print_json(check));
    }
    let width = checks.iter().map(|check| check.check.len()).max().unwrap_or(0);
    checks.iter().try_for_each(|check| {
        let status = match check.status {
            Level::Ok => "ok  ",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        let mut text = format!("{status}  {:width$}  {}", check.check, printable(&check.message));
        if !check.hint.is_empty() {
            text.push_str(&format!("\n      {:width$}  > {}", "", printable(&check.hint)));
        }
        output.print_text(&text)
    })
}
