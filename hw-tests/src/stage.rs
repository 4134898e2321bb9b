//! What scenarios act on: hosts, adapters, nodes, and faults. The same for both rigs.

mod bluetooth;
pub(crate) mod bluez;
mod cutter;
pub(crate) mod host;
mod node;
mod radio;
pub(crate) mod running;
pub(crate) mod supplicant;
pub(crate) mod wifi;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, anyhow};

use crate::outcome::Skip;
use bluetooth::Bluetooth;
use bluez::{Device, Objects};
pub(crate) use cutter::Cutter;
use host::{Host, Reach};
pub(crate) use node::Node;
pub(crate) use radio::Radio;
use running::until;
use supplicant::Supplicant;
pub(crate) use wifi::MODULE;
use wifi::Wifi;

/// An adapter of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Adapter {
    /// Index of its host.
    host: usize,
    /// As the kernel calls it: `hci0`.
    pub(crate) name: String,
}

/// Which stage it is, and what only that one has.
enum Ground {
    Virtual(Box<Emulated>),
    Real,
}

/// What the guest has in place of a machine's own.
struct Emulated {
    /// Where a scenario has adapters.
    bluetooth: Option<Bluetooth>,
    wifi: Wifi,
}

/// Hosts with adapters and radios, for one scenario.
pub(crate) struct Stage {
    hosts: Vec<Host>,
    adapters: Vec<Adapter>,
    radios: Vec<Radio>,
    ground: Ground,
    /// On every host: where nodes have their folders.
    homes: String,
    network: String,
    logs: PathBuf,
    patience: u32,
    seed: u32,
}

impl Stage {
    /// The guest of a virtual machine, with so many emulated adapters and radios.
    pub(crate) fn virtual_one(
        share: &Path,
        adapters: usize,
        radios: usize,
        patience: u32,
        seed: u32,
    ) -> anyhow::Result<Self> {
        let logs = share.join("logs");
        std::fs::create_dir_all(&logs).context("cannot make the folder of logs")?;
        let hedgerow = share.join("hedgerow").to_string_lossy().into_owned();
        let host =
            Host { name: "guest".to_owned(), reach: Reach::Local, hedgerow, sudo: Vec::new() };
        let wifi = Wifi::start(share, radios, &host, patience, &logs).context("Wi-Fi")?;
        let bluetooth = (adapters > 0)
            .then(|| Bluetooth::start(share, adapters, patience, &logs))
            .transpose()?;
        Ok(Self {
            hosts: [host].iter().chain(wifi.hosts()).cloned().collect(),
            radios: wifi.radios().cloned().collect(),
            adapters: (0..adapters)
                .map(|number| Adapter { host: 0, name: format!("hci{number}") })
                .collect(),
            ground: Ground::Virtual(Box::new(Emulated { bluetooth, wifi })),
            homes: "/tmp/nodes".to_owned(),
            network: "rig".to_owned(),
            logs,
            patience,
            seed,
        })
    }

    /// Real hosts, each with its adapters.
    pub(crate) fn real_one(
        hosts: &[(Host, Vec<String>)],
        logs: &Path,
        seed: u32,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(logs).context("cannot make the folder of logs")?;
        let adapters = hosts.iter().enumerate().flat_map(|(host, (_, names))| {
            names.iter().map(move |name| Adapter { host, name: name.clone() })
        });
        // Others may run the same in the same room.
        let run = format!("hedgerow-rig-{}", std::process::id());
        Ok(Self {
            adapters: adapters.collect(),
            radios: Vec::new(),
            hosts: hosts.iter().map(|(host, _)| host.clone()).collect(),
            ground: Ground::Real,
            homes: format!("/tmp/{run}"),
            network: run,
            logs: logs.to_owned(),
            patience: 1,
            seed,
        })
    }

    pub(crate) fn adapter(&self, index: usize) -> anyhow::Result<Adapter> {
        self.adapters.get(index).cloned().ok_or_else(|| {
            let reason = format!("needs {} adapters, has {}", index + 1, self.adapters.len());
            anyhow!(Skip(reason))
        })
    }

    pub(crate) fn radio(&self, index: usize) -> anyhow::Result<Radio> {
        self.radios.get(index).cloned().ok_or_else(|| {
            let reason = format!("needs {} radios, has {}", index + 1, self.radios.len());
            anyhow!(Skip(reason))
        })
    }

    /// Whether nothing on it is anybody's own.
    pub(crate) fn is_virtual(&self) -> bool {
        matches!(self.ground, Ground::Virtual(_))
    }

    /// Whether an adapter is one of the machine that this runs on.
    pub(crate) fn is_local(&self, adapter: &Adapter) -> bool {
        self.hosts.get(adapter.host).is_some_and(|host| host.reach == Reach::Local)
    }

    /// A limit for this stage, from one for a machine of iron.
    pub(crate) fn limit(&self, seconds: u64) -> Duration {
        Duration::from_secs(seconds) * self.patience
    }

    /// What everything that is left to chance follows from.
    pub(crate) fn seed(&self) -> u32 {
        self.seed
    }

    pub(crate) fn logs(&self) -> &Path {
        &self.logs
    }

    /// Starts a node that has nothing but this adapter, and `more` in its configuration.
    pub(crate) fn node(&self, name: &str, adapter: &Adapter, more: &str) -> anyhow::Result<Node> {
        let config = format!(
            "[transports.lan]\nenabled = false\n[transports.ble]\nenabled = true\n\
             adapter = \"{}\"\n{more}\n",
            adapter.name
        );
        self.node_of(name, adapter.host, &config)
    }

    /// Starts a node that has this radio, an adapter if given, and no other network. `more` follows
    /// in its configuration, outside of any section: `transports.wifi_direct.x = 1`. The adapter has
    /// no channels of L2CAP there: the kernel has sockets of Bluetooth in its first namespace only.
    pub(crate) fn node_with_radio(
        &self,
        name: &str,
        radio: &Radio,
        adapter: Option<&Adapter>,
        more: &str,
    ) -> anyhow::Result<Node> {
        self.node_of(name, radio.host, &with_radio(radio, adapter, more))
    }

    /// The same with all of its configuration given.
    pub(crate) fn node_beside(
        &self,
        name: &str,
        radio: &Radio,
        config: &str,
    ) -> anyhow::Result<Node> {
        self.node_of(name, radio.host, config)
    }

    /// A program to run in the namespace of a radio.
    pub(crate) fn program(&self, radio: &Radio, words: &[&str]) -> Command {
        self.hosts[radio.host].command(words)
    }

    /// The wpa_supplicant of a radio.
    pub(crate) fn supplicant<'a>(&'a self, radio: &'a Radio) -> Supplicant<'a> {
        Supplicant::new(&self.hosts[radio.host], radio)
    }

    /// Fault: a radio's wpa_supplicant ends, if it is there, and starts anew.
    pub(crate) fn restart_wpa_supplicant(&mut self, radio: &Radio) -> anyhow::Result<()> {
        self.wifi()?.restart_wpa_supplicant(radio)
    }

    /// Fault: a radio's wpa_supplicant is stopped as a service is, until it is restarted.
    pub(crate) fn stop_wpa_supplicant(&mut self, radio: &Radio) -> anyhow::Result<()> {
        self.wifi()?.stop_wpa_supplicant(radio)
    }

    /// Fault: a radio's wpa_supplicant crashes, and is not there until it is restarted.
    pub(crate) fn kill_wpa_supplicant(&mut self, radio: &Radio) -> anyhow::Result<()> {
        self.wifi()?.kill_wpa_supplicant(radio)
    }

    fn wifi(&mut self) -> anyhow::Result<&mut Wifi> {
        match &mut self.ground {
            Ground::Virtual(emulated) => Ok(&mut emulated.wifi),
            Ground::Real => Err(Skip("needs radios: only the virtual rig".to_owned()).into()),
        }
    }

    /// Starts a node with all of its configuration given.
    pub(crate) fn node_of(&self, name: &str, host: usize, config: &str) -> anyhow::Result<Node> {
        let place = node::Place {
            host: self.hosts[host].clone(),
            folder: format!("{}/{name}", self.homes),
            network: self.network.clone(),
            log: self.logs.join(format!("node-{name}.log")),
            patience: self.patience,
        };
        Node::start(name, place, config)
    }

    /// A new secret of a closed network: its file, on this machine.
    pub(crate) fn secret(&self, name: &str) -> anyhow::Result<String> {
        let local = self.hosts.iter().find(|host| host.reach == Reach::Local);
        let host = local.context("this machine is none of the stage's hosts")?;
        let file = format!("{}/{name}.secret", self.homes);
        let make = r#"umask 077 && mkdir -p "$1" && rm -f "$2" && "$3" secret "$2""#;
        let made = host.shell(make, &[&self.homes, &file, &host.hedgerow])?;
        made.success("making a secret")?;
        Ok(file)
    }

    /// What bluetoothd of an adapter's host knows.
    pub(crate) fn objects(&self, adapter: &Adapter) -> anyhow::Result<Objects> {
        let host = &self.hosts[adapter.host];
        bluez::objects(&|words| host.command(words))
    }

    /// The address that others know an adapter by.
    pub(crate) fn address(&self, adapter: &Adapter) -> anyhow::Result<String> {
        self.objects(adapter)?.address(&adapter.name).context("an adapter without an address")
    }

    /// The devices that an adapter is connected to.
    pub(crate) fn connected(&self, adapter: &Adapter) -> anyhow::Result<Vec<Device>> {
        let devices = self.objects(adapter)?.devices(&adapter.name);
        Ok(devices.into_iter().filter(|device| device.is_connected).collect())
    }

    /// Connects an adapter to a device, without any node.
    pub(crate) fn connect(
        &self,
        adapter: &Adapter,
        device: &Device,
        limit: Duration,
    ) -> anyhow::Result<()> {
        let host = &self.hosts[adapter.host];
        bluez::connect(&|words| host.command(words), device, limit)
    }

    /// Puts two adapters out of each other's reach, though each still hears the other. For good,
    /// in the virtual rig only: on real hosts it would stay after the scenario.
    pub(crate) fn part(&self, one: &Adapter, other: &Adapter) -> anyhow::Result<()> {
        if let Ground::Real = self.ground {
            let reason = "needs adapters out of reach of each other: only the virtual rig";
            return Err(Skip(reason.to_owned()).into());
        }
        for (adapter, far) in [(one, other), (other, one)] {
            let address = self.address(far)?;
            let host = &self.hosts[adapter.host];
            bluez::block(&|words| host.root_command(words), &adapter.name, &address)?;
        }
        Ok(())
    }

    /// Fault: takes down a connection behind the node's back.
    pub(crate) fn disconnect(&self, adapter: &Adapter, device: &Device) -> anyhow::Result<()> {
        let host = &self.hosts[adapter.host];
        bluez::disconnect(&|words| host.root_command(words), device)
    }

    /// What takes down connections of an adapter at once.
    pub(crate) fn cutter(&self, adapter: &Adapter) -> anyhow::Result<Cutter> {
        let host = &self.hosts[adapter.host];
        let log = self.logs.join(format!("btmgmt-{}.log", adapter.name));
        Cutter::start(|words| host.root_command(words), &adapter.name, &log, self.limit(20))
    }

    /// Fault: an adapter is switched off, or on again.
    pub(crate) fn power(&self, adapter: &Adapter, on: bool) -> anyhow::Result<()> {
        let host = &self.hosts[adapter.host];
        bluez::power(&|words| host.root_command(words), &adapter.name, on)?;
        until("the adapter does as it was told", self.limit(20), || {
            Ok(self.objects(adapter)?.is_powered(&adapter.name) == Some(on))
        })?;
        Ok(())
    }

    /// Fault: bluetoothd of an adapter's host ends and starts anew.
    pub(crate) fn restart_bluetoothd(&mut self, adapter: &Adapter) -> anyhow::Result<()> {
        if let Some(bluetooth) = self.bluetooth()? {
            return bluetooth.restart_bluetoothd(None);
        }
        self.hosts[adapter.host].as_root(&["systemctl", "restart", "bluetooth"])?;
        until("bluetoothd has its adapter again", self.limit(30), || {
            Ok(self.objects(adapter).is_ok_and(|o| o.is_powered(&adapter.name) == Some(true)))
        })?;
        Ok(())
    }

    /// Fault: bluetoothd is not there, until it is restarted.
    pub(crate) fn stop_bluetoothd(&mut self, adapter: &Adapter) -> anyhow::Result<()> {
        if let Some(bluetooth) = self.bluetooth()? {
            return bluetooth.stop_bluetoothd();
        }
        self.hosts[adapter.host].as_root(&["systemctl", "stop", "bluetooth"])?;
        Ok(())
    }

    /// Fault: bluetoothd starts anew with this main.conf. Nobody's own one is touched.
    pub(crate) fn configure_bluetoothd(&mut self, main_conf: &str) -> anyhow::Result<()> {
        match self.bluetooth()? {
            Some(bluetooth) => bluetooth.restart_bluetoothd(Some(main_conf)),
            None => Err(Skip(
                "needs bluetoothd with a configuration of its own: only the virtual rig".to_owned(),
            )
            .into()),
        }
    }

    /// The emulated one, of a virtual rig.
    fn bluetooth(&mut self) -> anyhow::Result<Option<&mut Bluetooth>> {
        match &mut self.ground {
            Ground::Virtual(emulated) => {
                emulated.bluetooth.as_mut().context("the scenario has no adapters").map(Some)
            }
            Ground::Real => Ok(None),
        }
    }

    /// # Errors
    /// If something of the stage itself broke, which is no fault of the nodes.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match &mut self.ground {
            Ground::Virtual(emulated) => {
                emulated.bluetooth.as_mut().map_or(Ok(()), Bluetooth::check)?;
                emulated.wifi.check()
            }
            Ground::Real => Ok(()),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Ground::Real = self.ground {
            for host in &self.hosts {
                // A host that is gone by now keeps a few small files.
                let _ = host.shell(r#"rm -rf "$1""#, &[&self.homes]);
            }
        }
    }
}

/// The configuration of a node that has a radio, and an adapter if given.
fn with_radio(radio: &Radio, adapter: Option<&Adapter>, more: &str) -> String {
    let Radio { interface, bus, .. } = radio;
    let mut config = format!(
        "transports.lan.enabled = false\n\
         transports.wifi_direct.enabled = true\n\
         transports.wifi_direct.interface = \"{interface}\"\n\
         transports.wifi_direct.bus = \"{bus}\"\n"
    );
    match adapter {
        Some(Adapter { name, .. }) => {
            config +=
                &format!("transports.ble.enabled = true\ntransports.ble.adapter = \"{name}\"\n");
        }
        None => config += "transports.ble.enabled = false\n",
    }
    config + more + "\n"
}

#[cfg(test)]
mod tests {
    use toml::Table;

    use super::*;

    #[test]
    fn a_node_with_a_radio_has_it_and_an_adapter_only_if_that_is_given() {
        let radio = Radio {
            host: 1,
            namespace: "radio0".to_owned(),
            bus: "unix:path=/run/bus-0/sock".to_owned(),
            interface: "wlan0".to_owned(),
        };
        let adapter = Adapter { host: 0, name: "hci1".to_owned() };
        let more = "transports.wifi_direct.more = 1\n[connect]\ntcp_servers = []";
        let of = |adapter| with_radio(&radio, adapter, more).parse::<Table>().unwrap();
        let alone = of(None);
        let transports = &alone["transports"];
        assert_eq!(transports["wifi_direct"]["interface"].as_str(), Some("wlan0"));
        assert_eq!(transports["wifi_direct"]["bus"].as_str(), Some("unix:path=/run/bus-0/sock"));
        assert_eq!(transports["wifi_direct"]["more"].as_integer(), Some(1));
        assert_eq!(transports["lan"]["enabled"].as_bool(), Some(false));
        assert_eq!(transports["ble"]["enabled"].as_bool(), Some(false));
        assert!(alone["connect"]["tcp_servers"].is_array());
        let both = of(Some(&adapter));
        assert_eq!(both["transports"]["ble"]["adapter"].as_str(), Some("hci1"));
        assert_eq!(both["transports"]["ble"]["enabled"].as_bool(), Some(true));
    }
}
