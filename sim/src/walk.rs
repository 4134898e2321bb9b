//! People who walk: each goes straight to a random point, rests, and goes to the next (the random
//! waypoint model); whoever is closer than a radio's range is in reach.

use std::collections::BTreeSet;

use hedgerow_core::time::Duration;

use crate::chance::Chance;
use crate::topology::Point;
use crate::world::World;

/// Where people walk and how.
#[derive(Clone, Copy, Debug)]
pub struct Ground {
    /// The side of the square they walk on, in metres.
    pub side_m: f64,
    /// How far their radios reach, in metres.
    pub range_m: f64,
    /// The slowest and the fastest, in metres a second.
    pub speed_m_per_s: (f64, f64),
    /// They rest up to this long at each point.
    pub rest: Duration,
}

impl Ground {
    /// A park on which `people` have about `degree` others in reach of their radios, 30 m.
    #[must_use]
    pub fn park(people: usize, degree: f64) -> Self {
        let range_m = 30.0;
        let area = std::f64::consts::PI * range_m * range_m * people as f64 / degree;
        Self {
            side_m: area.sqrt(),
            range_m,
            speed_m_per_s: (0.5, 1.5),
            rest: Duration::from_secs(30),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Walker {
    at: Point,
    to: Point,
    speed_m_per_s: f64,
    rests_s: f64,
}

/// People on a ground, each with a node.
#[derive(Debug)]
pub struct Walk {
    ground: Ground,
    walkers: Vec<Walker>,
    chance: Chance,
    near: BTreeSet<(usize, usize)>,
}

impl Walk {
    /// So many people, somewhere on the ground.
    #[must_use]
    pub fn new(ground: Ground, people: usize, mut chance: Chance) -> Self {
        let place = |chance: &mut Chance| {
            (chance.fraction() * ground.side_m, chance.fraction() * ground.side_m)
        };
        let walkers = (0..people).map(|_| {
            let at = place(&mut chance);
            Walker { at, to: at, speed_m_per_s: 1.0, rests_s: 0.0 }
        });
        let walkers = walkers.collect();
        Self { ground, walkers, chance, near: BTreeSet::new() }
    }

    /// Everybody walks for `time`.
    pub fn walk(&mut self, time: Duration) {
        for at in 0..self.walkers.len() {
            let mut left_s = time.as_secs_f64();
            while left_s > 0.0 {
                left_s = self.advance(at, left_s);
            }
        }
    }

    /// One rest or one straight way; the time that is left.
    fn advance(&mut self, at: usize, left_s: f64) -> f64 {
        let (ground, chance) = (self.ground, &mut self.chance);
        let walker = &mut self.walkers[at];
        if walker.rests_s >= left_s {
            walker.rests_s -= left_s;
            return 0.0;
        }
        let left_s = left_s - walker.rests_s;
        walker.rests_s = 0.0;
        let (dx, dy) = (walker.to.0 - walker.at.0, walker.to.1 - walker.at.1);
        let needs_s = dx.hypot(dy) / walker.speed_m_per_s;
        if needs_s > left_s {
            let part = left_s / needs_s;
            walker.at = (walker.at.0 + dx * part, walker.at.1 + dy * part);
            return 0.0;
        }
        let (slow, fast) = ground.speed_m_per_s;
        *walker = Walker {
            at: walker.to,
            to: (chance.fraction() * ground.side_m, chance.fraction() * ground.side_m),
            speed_m_per_s: slow + chance.fraction() * (fast - slow),
            rests_s: chance.fraction() * ground.rest.as_secs_f64(),
        };
        left_s - needs_s
    }

    /// Who is in reach of whom now.
    #[must_use]
    pub fn near(&self) -> BTreeSet<(usize, usize)> {
        let range_squared = self.ground.range_m * self.ground.range_m;
        let is_near = |a: usize, b: usize| {
            let (a, b) = (self.walkers[a].at, self.walkers[b].at);
            crate::topology::distance_squared(a, b) <= range_squared
        };
        let pairs = (0..self.walkers.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
        pairs.filter(|(a, b)| is_near(*a, *b)).collect()
    }

    /// Tells the world who came into reach and who left it since the last time.
    pub fn apply(&mut self, world: &mut World, medium: u8) {
        let near = self.near();
        for (a, b) in self.near.difference(&near) {
            world.disconnect(medium, *a, *b);
        }
        for (a, b) in near.difference(&self.near) {
            world.connect(medium, *a, *b);
        }
        self.near = near;
    }

    /// Walks and lets the world run beside it, a step of `pace` at a time.
    pub fn run(&mut self, world: &mut World, medium: u8, time: Duration, pace: Duration) {
        let end = world.now() + time;
        while world.now() < end {
            self.apply(world, medium);
            world.run(pace);
            self.walk(pace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walkers_stay_on_the_ground_and_go_no_faster_than_they_can() {
        let ground = Ground::park(30, 5.0);
        let mut walk = Walk::new(ground, 30, Chance::new(3));
        let second = Duration::from_secs(1);
        let mut moved = 0;
        for _ in 0..300 {
            let before: Vec<Point> = walk.walkers.iter().map(|walker| walker.at).collect();
            walk.walk(second);
            for (before, walker) in before.iter().zip(&walk.walkers) {
                let (x, y) = walker.at;
                assert!((0.0..=ground.side_m).contains(&x) && (0.0..=ground.side_m).contains(&y));
                let way = crate::topology::distance_squared(*before, walker.at).sqrt();
                assert!(way <= ground.speed_m_per_s.1 + 1e-9, "{way} m in a second");
                moved += usize::from(way > 0.0);
            }
        }
        assert!(moved > 3_000, "{moved} of 9,000");
    }

    #[test]
    fn a_park_has_the_company_asked_for() {
        let ground = Ground::park(200, 6.0);
        let walk = Walk::new(ground, 200, Chance::new(1));
        let mean = walk.near().len() as f64 * 2.0 / 200.0;
        // Who stands at the edge has less.
        assert!((4.0..7.0).contains(&mean), "{mean}");
    }
}
