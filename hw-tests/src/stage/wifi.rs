//! The Wi-Fi of the guest: emulated radios, each in a network namespace with a bus and a
//! wpa_supplicant of its own, as if it were in a machine of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use super::host::{Host, Reach};
use super::radio::{Radio, socket};
use super::running::{Running, until};
use super::supplicant::Supplicant;

/// The kernel's module of emulated radios, in the share.
pub(crate) const MODULE: &str = "mac80211_hwsim.ko";

/// How long each part of it may take to come up, and to end.
const UP_MAX: Duration = Duration::from_secs(30);

/// The radios, with what serves them.
pub(crate) struct Wifi {
    sides: Vec<Side>,
}

/// What serves one radio.
struct Side {
    radio: Radio,
    host: Host,
    bus: Running,
    wpa_supplicant: Option<Running>,
    patience: u32,
    logs: PathBuf,
}

impl Wifi {
    /// Makes so many radios. Their hosts come after `host`, which is the only one, and are like it but
    /// for the network.
    pub(super) fn start(
        share: &Path,
        radios: usize,
        host: &Host,
        patience: u32,
        logs: &Path,
    ) -> anyhow::Result<Self> {
        if radios > 0 {
            let module = share.join(MODULE).to_string_lossy().into_owned();
            host.as_root(&["insmod", &module, &format!("radios={radios}")])?;
        }
        let sides = (0..radios).map(|number| {
            let radio = Radio::new(number, number + 1);
            let reach = Reach::Namespace(radio.namespace.clone());
            let inside = Host { name: radio.namespace.clone(), reach, ..host.clone() };
            move_into_namespace(&radio, host)?;
            Side::start(number, radio, inside, patience, logs)
        });
        let mut wifi = Self { sides: sides.collect::<anyhow::Result<_>>()? };
        // All of them first: they come up at the same time.
        for side in &mut wifi.sides {
            side.start_wpa_supplicant()?;
        }
        for side in &mut wifi.sides {
            side.await_wpa_supplicant()?;
        }
        Ok(wifi)
    }

    pub(super) fn radios(&self) -> impl Iterator<Item = &Radio> {
        self.sides.iter().map(|side| &side.radio)
    }

    /// The machines that the radios are in, to nodes and programs.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.sides.iter().map(|side| &side.host)
    }

    /// Ends a wpa_supplicant as the system does that stops a service: it says goodbye.
    pub(super) fn stop_wpa_supplicant(&mut self, radio: &Radio) -> anyhow::Result<()> {
        let side = self.side(radio)?;
        side.check()?;
        match side.wpa_supplicant.take() {
            Some(mut running) => running.terminate(UP_MAX * side.patience),
            None => Ok(()),
        }
    }

    /// Ends a wpa_supplicant as a crash does.
    pub(super) fn kill_wpa_supplicant(&mut self, radio: &Radio) -> anyhow::Result<()> {
        let side = self.side(radio)?;
        side.check()?;
        if let Some(mut running) = side.wpa_supplicant.take() {
            running.kill();
        }
        Ok(())
    }

    /// Starts a wpa_supplicant anew, whether it is there or not, and waits until it is up.
    pub(super) fn restart_wpa_supplicant(&mut self, radio: &Radio) -> anyhow::Result<()> {
        self.stop_wpa_supplicant(radio)?;
        let side = self.side(radio)?;
        side.start_wpa_supplicant()?;
        side.await_wpa_supplicant()
    }

    /// # Errors
    /// If something ended that nobody ended.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        self.sides.iter_mut().try_for_each(Side::check)
    }

    fn side(&mut self, radio: &Radio) -> anyhow::Result<&mut Side> {
        let mut sides = self.sides.iter_mut();
        sides.find(|side| side.radio == *radio).context("a radio of another stage")
    }
}

impl Side {
    /// Starts the bus.
    fn start(
        number: usize,
        radio: Radio,
        host: Host,
        patience: u32,
        logs: &Path,
    ) -> anyhow::Result<Self> {
        let conf = configuration(&radio);
        fs::write(conf_file(logs, &radio), conf).context("cannot write a configuration")?;
        let socket = socket(number);
        fs::create_dir_all(socket.parent().unwrap_or(Path::new("/run")))?;
        let mut bus = Command::new("dbus-daemon");
        bus.args(["--system", "--nofork", "--nopidfile"]).arg(format!("--address={}", radio.bus));
        let mut bus = Running::part(&format!("dbus-daemon-{}", radio.interface), bus, logs)?;
        until("the bus of a radio listens", UP_MAX * patience, || {
            bus.check()?;
            Ok(socket.exists())
        })?;
        Ok(Self { radio, host, bus, wpa_supplicant: None, patience, logs: logs.to_owned() })
    }

    fn start_wpa_supplicant(&mut self) -> anyhow::Result<()> {
        let Radio { interface, bus, .. } = &self.radio;
        let conf = conf_file(&self.logs, &self.radio).to_string_lossy().into_owned();
        let interface_argument = format!("-i{interface}");
        // It would be silent with `-s`, which packages start it with: nothing keeps a system log here.
        let words = ["wpa_supplicant", "-u", "-t", "-Dnl80211", &interface_argument, "-c", &conf];
        let mut command = self.host.command(&words);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", bus);
        let name = format!("wpa_supplicant-{interface}");
        self.wpa_supplicant = Some(Running::part(&name, command, &self.logs)?);
        Ok(())
    }

    fn await_wpa_supplicant(&mut self) -> anyhow::Result<()> {
        until("wpa_supplicant has its radio", UP_MAX * self.patience, || {
            self.check()?;
            Ok(Supplicant::new(&self.host, &self.radio).is_up())
        })?;
        Ok(())
    }

    fn check(&mut self) -> anyhow::Result<()> {
        let all = [&mut self.bus].into_iter().chain(self.wpa_supplicant.as_mut());
        all.into_iter().try_for_each(Running::check)
    }
}

/// Makes the namespace of a radio, and moves the radio there.
fn move_into_namespace(radio: &Radio, host: &Host) -> anyhow::Result<()> {
    let Radio { namespace, interface, .. } = radio;
    host.as_root(&["ip", "netns", "add", namespace])?;
    host.as_root(&["ip", "-n", namespace, "link", "set", "lo", "up"])?;
    let phy = format!("/sys/class/net/{interface}/phy80211/name");
    let phy = fs::read_to_string(phy).with_context(|| format!("there is no {interface}"))?;
    host.as_root(&["iw", "phy", phy.trim(), "set", "netns", "name", namespace])?;
    Ok(())
}

fn conf_file(logs: &Path, radio: &Radio) -> PathBuf {
    logs.join(format!("wpa_supplicant-{}.conf", radio.interface))
}

/// What wpa_supplicant is told: a group gets an interface of its own, beside the radio's.
fn configuration(radio: &Radio) -> String {
    format!(
        "ctrl_interface=/run/wpa_supplicant-{}\n\
         device_name={}\n\
         device_type=10-0050F204-5\n\
         config_methods=virtual_push_button display keypad\n\
         update_config=0\n\
         p2p_no_group_iface=0\n",
        radio.interface,
        radio.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wpa_supplicant_has_a_configuration_of_its_own() {
        let conf = configuration(&Radio::new(1, 2));
        assert!(conf.contains("device_name=radio1\n") && conf.contains("wpa_supplicant-wlan1\n"));
    }
}
