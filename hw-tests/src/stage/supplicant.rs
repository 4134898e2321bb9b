//! What the wpa_supplicant of a radio knows of peers and groups, and what it is told to do.

use std::net::Ipv6Addr;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;

use super::host::Host;
use super::radio::Radio;
use super::running::run_to_end;

const SERVICE: &str = "fi.w1.wpa_supplicant1";
const ROOT: &str = "/fi/w1/wpa_supplicant1";
const P2P: &str = "fi.w1.wpa_supplicant1.Interface.P2PDevice";
const PEER: &str = "fi.w1.wpa_supplicant1.Peer";
/// D-Bus gives up a call after 25 s by itself.
const CALL_MAX: Duration = Duration::from_secs(40);

/// A wpa_supplicant, asked anew each time: it may be another process by then.
pub(crate) struct Supplicant<'a> {
    host: &'a Host,
    radio: &'a Radio,
}

/// The interface of a group, as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) interface: String,
    /// What the scope of its addresses is.
    pub(crate) index: u32,
    /// Whether it carries data: keys are agreed.
    pub(crate) is_up: bool,
    /// The one of the link alone, once the kernel knows that nobody else has it.
    pub(crate) address: Option<Ipv6Addr>,
}

impl<'a> Supplicant<'a> {
    pub(super) fn new(host: &'a Host, radio: &'a Radio) -> Self {
        Self { host, radio }
    }

    /// Whether it answers and has the radio.
    pub(super) fn is_up(&self) -> bool {
        self.peers().is_ok()
    }

    /// Makes it look for others, and show itself, until it is told something else.
    pub(crate) fn find(&self) -> anyhow::Result<()> {
        self.call(&self.device()?, P2P, &["Find", "a{sv}", "0"])?;
        Ok(())
    }

    /// Makes it forget whom it has found.
    pub(crate) fn flush(&self) -> anyhow::Result<()> {
        self.call(&self.device()?, P2P, &["Flush"])?;
        Ok(())
    }

    /// The paths of those that it has found.
    pub(crate) fn peers(&self) -> anyhow::Result<Vec<String>> {
        let peers = self.property(&self.device()?, P2P, "Peers")?;
        let paths = peers.as_array().context("`Peers` is no list")?.iter();
        Ok(paths.filter_map(|path| path.as_str().map(str::to_owned)).collect())
    }

    /// The path of another radio, if it was found.
    pub(crate) fn peer(&self, other: &Radio) -> anyhow::Result<Option<String>> {
        let is_it = |path: &String| {
            // It may be gone by now.
            let name = self.property(path, PEER, "DeviceName");
            name.is_ok_and(|name| name == other.name())
        };
        Ok(self.peers()?.into_iter().find(is_it))
    }

    /// Forms a group with another radio, which has to ask for it, too. Whose intent is higher owns
    /// the group; it is below 16.
    pub(crate) fn connect(&self, other: &Radio, intent: u8) -> anyhow::Result<()> {
        let peer = self.peer(other)?;
        let peer = peer.with_context(|| format!("{} is not found", other.name()))?;
        let intent = intent.to_string();
        let how = ["wps_method", "s", "pbc", "go_intent", "i", &intent];
        let words = [&["Connect", "a{sv}", "3", "peer", "o", &peer][..], &how].concat();
        self.call(&self.device()?, P2P, &words)?;
        Ok(())
    }

    /// The group that the radio is in, if any.
    pub(crate) fn group(&self) -> anyhow::Result<Option<Group>> {
        let reply = run_to_end(self.host.command(&["ip", "-json", "address"]), CALL_MAX)?;
        let said = reply.success("asking for the interfaces")?;
        group_of(&said, &format!("p2p-{}-", self.radio.interface))
    }

    /// Whether the radio owns this group of its.
    pub(crate) fn is_owner(&self, group: &Group) -> anyhow::Result<bool> {
        let path = self.path(&group.interface)?;
        Ok(self.property(&path, P2P, "Role")? == "GO")
    }

    /// Leaves a group; its owner ends it.
    pub(crate) fn leave(&self, group: &Group) -> anyhow::Result<()> {
        self.call(&self.path(&group.interface)?, P2P, &["Disconnect"])?;
        Ok(())
    }

    fn device(&self) -> anyhow::Result<String> {
        self.path(&self.radio.interface)
    }

    /// The object of an interface.
    fn path(&self, interface: &str) -> anyhow::Result<String> {
        let reply = self.call(ROOT, SERVICE, &["GetInterface", "s", interface])?;
        let path = reply.pointer("/data/0").and_then(Value::as_str);
        Ok(path.with_context(|| format!("no path but {reply}"))?.to_owned())
    }

    fn property(&self, path: &str, of: &str, name: &str) -> anyhow::Result<Value> {
        let mut reply = self.busctl(&["get-property", SERVICE, path, of, name])?;
        Ok(reply["data"].take())
    }

    fn call(&self, path: &str, of: &str, words: &[&str]) -> anyhow::Result<Value> {
        self.busctl(&[&["call", SERVICE, path, of], words].concat())
    }

    fn busctl(&self, words: &[&str]) -> anyhow::Result<Value> {
        let bus = format!("--address={}", self.radio.bus);
        let line = [&["busctl", &bus, "--json=short", "--auto-start=no"], words].concat();
        let what = format!("{}: {}", self.radio.namespace, words.join(" "));
        let said = run_to_end(self.host.command(&line), CALL_MAX)?.success(&what)?;
        // A call that answers nothing prints nothing.
        if said.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&said).with_context(|| format!("{what}: bad JSON: {said}"))
    }
}

/// An interface in what `ip -json address` prints.
#[derive(Deserialize)]
struct Interface {
    ifname: String,
    ifindex: u32,
    #[serde(default)]
    operstate: String,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(default)]
    scope: String,
    #[serde(default)]
    local: String,
    #[serde(default)]
    tentative: bool,
    #[serde(default)]
    dadfailed: bool,
}

/// The group among these interfaces: the one whose name begins so.
fn group_of(json: &str, prefix: &str) -> anyhow::Result<Option<Group>> {
    let all: Vec<Interface> =
        serde_json::from_str(json).with_context(|| format!("bad JSON of ip: {json}"))?;
    let mut groups = all.into_iter().filter(|interface| interface.ifname.starts_with(prefix));
    let Some(Interface { ifname, ifindex, operstate, addr_info }) = groups.next() else {
        return Ok(None);
    };
    if let Some(another) = groups.next() {
        bail!("two groups at once, {ifname} and {}", another.ifname);
    }
    let usable = addr_info.iter().filter(|a| a.scope == "link" && !a.tentative && !a.dadfailed);
    Ok(Some(Group {
        interface: ifname,
        index: ifindex,
        // An interface that is merely associated is dormant.
        is_up: operstate == "UP",
        address: usable.filter_map(|address| address.local.parse().ok()).next(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(state: &str, flags: &str) -> Option<Group> {
        let json = format!(
            r#"[{{"ifindex":1,"ifname":"lo","operstate":"UNKNOWN","addr_info":[]}},
               {{"ifindex":3,"ifname":"wlan0","operstate":"DOWN","addr_info":[]}},
               {{"ifindex":5,"ifname":"p2p-wlan0-1","operstate":"{state}","addr_info":[
                 {{"family":"inet","local":"10.0.0.1","prefixlen":24,"scope":"global"}},
                 {{"family":"inet6","local":"fe80::ff:fe00:0","prefixlen":64,"scope":"link"{flags}}}]}}]"#
        );
        group_of(&json, "p2p-wlan0-").unwrap()
    }

    #[test]
    fn a_group_is_up_once_it_carries_data() {
        assert!(group("UP", "").unwrap().is_up);
        assert!(!group("DORMANT", "").unwrap().is_up);
    }

    #[test]
    fn an_address_is_usable_once_it_is_known_to_be_nobody_elses() {
        let address = |flags| group("UP", flags).unwrap().address;
        assert_eq!(address(""), Some("fe80::ff:fe00:0".parse().unwrap()));
        assert_eq!(address(r#","tentative":true"#), None);
        assert_eq!(address(r#","dadfailed":true"#), None);
    }

    #[test]
    fn a_group_is_told_from_other_interfaces_and_two_are_an_error() {
        let one = r#"{"ifindex":5,"ifname":"p2p-wlan0-1"}"#;
        let of = |json: &str, prefix| group_of(json, prefix);
        assert_eq!(of(&format!("[{one}]"), "p2p-wlan1-").unwrap(), None);
        assert_eq!(of(&format!("[{one}]"), "p2p-wlan0-").unwrap().unwrap().index, 5);
        assert!(of(&format!("[{one},{one}]"), "p2p-wlan0-").is_err());
    }
}
