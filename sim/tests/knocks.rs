//! A mesh comes to rest beside one that asks where all slots are taken, and whom it asked it sees for
//! the grace: whenever rest begins, that is no broken promise, and everything else still is one.

use hedgerow_core::limits::UNREACHABLE_GRACE;
use hedgerow_core::time::{Duration, Instant};
use hedgerow_sim::app::{Desk, Shared};
use hedgerow_sim::check::{Checker, Converged, Phase, View};
use hedgerow_sim::double::Double;
use hedgerow_sim::{Medium, Plan, World};

const MOMENT: Duration = Duration::from_millis(10);
/// News has five seconds, and the checker looks once a second.
const CAUGHT_WITHIN: Duration = Duration::from_secs(6);

/// A world that is told how far its story is, and the checker that looks on.
struct Watched {
    world: World,
    desk: Shared,
    checker: Converged,
    phase: Phase,
    since: Instant,
    double: Option<Double>,
}

impl Watched {
    /// From now on, what has come together has to stay together.
    fn new(world: World) -> Self {
        let since = world.now();
        let (desk, checker) = (Desk::new(), Converged::default());
        Self { world, desk, checker, phase: Phase::Ending, since, double: None }
    }

    fn look(&mut self) -> Result<(), String> {
        let desk = self.desk.borrow();
        let (world, double) = (&self.world, self.double.as_ref());
        let view = View { world, desk: &desk, phase: self.phase, since: self.since, double };
        self.checker.on_moment(&view).map_err(|breach| breach.0)
    }

    fn enter(&mut self, phase: Phase) -> Result<(), String> {
        (self.phase, self.since) = (phase, self.world.now());
        self.look()
    }

    fn run(&mut self, time: Duration) -> Result<(), String> {
        let end = self.world.now() + time;
        while self.world.now() < end {
            self.world.run(MOMENT);
            self.look()?;
        }
        Ok(())
    }

    /// Whether node 2, which has no link, sees anybody.
    fn sees_a_ghost(&self) -> bool {
        let host = self.world.host(2);
        let graph = host.node().map(|node| node.graph(host.clock(self.world.now())));
        graph.is_some_and(|graph| !graph.remote.is_empty())
    }
}

/// Node 0 has one slot and node 1 has it. Node 2 has just been turned away there, as often before.
fn one_is_turned_away() -> Watched {
    let mut world = World::new(Plan::new(7, 3, Medium::radio(1)));
    world.connect(0, 0, 1);
    world.run(Duration::from_secs(10));
    assert_eq!(world.truth().edges.len(), 1);
    world.connect(0, 0, 2);
    world.run(Duration::from_secs(60));
    let mut watched = Watched::new(world);
    assert_eq!(watched.run(Duration::from_secs(20)), Ok(()));
    let believes = |watched: &Watched| watched.world.host(2).links_up().count() == 1;
    let end = watched.world.now() + Duration::from_secs(120);
    for expected in [true, false] {
        while believes(&watched) != expected {
            assert!(watched.world.now() < end, "it asks about once a minute");
            assert_eq!(watched.run(MOMENT), Ok(()));
        }
    }
    watched
}

#[test]
fn rest_may_begin_while_one_that_was_turned_away_sees_whom_it_asked() {
    // Before the checker looks again, and after it did.
    for millis in [0, 700, 1_500, 2_500] {
        let mut watched = one_is_turned_away();
        assert_eq!(watched.run(Duration::from_millis(millis)), Ok(()));
        assert!(watched.sees_a_ghost());
        assert_eq!(watched.enter(Phase::Idle), Ok(()), "{millis} ms later");
        assert_eq!(watched.run(UNREACHABLE_GRACE), Ok(()), "{millis} ms later");
        assert!(!watched.sees_a_ghost());
    }
}

#[test]
fn a_ghost_that_outlasts_the_grace_is_seen_at_rest() {
    let mut watched = one_is_turned_away();
    let begin = watched.world.now();
    watched.double = Some(Double::Haunted(2));
    assert_eq!(watched.enter(Phase::Idle), Ok(()));
    let words = watched.run(2 * CAUGHT_WITHIN).expect_err("it never goes");
    assert!(words.contains("node 2 sees a ghost"), "{words}");
    let after = watched.world.now().since(begin);
    assert!(after <= CAUGHT_WITHIN, "{after:?}");
}

#[test]
fn a_ghost_that_nobody_asked_is_seen_when_rest_begins() {
    let mut world = World::new(Plan::new(7, 3, Medium::lan()));
    world.connect_all(0, &[(0, 1), (1, 2)]);
    world.run(Duration::from_secs(10));
    let mut watched = Watched::new(world);
    assert_eq!(watched.run(Duration::from_secs(10)), Ok(()));
    watched.world.stop(2);
    assert_eq!(watched.run(MOMENT), Ok(()), "news has its time");
    let words = watched.enter(Phase::Idle).expect_err("a link went, and nobody asked for one");
    assert!(words.contains("sees a ghost of node 2"), "{words}");
}
