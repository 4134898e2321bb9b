//! Runs scenarios in virtual machines: a new one for each, so that none inherits anything.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::alive::StoodStill;
use crate::guest::{self, Plan};
use crate::machine::{BLUETOOTH, Machine, May};
use crate::outcome::{Figures, Outcome, Skip, Verdict};
use crate::scenario::Scenario;
use crate::stage::MODULE;

/// Boot, controllers and bluetoothd, on a busy machine.
const BOOT_MAX: Duration = Duration::from_secs(60);
/// How long a machine may compute without a sign of life, which is due each second.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How much of a console is shown after a failure.
const CONSOLE_LINES: usize = 20;
/// Of each node's log.
const NODE_LINES: usize = 10;
/// Of the log of each daemon that drives radios.
const DAEMON_LINES: usize = 20;

const SETUP: &str = "make it with `cargo run -p hedgerow-hw-tests -- setup`";

/// A machine, what is tested in it, and where its logs go.
pub(crate) struct VirtualRig {
    machine: Machine,
    /// `None` before it is built.
    hedgerow: Option<PathBuf>,
    pub(crate) logs: PathBuf,
    seed: u32,
    silence_max: Duration,
}

impl VirtualRig {
    /// # Errors
    /// If `hedgerow` is no file.
    pub(crate) fn open(
        machine: Machine,
        hedgerow: Option<PathBuf>,
        logs: PathBuf,
        seed: u32,
    ) -> anyhow::Result<Self> {
        if let Some(path) = &hedgerow {
            ensure!(path.is_file(), "--hedgerow is {}, which is no file", path.display());
        }
        Ok(Self { machine, hedgerow, logs, seed, silence_max: SILENCE_MAX })
    }

    /// Builds what is tested, unless it is given.
    pub(crate) fn prepare(&mut self) -> anyhow::Result<()> {
        let hedgerow = match self.hedgerow.take() {
            Some(given) => given,
            None => built()?,
        };
        eprintln!("rig: {}; {}", self.machine.name(), hedgerow.display());
        self.hedgerow = Some(hedgerow);
        Ok(())
    }

    /// Plays one scenario in a machine of its own. Where the emulated kernel stood still, which says
    /// nothing about what runs in it, a new machine plays it once more, and the outcome tells.
    pub(crate) fn play(&self, scenario: &Scenario) -> Outcome {
        let started = Instant::now();
        let share = self.logs.join(scenario.name);
        let mut played = self.play_in(&share, scenario);
        let stood_still = played.as_ref().is_err_and(anyhow::Error::is::<StoodStill>);
        if let Err(error) = &played
            && stood_still
        {
            show_ends(&share);
            eprintln!("rig: {}: {error}; once more, in a new one", scenario.name);
            played = self.play_in(&share, scenario);
        }
        let mut outcome =
            played.unwrap_or_else(|error| Outcome::of(scenario.name, Duration::ZERO, Err(error)));
        if stood_still {
            outcome.figures.insert("stoodStill".to_owned(), 1.into());
        }
        outcome.wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if outcome.result == Verdict::Fail {
            show_ends(&share);
        } else {
            // A folder that cannot be removed is no reason to fail.
            let _ = fs::remove_dir_all(&share);
        }
        outcome
    }

    fn play_in(&self, share: &Path, scenario: &Scenario) -> anyhow::Result<Outcome> {
        // Without radios, none are made: the kernel's part of Wi-Fi has its price, too.
        let module = (scenario.radios > 0).then(|| self.machine.module()).transpose()?;
        self.furnish(share, module)
            .with_context(|| format!("cannot furnish {}", share.display()))?;
        let patience = self.machine.patience();
        Plan { scenario: scenario.name.to_owned(), patience, seed: self.seed }.leave(share)?;
        let may = May {
            run: (scenario.limit + BOOT_MAX) * patience,
            be_silent: self.silence_max * patience,
        };
        let ran = self.machine.run(share, &console(share), may);
        // What is the same for all would fill the disk that the logs are kept on.
        let ours = ["hedgerow", "hedgerow-hw-tests", MODULE];
        for name in ours.into_iter().chain(BLUETOOTH) {
            let _ = fs::remove_file(share.join(name));
        }
        match guest::outcome(share) {
            Ok(outcome) => Ok(outcome),
            Err(error) => {
                ran?;
                Err(error)
            }
        }
    }

    /// Puts into the share what the guest runs.
    fn furnish(&self, share: &Path, module: Option<&Path>) -> anyhow::Result<()> {
        if share.exists() {
            fs::remove_dir_all(share)?;
        }
        fs::create_dir_all(share)?;
        fs::write(share.join("init"), include_str!("../setup/init"))?;
        let ourselves = env::current_exe()?;
        copy(&ourselves, &share.join("hedgerow-hw-tests"))?;
        let hedgerow = self.hedgerow.as_ref().context("no hedgerow command was built")?;
        copy(hedgerow, &share.join("hedgerow"))?;
        for file in self.machine.bluetooth.iter().map(PathBuf::as_path).chain(module) {
            copy(file, &share.join(file.file_name().unwrap_or_default()))?;
        }
        Ok(())
    }
}

/// The outcome of a scenario for which there is no rig.
pub(crate) fn skipped(scenario: &Scenario, reason: &str) -> Outcome {
    let skip: anyhow::Result<Figures> = Err(Skip(format!("{reason}: {SETUP}")).into());
    Outcome::of(scenario.name, Duration::ZERO, skip)
}

/// After a failure: the ends of the logs in which its cause may be.
fn show_ends(share: &Path) {
    let logs = fs::read_dir(share.join("logs")).into_iter().flatten().flatten();
    let mut parts: Vec<(PathBuf, usize)> = logs
        .filter_map(|entry| {
            let lines = match entry.file_name().to_str()? {
                name if name.starts_with("node-") => NODE_LINES,
                // What drives the radios.
                "bluetoothd.log" => DAEMON_LINES,
                name if name.starts_with("wpa_supplicant-") && name.ends_with(".log") => {
                    DAEMON_LINES
                }
                _ => return None,
            };
            Some((entry.path(), lines))
        })
        .collect();
    parts.sort();
    for (log, lines) in [(console(share), CONSOLE_LINES)].into_iter().chain(parts) {
        eprintln!("{}\n---- the end of {}", tail(&log, lines), log.display());
    }
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::copy(from, to).with_context(|| from.display().to_string())?;
    Ok(())
}

fn console(share: &Path) -> PathBuf {
    share.join("console.log")
}

/// The workspace's command, built anew: a test of yesterday's binary helps nobody.
fn built() -> anyhow::Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/Cargo.toml");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--message-format=json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(&manifest)
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot run cargo: give --hedgerow")?;
    ensure!(output.status.success(), "the hedgerow command does not build: give --hedgerow");
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        if message["target"]["name"] == "hedgerow"
            && let Some(path) = message["executable"].as_str()
        {
            return Ok(PathBuf::from(path));
        }
    }
    bail!("cargo built no `hedgerow`: give --hedgerow")
}

/// The last lines of a log, for people.
fn tail(log: &Path, lines_max: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(lines_max)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        fs::write(&log, "1\n2\n3\n").unwrap();
        assert_eq!(tail(&log, 2), "2\n3");
        assert_eq!(tail(&log, 9), "1\n2\n3");
        assert_eq!(tail(&folder.path().join("none"), 9), "");
    }

    /// Plays `rig-self` in machines whose kernel is a script, and stands still for the first so often.
    fn played_where_it_stands_still(times: usize) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"
            for word; do
                case $word in
                rig.share=*) share=${word#rig.share=} ;;
                rootflags=*) root=${word#rootflags=} ;;
                esac
            done
            echo >> "$root/tried"
            [ "$(wc -l < "$root/tried")" -gt TIMES ] || while :; do :; done
            echo '{"scenario":"rig-self","result":"pass","wallMs":1,"figures":{}}' > "$share/outcome.json""#;
        let machine =
            Machine::scripted(folder.path(), &script.replace("TIMES", &times.to_string()));
        for file in machine.bluetooth.iter().map(PathBuf::as_path).chain([Path::new("hedgerow")]) {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let hedgerow = Some(folder.path().join("hedgerow"));
        let logs = folder.path().join("logs");
        let mut rig = VirtualRig::open(machine, hedgerow, logs, 1).unwrap();
        rig.silence_max = Duration::from_millis(200);
        rig.play(scenario::find("rig-self").unwrap())
    }

    #[test]
    fn a_scenario_whose_machine_stood_still_is_played_once_more_and_the_report_tells() {
        let well = played_where_it_stands_still(0);
        assert_eq!((well.result, well.figures.get("stoodStill")), (Verdict::Pass, None));
        let once = played_where_it_stands_still(1);
        assert_eq!(once.result, Verdict::Pass, "{:?}", once.reason);
        assert_eq!(once.figures["stoodStill"], 1);
        let again = played_where_it_stands_still(2);
        assert_eq!(again.result, Verdict::Fail);
        assert!(again.reason.unwrap().contains("stood still"));
    }

    #[test]
    fn a_rig_that_is_missing_is_a_skip_that_says_what_to_do() {
        let outcome = skipped(scenario::find("rig-self").unwrap(), "no kernel");
        assert_eq!(outcome.result, Verdict::Skip);
        assert_eq!(outcome.reason.unwrap(), format!("no kernel: {SETUP}"));
    }
}
