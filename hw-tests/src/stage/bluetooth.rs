//! The Bluetooth of the guest: a bus, an emulator of controllers, and bluetoothd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use super::host::local_command;
use super::running::{Running, until};

const SOCKET: &str = "/run/dbus/system_bus_socket";
const BLUETOOTHD: &str = "/usr/libexec/bluetooth/bluetoothd";

/// How long each of them may take to come up.
const UP_MAX: Duration = Duration::from_secs(30);
/// How often the adapters are made anew. The kernel gives up an adapter whose first answer takes
/// over 2 s, which one does on a machine that is busy elsewhere.
const EMULATORS_MAX: u32 = 5;

/// The three of them, running.
pub(crate) struct Bluetooth {
    bus: Running,
    emulator: Running,
    bluetoothd: Option<Running>,
    adapters: usize,
    patience: u32,
    share: PathBuf,
    logs: PathBuf,
}

impl Bluetooth {
    pub(super) fn start(
        share: &Path,
        adapters: usize,
        patience: u32,
        logs: &Path,
    ) -> anyhow::Result<Self> {
        let limit = UP_MAX * patience;
        let mut bus = Command::new("dbus-daemon");
        bus.args(["--system", "--nofork", "--nopidfile"]);
        let bus = Running::part("dbus-daemon", bus, logs)?;
        until("the bus listens", limit, || Ok(Path::new(SOCKET).exists()))?;
        let emulator = start_emulator(share, adapters, limit, logs)?;
        let (share, logs) = (share.to_owned(), logs.to_owned());
        let mut bluetooth =
            Self { bus, emulator, bluetoothd: None, adapters, patience, share, logs };
        let mut emulators = 1;
        loop {
            match bluetooth.start_bluetoothd(None) {
                Err(_) if emulators < EMULATORS_MAX && !bluetooth.has_adapters() => {}
                done => return done.map(|()| bluetooth),
            }
            emulators += 1;
            println!("guest: an adapter does not come up; all are made anew");
            bluetooth.stop_bluetoothd()?;
            bluetooth.emulator.kill();
            until("the adapters of before are gone", limit, || Ok(!sysfs(0).exists()))?;
            bluetooth.emulator =
                start_emulator(&bluetooth.share, adapters, limit, &bluetooth.logs)?;
        }
    }

    /// Whether bluetoothd has all of them, and they are on.
    fn has_adapters(&self) -> bool {
        super::bluez::objects(&local_command).is_ok_and(|objects| {
            let is_on = |number| objects.is_powered(&format!("hci{number}")) == Some(true);
            (0..self.adapters).all(is_on)
        })
    }

    /// Kills bluetoothd and starts it anew, with this as its main.conf if given.
    pub(super) fn restart_bluetoothd(&mut self, main_conf: Option<&str>) -> anyhow::Result<()> {
        self.stop_bluetoothd()?;
        self.start_bluetoothd(main_conf)
    }

    /// Kills bluetoothd.
    pub(super) fn stop_bluetoothd(&mut self) -> anyhow::Result<()> {
        self.check()?;
        if let Some(mut running) = self.bluetoothd.take() {
            running.kill();
        }
        Ok(())
    }

    fn start_bluetoothd(&mut self, main_conf: Option<&str>) -> anyhow::Result<()> {
        let mut command = Command::new(BLUETOOTHD);
        command.arg("--nodetach");
        if let Some(text) = main_conf {
            let file = self.logs.join("main.conf");
            fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
            command.arg("--configfile").arg(file);
            command.env("LD_PRELOAD", self.share.join("small_mtu.so"));
        }
        self.bluetoothd = Some(Running::part("bluetoothd", command, &self.logs)?);
        until("bluetoothd has its adapters", UP_MAX * self.patience, || {
            self.check()?;
            Ok(self.has_adapters())
        })?;
        Ok(())
    }

    /// # Errors
    /// If one of them ended that nobody ended.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        let all = [&mut self.bus, &mut self.emulator].into_iter().chain(self.bluetoothd.as_mut());
        all.into_iter().try_for_each(Running::check)
    }
}

/// Without its `-L`: adapters that know only the old commands cannot advertise and scan at the same
/// time.
fn start_emulator(
    share: &Path,
    adapters: usize,
    limit: Duration,
    logs: &Path,
) -> anyhow::Result<Running> {
    let mut emulator = Command::new(share.join("btvirt"));
    emulator.arg(format!("-l{adapters}"));
    let emulator = Running::part("btvirt", emulator, logs)?;
    let last = sysfs(adapters.saturating_sub(1));
    until("btvirt makes its adapters", limit, || Ok(last.exists()))?;
    Ok(emulator)
}

/// Where the kernel shows an adapter.
fn sysfs(adapter: usize) -> PathBuf {
    PathBuf::from(format!("/sys/class/bluetooth/hci{adapter}"))
}
