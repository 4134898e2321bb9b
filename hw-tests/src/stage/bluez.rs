//! What bluetoothd knows of adapters and devices, and what it is told to do.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::running::{run_fed, run_to_end};

const SERVICE: &str = "org.bluez";
const ADAPTER: &str = "org.bluez.Adapter1";
const DEVICE: &str = "org.bluez.Device1";
/// D-Bus gives up a call after 25 s by itself.
const CALL_MAX: Duration = Duration::from_secs(40);

/// All of bluetoothd's objects at one moment.
pub(crate) struct Objects(Value);

/// A device that bluetoothd knows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) path: String,
    pub(crate) address: String,
    pub(crate) name: Option<String>,
    pub(crate) is_connected: bool,
}

/// Makes a command of words: on which host, with which rights.
pub(super) type Commander<'a> = &'a dyn Fn(&[&str]) -> Command;

pub(super) fn objects(commander: Commander<'_>) -> anyhow::Result<Objects> {
    let words = ["busctl", "--system", "--json=short", "--auto-start=no", "call", SERVICE, "/"];
    let method = ["org.freedesktop.DBus.ObjectManager", "GetManagedObjects"];
    let reply = run_to_end(commander(&[&words[..], &method].concat()), CALL_MAX)?;
    Objects::parse(&reply.success("asking bluetoothd for its objects")?)
}

/// Switches an adapter on or off.
pub(super) fn power(commander: Commander<'_>, adapter: &str, on: bool) -> anyhow::Result<()> {
    let (path, value) = (format!("/org/bluez/{adapter}"), if on { "true" } else { "false" });
    let words =
        ["busctl", "--system", "set-property", SERVICE, &path, ADAPTER, "Powered", "b", value];
    run_to_end(commander(&words), CALL_MAX)?.success(&format!("switching {adapter} to {value}"))?;
    Ok(())
}

/// Connects to a device, without any node.
pub(super) fn connect(
    commander: Commander<'_>,
    device: &Device,
    limit: Duration,
) -> anyhow::Result<()> {
    let timeout = format!("--timeout={}", limit.as_secs());
    let words = ["busctl", "--system", &timeout, "call", SERVICE, &device.path, DEVICE, "Connect"];
    run_to_end(commander(&words), limit + CALL_MAX)?
        .success(&format!("connecting to {}", device.address))?;
    Ok(())
}

/// Takes down the connection to a device, behind the back of the node that uses it.
pub(super) fn disconnect(commander: Commander<'_>, device: &Device) -> anyhow::Result<()> {
    let words = ["busctl", "--system", "call", SERVICE, &device.path, DEVICE, "Disconnect"];
    run_to_end(commander(&words), CALL_MAX)?
        .success(&format!("disconnecting {}", device.address))?;
    Ok(())
}

/// Makes the kernel refuse every connection between an adapter and an address: to both, the other
/// one is in sight and out of reach.
pub(super) fn block(commander: Commander<'_>, adapter: &str, address: &str) -> anyhow::Result<()> {
    let words = ["btmgmt", "--index", adapter, "block", "-t", "le_public", address];
    // It does nothing while its input is closed.
    let said = run_fed(commander(&words), Stdio::piped(), CALL_MAX)?.success("btmgmt")?;
    ensure!(said.contains("succeeded"), "blocking {address} at {adapter}: {}", said.trim());
    Ok(())
}

impl Objects {
    fn parse(json: &str) -> anyhow::Result<Self> {
        let mut reply: Value = serde_json::from_str(json).context("bad JSON of busctl")?;
        match reply.pointer_mut("/data/0").map(Value::take) {
            Some(objects @ Value::Object(_)) => Ok(Self(objects)),
            _ => bail!("busctl gave no objects but {json}"),
        }
    }

    fn adapter(&self, adapter: &str) -> &Value {
        &self.0[format!("/org/bluez/{adapter}")][ADAPTER]
    }

    /// Whether an adapter is on; `None` if there is none of that name.
    pub(crate) fn is_powered(&self, adapter: &str) -> Option<bool> {
        self.adapter(adapter)["Powered"]["data"].as_bool()
    }

    pub(crate) fn address(&self, adapter: &str) -> Option<String> {
        self.adapter(adapter)["Address"]["data"].as_str().map(str::to_owned)
    }

    /// What an adapter has heard of.
    pub(crate) fn devices(&self, adapter: &str) -> Vec<Device> {
        let prefix = format!("/org/bluez/{adapter}/dev_");
        let all = self.0.as_object().into_iter().flatten();
        let ours =
            all.filter(|(path, object)| path.starts_with(&prefix) && object.get(DEVICE).is_some());
        ours.map(|(path, object)| {
            let property = |name: &str| &object[DEVICE][name]["data"];
            Device {
                path: path.clone(),
                address: property("Address").as_str().unwrap_or_default().to_owned(),
                name: property("Name").as_str().map(str::to_owned),
                is_connected: property("Connected").as_bool().unwrap_or_default(),
            }
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_and_devices_are_read_from_what_busctl_says() {
        let objects = Objects::parse(
            r#"{"type":"a{oa{sa{sv}}}","data":[{
                "/org/bluez":{},
                "/org/bluez/hci0":{"org.bluez.Adapter1":{
                    "Address":{"type":"s","data":"00:AA:01:00:00:00"},
                    "Powered":{"type":"b","data":true}}},
                "/org/bluez/hci0/dev_00_AA":{"org.bluez.Device1":{
                    "Address":{"type":"s","data":"00:AA"},
                    "Name":{"type":"s","data":"rig"},
                    "Connected":{"type":"b","data":true}}},
                "/org/bluez/hci0/dev_00_AA/service0001":{"org.bluez.GattService1":{}}}]}"#,
        )
        .unwrap();
        assert_eq!(objects.is_powered("hci0"), Some(true));
        assert_eq!(objects.is_powered("hci1"), None);
        assert_eq!(objects.address("hci0").as_deref(), Some("00:AA:01:00:00:00"));
        let device = Device {
            path: "/org/bluez/hci0/dev_00_AA".to_owned(),
            address: "00:AA".to_owned(),
            name: Some("rig".to_owned()),
            is_connected: true,
        };
        assert_eq!(objects.devices("hci0"), [device]);
        assert_eq!(objects.devices("hci1"), []);
        assert!(Objects::parse(r#"{"data":[]}"#).is_err());
    }
}
