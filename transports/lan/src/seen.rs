//! Who was seen where, as far as the core was told.

use std::collections::{BTreeSet, HashMap};

use hedgerow_driver::{Beacon, Endpoint, Sighting};

/// Instances that are remembered; on a network with more, the rest is not seen.
const INSTANCES_MAX: usize = 512;
/// Endpoints of one instance.
const ENDPOINTS_MAX: usize = 16;

/// The endpoints of each instance.
///
/// Two instances may show the same endpoint for a while, when a peer takes a new name; it is
/// lost when the last of both is gone.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    instances: HashMap<String, BTreeSet<Endpoint>>,
}

/// What to report.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) sighted: Vec<Sighting>,
    pub(crate) lost: Vec<Endpoint>,
}

/// There was no room for all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Seen {
    /// An instance is where `endpoints` say, and nowhere else. What is beyond the limits is left
    /// out.
    pub(crate) fn update(
        &mut self,
        instance: &str,
        beacon: Beacon,
        mut endpoints: Vec<Endpoint>,
    ) -> (Changes, Result<(), Full>) {
        let known = self.instances.contains_key(instance);
        if !known && self.instances.len() >= INSTANCES_MAX {
            return (Changes::default(), Err(Full));
        }
        let room = if endpoints.len() > ENDPOINTS_MAX { Err(Full) } else { Ok(()) };
        endpoints.truncate(ENDPOINTS_MAX);
        let now: BTreeSet<Endpoint> = endpoints.iter().cloned().collect();
        let before = self.instances.insert(instance.to_owned(), now).unwrap_or_default();
        let sighted = endpoints
            .into_iter()
            .map(|endpoint| Sighting { endpoint, beacon: Some(beacon) })
            .collect();
        (Changes { sighted, lost: self.without(before) }, room)
    }

    /// An instance is gone.
    pub(crate) fn remove(&mut self, instance: &str) -> Vec<Endpoint> {
        let before = self.instances.remove(instance).unwrap_or_default();
        self.without(before)
    }

    /// Nothing is known any more.
    pub(crate) fn clear(&mut self) -> BTreeSet<Endpoint> {
        self.instances.drain().flat_map(|(_, endpoints)| endpoints).collect()
    }

    /// Those that no instance has now.
    fn without(&self, endpoints: BTreeSet<Endpoint>) -> Vec<Endpoint> {
        let is_shown = |endpoint: &Endpoint| self.instances.values().any(|e| e.contains(endpoint));
        endpoints.into_iter().filter(|endpoint| !is_shown(endpoint)).collect()
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_core::id::Address;
    use hedgerow_driver::BeaconIdentity;

    use super::*;

    fn beacon(byte: u8) -> Beacon {
        let identity =
            BeaconIdentity::Open { tag: [0; 4], address: Address::from_bytes([byte; 8]) };
        Beacon { lowest: 1, highest: 1, identity }
    }

    fn endpoints(names: &[&str]) -> Vec<Endpoint> {
        names.iter().map(|name| Endpoint::new(name)).collect()
    }

    fn update(seen: &mut Seen, instance: &str, byte: u8, names: &[&str]) -> Changes {
        let (changes, room) = seen.update(instance, beacon(byte), endpoints(names));
        assert_eq!(room, Ok(()));
        changes
    }

    #[test]
    fn an_update_sights_what_is_there_and_loses_what_is_not() {
        let mut seen = Seen::default();
        let first = update(&mut seen, "a", 1, &["v4", "v6"]);
        let names: Vec<&str> = first.sighted.iter().map(|s| s.endpoint.as_str()).collect();
        assert_eq!(names, ["v4", "v6"]);
        assert!(first.sighted.iter().all(|sighting| sighting.beacon == Some(beacon(1))));
        assert!(first.lost.is_empty());

        let second = update(&mut seen, "a", 1, &["v6", "new"]);
        assert_eq!(second.lost, endpoints(&["v4"]));
        assert_eq!(seen.remove("a"), endpoints(&["new", "v6"]));
        assert!(seen.remove("a").is_empty(), "lost once");
    }

    #[test]
    fn a_new_name_for_the_same_place_does_not_lose_it() {
        let mut seen = Seen::default();
        update(&mut seen, "old", 1, &["v4"]);
        update(&mut seen, "new", 2, &["v4"]);
        assert!(seen.remove("old").is_empty());
        assert_eq!(seen.remove("new"), endpoints(&["v4"]));
    }

    #[test]
    fn a_crowd_beyond_the_limits_is_told() {
        let mut seen = Seen::default();
        for number in 0..INSTANCES_MAX {
            update(&mut seen, &number.to_string(), 1, &["v4"]);
        }
        assert_eq!(seen.update("more", beacon(1), endpoints(&["v4"])).1, Err(Full));
        update(&mut seen, "0", 1, &["v6"]);
        let crowd: Vec<String> = (0..=ENDPOINTS_MAX).map(|number| number.to_string()).collect();
        let crowd = crowd.iter().map(|name| Endpoint::new(name)).collect();
        let (changes, room) = seen.update("0", beacon(1), crowd);
        assert_eq!((changes.sighted.len(), room), (ENDPOINTS_MAX, Err(Full)));
        assert_eq!(seen.clear().len(), ENDPOINTS_MAX + 1);
    }
}
