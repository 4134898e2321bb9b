//! Who was seen where, as far as the core was told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use hedgerow_driver::{Beacon, Endpoint, Sighting};

/// Instances that are remembered; on a network with more, the rest is not seen.
const INSTANCES_MAX: usize = 512;
/// Endpoints of one instance.
const ENDPOINTS_MAX: usize = 16;
/// An instance is not asked for again before this.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// The number of a segment, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SegmentId(pub(crate) u64);

/// An instance on a segment: the same one on two segments may have other addresses.
type Key = (SegmentId, String);

/// The endpoints of each instance.
///
/// Two instances may show the same endpoint, when a peer takes a new name or when two segments
/// are one; it is lost when the last of both is gone.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    instances: HashMap<Key, Instance>,
    next: u64,
}

#[derive(Debug, Default)]
struct Instance {
    /// Those that came later have a greater number.
    number: u64,
    endpoints: BTreeSet<Endpoint>,
    /// It may have left unheard.
    is_doubted: bool,
    asked_at: Option<Instant>,
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
    /// An instance is where `endpoints` say, and nowhere else on its segment. What is beyond the
    /// limits is left out.
    pub(crate) fn update(
        &mut self,
        segment: SegmentId,
        name: &str,
        beacon: Beacon,
        mut endpoints: Vec<Endpoint>,
    ) -> (Changes, Result<(), Full>) {
        let key = (segment, name.to_owned());
        if !self.instances.contains_key(&key) && self.instances.len() >= INSTANCES_MAX {
            return (Changes::default(), Err(Full));
        }
        let room = if endpoints.len() > ENDPOINTS_MAX { Err(Full) } else { Ok(()) };
        endpoints.truncate(ENDPOINTS_MAX);
        let instance = self.instances.entry(key).or_insert_with(|| {
            self.next += 1;
            Instance { number: self.next, ..Instance::default() }
        });
        instance.is_doubted = false;
        let now = endpoints.iter().cloned().collect();
        let before = std::mem::replace(&mut instance.endpoints, now);
        let sighted = endpoints
            .into_iter()
            .map(|endpoint| Sighting { endpoint, beacon: Some(beacon) })
            .collect();
        (Changes { sighted, lost: self.without(before) }, room)
    }

    /// An instance is gone from a segment. What was lost with it, and the names that were there
    /// before it at the same endpoints: whoever takes a new name says goodbye to the old one, but
    /// the goodbye of a crash never comes, and one may be undone by an answer that was late.
    pub(crate) fn remove(
        &mut self,
        now: Instant,
        segment: SegmentId,
        name: &str,
    ) -> (Vec<Endpoint>, Vec<String>) {
        let gone = self.instances.remove(&(segment, name.to_owned())).unwrap_or_default();
        let mut leftovers = Vec::new();
        for ((of, name), instance) in &mut self.instances {
            let is_before = *of == segment && instance.number < gone.number;
            if is_before && !instance.endpoints.is_disjoint(&gone.endpoints) {
                instance.asked_at = Some(now);
                leftovers.push(name.clone());
            }
        }
        (self.without(gone.endpoints), leftovers)
    }

    /// A segment is gone, with everybody on it.
    pub(crate) fn remove_segment(&mut self, segment: SegmentId) -> Vec<Endpoint> {
        self.remove_all(|(of, _), _| *of == segment)
    }

    /// Goodbyes on a segment may have been missed: whoever does not show again is gone.
    pub(crate) fn doubt(&mut self, segment: SegmentId) {
        for ((of, _), instance) in &mut self.instances {
            instance.is_doubted |= *of == segment;
        }
    }

    /// Whoever was doubted on a segment and did not show again is gone.
    pub(crate) fn sweep(&mut self, segment: SegmentId) -> Vec<Endpoint> {
        self.remove_all(|(of, _), instance| *of == segment && instance.is_doubted)
    }

    /// The instances that show an endpoint and were not asked for lately.
    pub(crate) fn ask(&mut self, now: Instant, endpoint: &Endpoint) -> Vec<Key> {
        let mut due = Vec::new();
        for (key, instance) in &mut self.instances {
            let is_asked = instance.asked_at.is_some_and(|at| now.duration_since(at) < ASK_EVERY);
            if instance.endpoints.contains(endpoint) && !is_asked {
                instance.asked_at = Some(now);
                due.push(key.clone());
            }
        }
        due
    }

    /// Whether somebody shows an endpoint.
    pub(crate) fn shows(&self, endpoint: &Endpoint) -> bool {
        self.instances.values().any(|instance| instance.endpoints.contains(endpoint))
    }

    fn remove_all(&mut self, is_gone: impl Fn(&Key, &Instance) -> bool) -> Vec<Endpoint> {
        let gone = self.instances.extract_if(|key, instance| is_gone(key, instance));
        let endpoints = gone.flat_map(|(_, instance)| instance.endpoints).collect();
        self.without(endpoints)
    }

    /// Those that no instance has now.
    fn without(&self, endpoints: BTreeSet<Endpoint>) -> Vec<Endpoint> {
        endpoints.into_iter().filter(|endpoint| !self.shows(endpoint)).collect()
    }
}

/// What the node is to be told, in order, one entry an endpoint: while the node is busy, only the
/// newest about each endpoint is kept. So what discovery hears never waits for the node, and the
/// queue is bounded by what was seen.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    next: u64,
    places: HashMap<Endpoint, u64>,
    entries: BTreeMap<u64, (Endpoint, Option<Beacon>)>,
}

impl Outbox {
    /// Somebody shows a beacon at an endpoint, or nobody does any more.
    pub(crate) fn put(&mut self, endpoint: Endpoint, beacon: Option<Beacon>) {
        let place = *self.places.entry(endpoint.clone()).or_insert_with(|| {
            self.next += 1;
            self.next
        });
        self.entries.insert(place, (endpoint, beacon));
    }

    /// What is to be told next.
    pub(crate) fn first(&self) -> Option<(Endpoint, Option<Beacon>)> {
        self.entries.first_key_value().map(|(_, entry)| entry.clone())
    }

    /// It was told.
    pub(crate) fn pop(&mut self) {
        if let Some((_, (endpoint, _))) = self.entries.pop_first() {
            self.places.remove(&endpoint);
        }
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_core::id::Address;
    use hedgerow_driver::BeaconIdentity;

    use super::*;

    const ONE: SegmentId = SegmentId(1);
    const TWO: SegmentId = SegmentId(2);

    fn beacon(byte: u8) -> Beacon {
        let identity =
            BeaconIdentity::Open { tag: [0; 4], address: Address::from_bytes([byte; 8]) };
        Beacon { lowest: 1, highest: 1, identity }
    }

    fn endpoints(names: &[&str]) -> Vec<Endpoint> {
        names.iter().map(|name| Endpoint::new(name)).collect()
    }

    fn update(seen: &mut Seen, of: SegmentId, instance: &str, names: &[&str]) -> Changes {
        let (changes, room) = seen.update(of, instance, beacon(1), endpoints(names));
        assert_eq!(room, Ok(()));
        changes
    }

    fn lost(seen: &mut Seen, of: SegmentId, instance: &str) -> Vec<Endpoint> {
        let (lost, leftovers) = seen.remove(Instant::now(), of, instance);
        assert_eq!(leftovers, [""; 0]);
        lost
    }

    #[test]
    fn an_update_sights_what_is_there_and_loses_what_is_not() {
        let mut seen = Seen::default();
        let first = update(&mut seen, ONE, "a", &["v4", "v6"]);
        let names: Vec<&str> = first.sighted.iter().map(|s| s.endpoint.as_str()).collect();
        assert_eq!(names, ["v4", "v6"]);
        assert!(first.sighted.iter().all(|sighting| sighting.beacon == Some(beacon(1))));
        assert!(first.lost.is_empty());

        let second = update(&mut seen, ONE, "a", &["v6", "new"]);
        assert_eq!(second.lost, endpoints(&["v4"]));
        assert_eq!(lost(&mut seen, ONE, "a"), endpoints(&["new", "v6"]));
        assert!(lost(&mut seen, ONE, "a").is_empty(), "lost once");
    }

    #[test]
    fn a_new_name_for_the_same_place_does_not_lose_it() {
        let mut seen = Seen::default();
        update(&mut seen, ONE, "old", &["v4"]);
        update(&mut seen, ONE, "new", &["v4"]);
        assert_eq!(seen.remove(Instant::now(), ONE, "old"), (vec![], vec![]));
        assert_eq!(lost(&mut seen, ONE, "new"), endpoints(&["v4"]));
    }

    #[test]
    fn a_name_that_outlives_a_later_one_at_the_same_place_is_to_be_asked_for() {
        let mut seen = Seen::default();
        update(&mut seen, ONE, "other", &["v4 of another"]);
        update(&mut seen, TWO, "old", &["v4"]);
        update(&mut seen, ONE, "old", &["v4", "v6"]);
        update(&mut seen, ONE, "new", &["v4", "v6"]);
        update(&mut seen, ONE, "old", &["v4"]);
        let now = Instant::now();
        let old = vec!["old".to_owned()];
        assert_eq!(seen.remove(now, ONE, "new"), (endpoints(&["v6"]), old));
        let asked = seen.ask(now, &Endpoint::new("v4"));
        assert_eq!(asked, [(TWO, "old".to_owned())], "asked just now");
    }

    #[test]
    fn a_segment_takes_along_what_was_seen_on_it_alone() {
        let mut seen = Seen::default();
        update(&mut seen, ONE, "a", &["both", "one"]);
        update(&mut seen, TWO, "a", &["both", "two"]);
        assert_eq!(seen.remove_segment(ONE), endpoints(&["one"]));
        assert_eq!(seen.remove_segment(TWO), endpoints(&["both", "two"]));
    }

    #[test]
    fn who_does_not_show_again_after_a_doubt_is_lost_and_nobody_else() {
        let mut seen = Seen::default();
        update(&mut seen, ONE, "left", &["left"]);
        update(&mut seen, ONE, "there", &["there"]);
        update(&mut seen, TWO, "elsewhere", &["elsewhere"]);
        seen.doubt(ONE);
        update(&mut seen, ONE, "there", &["there"]);
        assert_eq!(seen.sweep(TWO), endpoints(&[]));
        assert_eq!(seen.sweep(ONE), endpoints(&["left"]));
        assert_eq!(seen.sweep(ONE), endpoints(&[]), "lost once");
    }

    #[test]
    fn an_endpoint_is_asked_for_wherever_it_was_seen_but_not_all_the_time() {
        let mut seen = Seen::default();
        update(&mut seen, ONE, "a", &["both", "one"]);
        update(&mut seen, TWO, "a", &["both"]);
        let (now, [both, one]) = (Instant::now(), ["both", "one"].map(Endpoint::new));
        let mut asked = seen.ask(now, &both);
        asked.sort();
        assert_eq!(asked, [(ONE, "a".to_owned()), (TWO, "a".to_owned())]);
        assert_eq!(seen.ask(now + ASK_EVERY / 2, &one), []);
        assert_eq!(seen.ask(now + ASK_EVERY, &one), [(ONE, "a".to_owned())]);
        assert_eq!(seen.ask(now, &Endpoint::new("strange")), []);
    }

    #[test]
    fn a_crowd_beyond_the_limits_is_told() {
        let mut seen = Seen::default();
        for number in 0..INSTANCES_MAX {
            update(&mut seen, ONE, &number.to_string(), &["v4"]);
        }
        assert_eq!(seen.update(ONE, "more", beacon(1), endpoints(&["v4"])).1, Err(Full));
        update(&mut seen, ONE, "0", &["v6"]);
        let crowd: Vec<String> = (0..=ENDPOINTS_MAX).map(|number| number.to_string()).collect();
        let crowd = crowd.iter().map(|name| Endpoint::new(name)).collect();
        let (changes, room) = seen.update(ONE, "0", beacon(1), crowd);
        assert_eq!((changes.sighted.len(), room), (ENDPOINTS_MAX, Err(Full)));
        assert_eq!(seen.remove_segment(ONE).len(), ENDPOINTS_MAX + 1);
    }

    #[test]
    fn a_busy_node_is_told_the_newest_of_each_endpoint_in_the_order_of_the_first() {
        let mut outbox = Outbox::default();
        let [a, b] = ["a", "b"].map(Endpoint::new);
        outbox.put(b.clone(), Some(beacon(1)));
        outbox.put(a.clone(), Some(beacon(1)));
        outbox.put(b.clone(), None);
        outbox.put(b.clone(), Some(beacon(2)));
        assert_eq!(outbox.first(), Some((b.clone(), Some(beacon(2)))));
        outbox.pop();
        outbox.put(b.clone(), None);
        assert_eq!(outbox.first(), Some((a, Some(beacon(1)))));
        outbox.pop();
        assert_eq!(outbox.first(), Some((b, None)));
        outbox.pop();
        assert_eq!(outbox.first(), None);
    }
}
