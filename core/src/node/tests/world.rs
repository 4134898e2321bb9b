//! Nodes on virtual wires: whoever is near sees the other and can dial it.

use super::*;

pub(super) const WIRE: TransportId = TransportId(0);
pub(super) const DELAY: Duration = Duration::from_millis(5);

/// One end of a wire: a node's number and its link.
pub(super) type End = (usize, LinkId);

/// Several nodes; every pair of `near` ones sees each other and can dial.
pub(super) struct World {
    pub(super) profile: TransportProfile,
    /// The hosts that links come in from, where they matter.
    pub(super) hosts: BTreeMap<usize, String>,
    pub(super) now: Instant,
    pub(super) nodes: Vec<Option<Node>>,
    pub(super) epochs: Vec<u64>,
    pub(super) near: Vec<(usize, usize)>,
    pub(super) wires: BTreeMap<End, End>,
    pub(super) flight: Vec<(Instant, Flying)>,
    pub(super) next_link: u64,
    pub(super) events: Vec<Vec<Event>>,
    /// What drivers know from those of their medium at neighbours.
    pub(super) hints: BTreeMap<(usize, TransportId, PeerKey), Hint>,
    /// Wires that swallow everything without a word.
    pub(super) silent: Vec<(usize, usize)>,
    /// Links that hold everything back, and endpoints that nobody answers at.
    pub(super) mute: Vec<LinkId>,
    pub(super) held: Vec<Flying>,
    pub(super) dead: Vec<String>,
    /// Ends whose host does not pull them for now.
    pub(super) paused: Vec<End>,
    /// Peers that are no nodes.
    pub(super) evils: Vec<Evil>,
    /// A node whose process is stopped; what is for it waits in its system.
    pub(super) stopped: Option<(usize, Node)>,
}

pub(super) enum Flying {
    Bytes { from: usize, to: End, bytes: Bytes },
    Down(End),
    Dial(usize, DialId, Endpoint),
}

pub(super) fn key(number: usize) -> PeerKey {
    identity(number).peer_key()
}

pub(super) fn identity(number: usize) -> Identity {
    Identity::generate(&mut Seeded(1_000 + number as u64))
}

impl World {
    pub(super) fn new(nodes: usize, near: &[(usize, usize)]) -> Self {
        let profile = TransportProfile {
            kind: ConnectionType::other("Wire"),
            links_max: 16,
            dials_max: 8,
            dial_timeout: Duration::from_secs(5),
            dialled: Dialling::InSight,
        };
        Self::with_profile(nodes, near, profile)
    }

    pub(super) fn with_profile(
        nodes: usize,
        near: &[(usize, usize)],
        profile: TransportProfile,
    ) -> Self {
        let mut world = Self {
            profile,
            hosts: BTreeMap::new(),
            now: Instant::from_millis(1_000),
            nodes: (0..nodes).map(|_| None).collect(),
            epochs: vec![0; nodes],
            near: near.to_vec(),
            wires: BTreeMap::new(),
            flight: Vec::new(),
            next_link: 0,
            events: (0..nodes).map(|_| Vec::new()).collect(),
            hints: BTreeMap::new(),
            silent: Vec::new(),
            mute: Vec::new(),
            held: Vec::new(),
            dead: Vec::new(),
            paused: Vec::new(),
            evils: Vec::new(),
            stopped: None,
        };
        for number in 0..nodes {
            world.start(number);
        }
        world
    }

    /// A line 0 - 1 - 2 ...
    pub(super) fn line(nodes: usize) -> Self {
        Self::new(nodes, &(1..nodes).map(|n| (n - 1, n)).collect::<Vec<_>>())
    }

    pub(super) fn start(&mut self, number: usize) {
        self.epochs[number] += 1;
        let epoch = self.epochs[number];
        let local = Local {
            identity: identity(number),
            network: Network::open("test").unwrap(),
            instance: Instance::from_bytes((number as u64 * 1_000 + epoch).to_be_bytes()),
            epoch,
            aead: Arc::new(Portable),
            verifier: Arc::new(Strict),
        };
        let config = NodeConfig { device_name: format!("n{number}"), ..NodeConfig::default() };
        let seed = Seeded(number as u64 * 77 + epoch);
        let mut node = Node::new(self.now, local, config, Box::new(seed));
        node.add_transport(WIRE, self.profile.clone());
        self.nodes[number] = Some(node);
        for (a, b) in self.near.clone() {
            if a == number || b == number {
                self.sight(a, b);
                self.sight(b, a);
            }
        }
    }

    pub(super) fn sight(&mut self, who: usize, whom: usize) {
        self.sight_at(who, whom, "");
    }

    /// A node has as many endpoints as suffixes are sighted.
    pub(super) fn sight_at(&mut self, who: usize, whom: usize, suffix: &str) {
        let address = key(whom).address();
        let beacon = Beacon::new(&Network::open("test").unwrap(), address, &mut Seeded(1));
        let endpoint = Endpoint::new(&format!("{whom}{suffix}"));
        let sighting = Sighting { endpoint, beacon: Some(beacon) };
        self.input(who, TransportEvent::Sighted(sighting));
    }

    pub(super) fn input(&mut self, number: usize, event: TransportEvent) {
        let now = self.now;
        if let Some(Some(node)) = self.nodes.get_mut(number) {
            node.handle_input(now, Input::Transport { transport: WIRE, event });
        }
    }

    /// Stops a node; with `silent`, nobody is told.
    pub(super) fn kill(&mut self, number: usize) {
        self.nodes[number] = None;
        self.hints.retain(|(at, ..), _| *at != number);
        let ends: Vec<_> =
            self.wires.iter().filter(|(a, _)| a.0 == number).map(|(a, b)| (*a, *b)).collect();
        for (a, b) in ends {
            self.wires.remove(&a);
            self.wires.remove(&b);
            self.flight.push((self.now + DELAY, Flying::Down(b)));
        }
    }

    pub(super) fn carry_out(&mut self, number: usize) -> bool {
        let mut progress = false;
        let own = self.wires.iter();
        let own = own.filter(|(end, _)| end.0 == number && !self.paused.contains(end));
        let links: Vec<_> = own.filter(|(_, other)| !self.is_blocked(other)).collect();
        let links: Vec<_> = links.into_iter().map(|(end, _)| *end).collect();
        for end in links {
            let now = self.now;
            while let Some(bytes) =
                self.nodes[number].as_mut().and_then(|node| node.poll_transmit(now, end.1))
            {
                progress = true;
                if let Some(other) = self.wires.get(&end) {
                    let flying = Flying::Bytes { from: number, to: *other, bytes };
                    self.flight.push((now + DELAY, flying));
                }
            }
        }
        while let Some(output) = self.nodes[number].as_mut().and_then(Node::poll_output) {
            progress = true;
            match output {
                Output::Event(event) => self.events[number].push(event),
                Output::Command(_, TransportCommand::Dial { dial, endpoint }) => {
                    self.flight.push((self.now + DELAY, Flying::Dial(number, dial, endpoint)));
                }
                Output::Command(_, TransportCommand::Close(link)) => {
                    let end = (number, link);
                    if let Some(other) = self.wires.remove(&end) {
                        self.wires.remove(&other);
                        self.flight.push((self.now + DELAY, Flying::Down(other)));
                    }
                    let reason = LinkLoss::Closed;
                    self.input(number, TransportEvent::LinkDown { link, reason });
                }
                Output::Command(transport, TransportCommand::Hint { from, hint }) => {
                    self.hints.insert((number, transport, from), hint.clone());
                    if hint.is_empty() {
                        self.hints.remove(&(number, transport, from));
                    }
                }
                Output::Command(_, _) => {}
            }
        }
        progress
    }

    pub(super) fn land(&mut self, flying: Flying) {
        match flying {
            Flying::Bytes { to, bytes, .. } if to.0 >= EVIL => self.land_evil(to, &bytes),
            Flying::Down(end) if end.0 >= EVIL => self.lose_evil(end),
            Flying::Bytes { from, to: (number, link), bytes } => {
                let silent = self.silent.contains(&(from.min(number), from.max(number)));
                if self.mute.contains(&link) || self.is_stopped(number) {
                    self.held.push(Flying::Bytes { from, to: (number, link), bytes });
                } else if !silent {
                    let data = BytesMut::from(&bytes[..]);
                    self.input(number, TransportEvent::Received { link, data });
                }
            }
            Flying::Down(end) if self.is_stopped(end.0) => self.held.push(Flying::Down(end)),
            Flying::Down((number, link)) => {
                let reason = LinkLoss::ClosedByRemote;
                self.input(number, TransportEvent::LinkDown { link, reason });
            }
            Flying::Dial(from, dial, endpoint) => {
                let to: usize = endpoint.as_str().split('/').next().unwrap().parse().unwrap();
                let near = self.near.contains(&(from.min(to), from.max(to)));
                let cut = self.silent.contains(&(from.min(to), from.max(to)))
                    || self.dead.iter().any(|dead| dead == endpoint.as_str());
                if self.nodes[to].is_none() || !near || cut {
                    let reason = DialFailure::Refused;
                    self.input(from, TransportEvent::DialFailed { dial, reason });
                    return;
                }
                let ends = [from, to].map(|number| {
                    self.next_link += 1;
                    (number, LinkId { transport: WIRE, number: self.next_link })
                });
                self.wires.insert(ends[0], ends[1]);
                self.wires.insert(ends[1], ends[0]);
                let seen_as = self
                    .hosts
                    .get(&from)
                    .map_or(endpoint.clone(), |host| Endpoint::new(&format!("{host}:{from}")));
                for (end, origin, endpoint) in [
                    (ends[0], LinkOrigin::Dialled(dial), endpoint),
                    (ends[1], LinkOrigin::Accepted, seen_as),
                ] {
                    let up = LinkUp {
                        link: end.1,
                        origin,
                        shape: LinkShape::Stream { chunk_bytes: 16_384, frame_bytes_max: 4_096 },
                        endpoint,
                        estimate: LinkEstimate { rate_bytes_per_s: 1_000_000, delay: DELAY },
                    };
                    self.input(end.0, TransportEvent::LinkUp(up));
                }
            }
        }
    }

    /// Stops the process of a node, as a laptop's lid does.
    pub(super) fn stop(&mut self, number: usize) {
        self.stopped = self.nodes[number].take().map(|node| (number, node));
    }

    pub(super) fn is_stopped(&self, number: usize) -> bool {
        self.stopped.as_ref().is_some_and(|(stopped, _)| *stopped == number)
    }

    /// The node that was stopped goes on, and finds a later time and what came meanwhile.
    pub(super) fn go_on(&mut self) {
        let (number, node) = self.stopped.take().unwrap();
        self.nodes[number] = Some(node);
        self.unmute();
    }

    /// What was held back arrives, late and whole, as TCP would have it.
    pub(super) fn unmute(&mut self) {
        self.mute.clear();
        let at = self.now;
        self.flight.extend(core::mem::take(&mut self.held).into_iter().map(|held| (at, held)));
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
    }

    /// Runs until `done`, at the latest until `end`; says whether it was done.
    pub(super) fn run_until(&mut self, end: Instant, done: impl Fn(&mut Self) -> bool) -> bool {
        loop {
            let mut steps = 0;
            while (0..self.nodes.len()).filter(|n| self.carry_out(*n)).count() > 0
                || self.carry_out_evil()
            {
                steps += 1;
                assert!(steps < 10_000, "the nodes do not come to rest");
            }
            if done(self) {
                return true;
            }
            let timeouts = self.nodes.iter().flatten().map(Node::next_timeout).map(Option::unwrap);
            let evils = self.evils.iter().filter_map(|evil| evil.link.next_timeout());
            let flying = self.flight.iter().map(|(at, _)| *at);
            let next = timeouts.chain(flying).chain(evils).min().unwrap();
            if next > end {
                self.now = end;
                return false;
            }
            self.now = self.now.max(next);
            let now = self.now;
            let (landing, flight): (Vec<_>, Vec<_>) =
                core::mem::take(&mut self.flight).into_iter().partition(|(at, _)| *at <= now);
            self.flight = flight;
            for (_, flying) in landing {
                self.land(flying);
            }
            self.evils.iter_mut().for_each(|evil| evil.link.handle_timeout(now));
            for node in self.nodes.iter_mut().flatten() {
                if node.next_timeout().is_some_and(|at| at <= now) {
                    node.handle_input(now, Input::Timeout);
                }
            }
        }
    }

    pub(super) fn node(&mut self, number: usize) -> &mut Node {
        self.nodes[number].as_mut().unwrap()
    }

    /// The hops at which `number` sees each other node.
    pub(super) fn hops(&mut self, number: usize) -> BTreeMap<PeerKey, Option<u16>> {
        let now = self.now;
        let graph = self.node(number).graph(now);
        graph.remote.iter().map(|peer| (peer.key, peer.route.map(|route| route.hops))).collect()
    }

    pub(super) fn all_see_all(&mut self) -> bool {
        let n = self.nodes.len();
        (0..n).all(|number| {
            let hops = self.hops(number);
            hops.len() == n - 1 && hops.values().all(Option::is_some)
        })
    }

    pub(super) fn converge(&mut self) {
        let end = self.now + Duration::from_secs(10);
        assert!(self.run_until(end, Self::all_see_all), "no full graph after 10 s");
    }

    pub(super) fn send(&mut self, from: usize, to: usize, data: &[u8]) {
        let (now, data) = (self.now, Bytes::copy_from_slice(data));
        self.node(from)
            .with_bus(now, |bus, _| bus.send_reliable(now, key(to), Lane::Normal, data, None))
            .unwrap();
    }

    pub(super) fn take(&mut self, number: usize) -> Vec<Bytes> {
        let now = self.now;
        self.node(number).with_bus(now, |bus, _| {
            core::iter::from_fn(|| bus.take_message(now)).map(|message| message.data).collect()
        })
    }

    pub(super) fn outcomes(&self, number: usize) -> Vec<Outcome> {
        let done = |event: &Event| match event {
            Event::Bus(BusEvent::MessageDone { outcome, .. }) => Some(*outcome),
            _ => None,
        };
        self.events[number].iter().filter_map(done).collect()
    }
}
