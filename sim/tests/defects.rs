//! The engine reports what no node may do, and goes on.

use hedgerow_core::event::Event;
use hedgerow_core::node::Node;
use hedgerow_core::time::{Duration, Instant};
use hedgerow_sim::host::App;
use hedgerow_sim::world::Defect;
use hedgerow_sim::{Medium, Plan, World};

/// Asks for a time that has passed, whatever happens.
struct Stuck(Instant);

impl App for Stuck {
    fn on_event(&mut self, _: Instant, _: &mut Node, _: Event) {}

    fn next_timeout(&self) -> Option<Instant> {
        Some(self.0)
    }
}

/// Always has something more to do.
struct Restless;

impl App for Restless {
    fn on_event(&mut self, _: Instant, _: &mut Node, _: Event) {}

    fn settle(&mut self, _: Instant, _: &mut Node) -> bool {
        true
    }
}

fn run(app: Box<dyn App>) -> Vec<Defect> {
    let mut world = World::new(Plan::new(1, 2, Medium::lan()));
    world.connect(0, 0, 1);
    world.set_app(1, app);
    world.run(Duration::from_millis(5));
    assert!(world.age() == Duration::from_millis(5), "the world went on");
    world.defects().to_vec()
}

#[test]
fn a_timer_that_does_not_move_is_reported() {
    let defects = run(Box::new(Stuck(Instant::EPOCH)));
    let is_stuck = |defect: &Defect| matches!(defect, Defect::StuckTimer { node: 1, .. });
    assert!(!defects.is_empty() && defects.iter().all(is_stuck), "{defects:?}");
}

#[test]
fn a_turn_without_rest_is_reported() {
    let defects = run(Box::new(Restless));
    let is_restless = |defect: &Defect| matches!(defect, Defect::Restless { node: 1, .. });
    assert!(!defects.is_empty() && defects.iter().all(is_restless), "{defects:?}");
}
