//! What scenarios act on: hosts, adapters, nodes, and faults. The same for both rigs.

mod bluetooth;
pub(crate) mod bluez;
mod cutter;
pub(crate) mod host;
mod node;
pub(crate) mod running;

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
use running::until;

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
    Virtual(Box<Bluetooth>),
    Real,
}

/// Hosts with adapters, for one scenario.
pub(crate) struct Stage {
    hosts: Vec<Host>,
    adapters: Vec<Adapter>,
    ground: Ground,
    /// On every host: where nodes have their folders.
    homes: String,
    network: String,
    logs: PathBuf,
    patience: u32,
    seed: u32,
}

impl Stage {
    /// The guest of a virtual machine, with so many emulated adapters.
    pub(crate) fn virtual_one(
        share: &Path,
        adapters: usize,
        patience: u32,
        seed: u32,
    ) -> anyhow::Result<Self> {
        let logs = share.join("logs");
        std::fs::create_dir_all(&logs).context("cannot make the folder of logs")?;
        let bluetooth = Bluetooth::start(share, adapters, patience, &logs)?;
        let hedgerow = share.join("hedgerow").to_string_lossy().into_owned();
        let host =
            Host { name: "guest".to_owned(), reach: Reach::Local, hedgerow, sudo: Vec::new() };
        Ok(Self {
            hosts: vec![host],
            adapters: (0..adapters)
                .map(|number| Adapter { host: 0, name: format!("hci{number}") })
                .collect(),
            ground: Ground::Virtual(Box::new(bluetooth)),
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
        if let Ground::Virtual(bluetooth) = &mut self.ground {
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
        if let Ground::Virtual(bluetooth) = &mut self.ground {
            return bluetooth.stop_bluetoothd();
        }
        self.hosts[adapter.host].as_root(&["systemctl", "stop", "bluetooth"])?;
        Ok(())
    }

    /// Fault: bluetoothd starts anew with this main.conf. Nobody's own one is touched.
    pub(crate) fn configure_bluetoothd(&mut self, main_conf: &str) -> anyhow::Result<()> {
        match &mut self.ground {
            Ground::Virtual(bluetooth) => bluetooth.restart_bluetoothd(Some(main_conf)),
            Ground::Real => Err(Skip(
                "needs bluetoothd with a configuration of its own: only the virtual rig".to_owned(),
            )
            .into()),
        }
    }

    /// # Errors
    /// If something of the stage itself broke, which is no fault of the nodes.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match &mut self.ground {
            Ground::Virtual(bluetooth) => bluetooth.check(),
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

/// A command of this machine.
fn local_command(words: &[&str]) -> Command {
    let mut command = Command::new(words.first().copied().unwrap_or("true"));
    command.args(words.iter().skip(1));
    command
}
