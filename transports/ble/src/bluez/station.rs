//! An adapter that is there and switched on.

use std::sync::Arc;

use bluer::{Address, AddressType};
use hedgerow_driver::{ApproximateDistance, Endpoint};
use zbus::Connection;

use super::endpoint::DeviceAddress;
use super::objects::{Objects, State};
use crate::beacon::Psm;

/// What dials and the scan need to know of the adapter that is used.
#[derive(Clone, Debug)]
pub(super) struct Station {
    pub(super) connection: Connection,
    pub(super) objects: Arc<Objects>,
    /// The adapter's path.
    pub(super) adapter: String,
    /// Its address, for sockets that are to use it and no other.
    pub(super) address: Address,
    pub(super) address_type: AddressType,
    /// Where it listens for channels, if it does.
    pub(super) psm: Option<Psm>,
}

impl Station {
    /// The path of a device at an endpoint's address.
    pub(super) fn device_path(&self, address: Address) -> String {
        format!("{}/dev_{}", self.adapter, address.to_string().replace(':', "_"))
    }

    /// About how far away whoever is at an endpoint is, if the scan heard them lately.
    pub(super) fn distance(&self, endpoint: &Endpoint) -> Option<ApproximateDistance> {
        let device = DeviceAddress::parse(endpoint)?;
        self.objects.distance(&self.device_path(device.address))
    }
}

/// Which adapter is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This one, and it is on.
    Ready { adapter: String, address: String, is_random: bool, daemons: u64 },
    /// It is switched off.
    Off { adapter: String },
    /// There is none, or not the one that was asked for; these are there.
    Missing { others: Vec<String> },
    /// The daemon does not run.
    NoDaemon,
}

/// The adapter of this name, or else the first that is on, or else the first.
pub(super) fn choose(state: &State, name: Option<&str>) -> Choice {
    if !state.daemon {
        return Choice::NoDaemon;
    }
    let named = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let mut candidates: Vec<_> = state
        .adapters
        .iter()
        .filter(|(path, adapter)| {
            !adapter.address.is_empty() && name.is_none_or(|name| named(path) == name)
        })
        .collect();
    // A machine seldom has ten; hci2 comes before hci10.
    candidates.sort_by_key(|(path, adapter)| (!adapter.powered, path.len(), (*path).clone()));
    match candidates.first() {
        Some((path, adapter)) if adapter.powered => Choice::Ready {
            adapter: (*path).clone(),
            address: adapter.address.clone(),
            is_random: adapter.is_random,
            daemons: state.daemons,
        },
        Some((path, _)) => Choice::Off { adapter: named(path) },
        None => Choice::Missing { others: state.adapters.keys().map(|path| named(path)).collect() },
    }
}

#[cfg(test)]
mod tests {
    use super::super::objects::AdapterState;
    use super::*;

    fn state(adapters: &[(&str, bool)]) -> State {
        let adapters = adapters.iter().map(|&(name, powered)| {
            let address = "00:AA:01:00:00:42".to_owned();
            let adapter = AdapterState { address, powered, ..AdapterState::default() };
            (format!("/org/bluez/{name}"), adapter)
        });
        State { daemon: true, adapters: adapters.collect(), ..State::default() }
    }

    fn ready(choice: &Choice) -> Option<&str> {
        match choice {
            Choice::Ready { adapter, .. } => Some(adapter),
            _ => None,
        }
    }

    #[test]
    fn the_first_adapter_that_is_on_is_used() {
        let two = state(&[("hci10", true), ("hci2", true), ("hci0", false)]);
        assert_eq!(ready(&choose(&two, None)), Some("/org/bluez/hci2"));
        assert_eq!(ready(&choose(&two, Some("hci10"))), Some("/org/bluez/hci10"));
        assert_eq!(choose(&two, Some("hci0")), Choice::Off { adapter: "hci0".into() });
        let off = state(&[("hci0", false)]);
        assert_eq!(choose(&off, None), Choice::Off { adapter: "hci0".into() });
    }

    #[test]
    fn what_is_missing_is_told_apart() {
        assert_eq!(choose(&State::default(), None), Choice::NoDaemon);
        assert_eq!(choose(&state(&[]), None), Choice::Missing { others: vec![] });
        let other = Choice::Missing { others: vec!["hci0".into()] };
        assert_eq!(choose(&state(&[("hci0", true)]), Some("hci1")), other);
    }
}
