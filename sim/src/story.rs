//! One scenario from its beginning to its end, with all checkers looking on.

use std::fmt;

use hedgerow_core::time::{Duration, Instant};

use crate::app::{Desk, Manner, Shared, Traffic};
use crate::chance::Chance;
use crate::check::{self, Breach, Checker, Phase, View, difference};
use crate::double::{Double, Pretender};
use crate::fault::{Fault, Trouble};
use crate::plan::Plan;
use crate::scenario::Scenario;
use crate::world::World;

/// How long everything that is under way may take to end: a message gives up after 30 s without
/// progress, and a session 30 s after it is asked whether it lives, which is every 60 s. A link's cost
/// rises two and a half minutes after it came up, which may be a minute from now.
const ENDING: Duration = Duration::from_secs(200);
/// How long the last words take.
const LAST_WORDS: Duration = Duration::from_secs(20);
/// How long a mesh is watched that has nothing to say.
const IDLE: Duration = Duration::from_secs(60);
/// How often a mesh that finds together is asked whether it has.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// A promise was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// By which checker's word.
    pub checker: &'static str,
    /// When.
    pub at: Instant,
    /// What is broken.
    pub breach: Breach,
    /// The last things that happened.
    pub events: Vec<String>,
}

/// How a story ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What was broken, if anything was.
    pub failure: Option<Failure>,
    /// What the checkers counted.
    pub figures: Vec<(&'static str, u64)>,
    /// The hash of everything that happened.
    pub hash: u64,
    /// How long the story took, on its own clock.
    pub time: Duration,
    /// Things that happened.
    pub steps: u64,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.events.iter().try_for_each(|event| writeln!(f, "{event}"))?;
        writeln!(f, "{:?} {}: {}", self.at, self.checker, self.breach)
    }
}

/// A scenario that is played.
pub struct Story {
    scenario: Scenario,
    world: World,
    desk: Shared,
    trouble: Trouble,
    checkers: Vec<Box<dyn Checker>>,
    phase: Phase,
    since: Instant,
    double: Option<Double>,
    failure: Option<Failure>,
}

impl Story {
    /// A scenario, about to be played with all checkers.
    #[must_use]
    pub fn new(scenario: Scenario) -> Self {
        let mut plan = Plan::new(scenario.seed, scenario.nodes, scenario.media[0].clone());
        plan.media.clone_from(&scenario.media);
        plan.start_within = scenario.start_within;
        plan.tells_hints = true;
        plan.fast_ppm_max = scenario.fast_ppm_max;
        let mut world = World::new(plan);
        let desk = Desk::new();
        let chance = Chance::new(scenario.seed).fork(200);
        for node in 0..scenario.nodes {
            desk.borrow_mut().set_key(node, world.host(node).key());
            let chance = chance.fork(node as u64);
            let app = Traffic::new(node, desk.clone(), &scenario.flows, chance);
            world.set_app(node, Box::new(app));
        }
        for (pair, shape) in &scenario.pairs {
            world.connect_shaped(pair.medium, pair.low, pair.high, *shape);
        }
        let trouble = Trouble::new(scenario.gone.clone(), &scenario.pairs);
        Self {
            since: world.now(),
            scenario,
            world,
            desk,
            trouble,
            checkers: check::all(),
            phase: Phase::Storm,
            double: None,
            failure: None,
        }
    }

    /// Has a node break a promise, for tests of the checkers.
    pub fn set_double(&mut self, double: Double) {
        if let Some(node) = double.node() {
            let chance = Chance::new(self.scenario.seed).fork(200).fork(node as u64);
            let traffic = Traffic::new(node, self.desk.clone(), &self.scenario.flows, chance);
            let pretender = Pretender::new(double, self.desk.clone(), traffic);
            self.world.set_app(node, Box::new(pretender));
        }
        self.double = Some(double);
    }

    /// Tells what happens while it does, on stderr.
    pub fn set_verbose(&mut self) {
        self.world.log_mut().set_echo(true);
    }

    /// Plays it to its end, or until a promise is broken.
    #[must_use]
    pub fn play(mut self) -> Report {
        self.storm();
        self.calm();
        self.ending();
        self.enter(Phase::Idle);
        self.run_for(IDLE);
        self.ask(|checker, view| checker.on_end(view));
        Report {
            seed: self.scenario.seed,
            failure: self.failure,
            figures: self.checkers.iter().flat_map(|checker| checker.figures()).collect(),
            hash: self.world.log().hash(),
            time: self.world.age(),
            steps: self.world.steps(),
        }
    }

    fn storm(&mut self) {
        let begin = self.world.now();
        for (after, fault) in self.scenario.faults.clone() {
            if after > self.scenario.storm {
                break;
            }
            self.run_until(begin + after);
            if self.failure.is_some() {
                return;
            }
            self.trouble.apply(&mut self.world, &fault);
            if let Fault::Manner(node, manner) = fault {
                self.desk.borrow_mut().set_manner(node, manner);
            }
            self.learn_keys();
        }
        self.run_until(begin + self.scenario.storm);
    }

    fn calm(&mut self) {
        if self.failure.is_some() {
            return;
        }
        self.world.say(None, "everything is well again".to_owned());
        self.trouble.undo(&mut self.world);
        self.learn_keys();
        self.desk.borrow_mut().close();
        for node in 0..self.scenario.nodes {
            self.desk.borrow_mut().set_manner(node, Manner::Prompt);
            // An application that slept over its messages looks again.
            self.world.with_node(node, |_, _| ());
        }
        self.enter(Phase::Calm);
        while self.failure.is_none() && difference(&self.view(&self.desk.borrow())).is_some() {
            self.run_for(ASK_EVERY);
        }
    }

    /// Everybody says a word to somebody, twice. The first may find a session that the other end
    /// gave up in the storm, and fail with it; the second has to arrive.
    fn ending(&mut self) {
        self.enter(Phase::Ending);
        self.order_words();
        self.run_for(ENDING);
        self.enter(Phase::LastWords);
        self.order_words();
        self.run_for(LAST_WORDS);
    }

    fn order_words(&mut self) {
        let truth = self.world.truth();
        for &from in &truth.on {
            let island: Vec<usize> = truth.island_of(from).into_iter().collect();
            let place = island.iter().position(|node| *node == from).unwrap_or(0);
            // Near and far ones by turns, and never itself.
            let others = island.len() - 1;
            if others > 0 {
                let to = island[(place + 1 + place % others) % island.len()];
                self.desk.borrow_mut().order(from, to);
                self.world.with_node(from, |_, _| ());
            }
        }
    }

    fn enter(&mut self, phase: Phase) {
        if self.failure.is_none() {
            self.world.say(None, format!("{phase:?}"));
            (self.phase, self.since) = (phase, self.world.now());
            self.ask(|checker, view| checker.on_moment(view));
        }
    }

    /// Who lost its home has another key, and others hear of it somehow.
    fn learn_keys(&mut self) {
        for node in 0..self.scenario.nodes {
            self.desk.borrow_mut().set_key(node, self.world.host(node).key());
        }
    }

    fn view<'a>(&'a self, desk: &'a Desk) -> View<'a> {
        let (world, double) = (&self.world, self.double.as_ref());
        View { world, desk, phase: self.phase, since: self.since, double }
    }

    /// Asks all checkers now.
    fn ask(&mut self, mut question: impl FnMut(&mut dyn Checker, &View<'_>) -> Result<(), Breach>) {
        if self.failure.is_some() {
            return;
        }
        let desk = self.desk.borrow();
        let (world, double) = (&self.world, self.double.as_ref());
        let view = View { world, desk: &desk, phase: self.phase, since: self.since, double };
        for checker in &mut self.checkers {
            if let Err(breach) = question(checker.as_mut(), &view) {
                self.failure = Some(failure(world, checker.name(), breach));
                return;
            }
        }
    }

    fn run_for(&mut self, time: Duration) {
        self.run_until(self.world.now() + time);
    }

    fn run_until(&mut self, end: Instant) {
        if self.failure.is_some() {
            return;
        }
        let (desk, checkers, failed) = (&self.desk, &mut self.checkers, &mut self.failure);
        let (phase, since, double) = (self.phase, self.since, self.double.as_ref());
        self.world.run_until_true(end, |world| {
            let affairs = desk.borrow_mut().take_affairs();
            let desk = desk.borrow();
            let view = View { world, desk: &desk, phase, since, double };
            let heard = affairs.iter().find_map(|affair| {
                checkers.iter_mut().find_map(|checker| {
                    checker.on_affair(affair).err().map(|breach| (checker.name(), breach))
                })
            });
            let broken = heard.or_else(|| {
                checkers.iter_mut().find_map(|checker| {
                    checker.on_moment(&view).err().map(|breach| (checker.name(), breach))
                })
            });
            *failed = broken.map(|(checker, breach)| failure(world, checker, breach));
            failed.is_some()
        });
    }
}

fn failure(world: &World, checker: &'static str, breach: Breach) -> Failure {
    let events = world.log().last().map(ToString::to_string).collect();
    Failure { checker, at: world.now(), breach, events }
}
