//! The memory driver keeps the contract, in virtual time.

use std::time::Duration;

use hedgerow_driver::conformance::{self, Bench, Check, End, Figures, Verdict};
use hedgerow_driver::{Driver, Endpoint};
use hedgerow_memory::{Medium, Shape};

/// Two nodes on a medium, and one that never answers.
struct Air {
    medium: Medium,
    shape: Shape,
    /// The suite is to wait for sightings instead of knowing the names.
    is_sighted: bool,
}

impl Air {
    fn new(shape: Shape, is_sighted: bool) -> Self {
        let medium = Medium::new();
        medium.connect("here", "there", shape).unwrap();
        medium.connect("here", "silent", shape).unwrap();
        medium.silence("here", "silent").unwrap();
        Self { medium, shape, is_sighted }
    }
}

impl Bench for Air {
    fn driver(&mut self, end: End) -> Box<dyn Driver> {
        Box::new(self.medium.driver(end.name()))
    }

    fn endpoint(&self, end: End) -> Option<Endpoint> {
        (!self.is_sighted).then(|| Endpoint::new(end.name()))
    }

    fn nowhere(&self) -> Endpoint {
        Endpoint::new("nobody")
    }

    fn silent(&mut self) -> Option<Endpoint> {
        Some(Endpoint::new("silent"))
    }

    fn invalid(&self) -> Endpoint {
        Endpoint::new("")
    }

    fn cut(&mut self) {
        self.medium.disconnect("here", "there").unwrap();
    }

    fn mend(&mut self) {
        self.medium.mend("here", "there").unwrap();
    }

    fn hopeless(&mut self) -> Option<Box<dyn Driver>> {
        // The name is taken.
        Some(self.driver(End::There))
    }

    fn figures(&self) -> Figures {
        let rate = self.shape.rate_bytes_per_s;
        // What waits for the line, what is in the air, and a chunk or packet at either end of it.
        let in_air = rate.map_or(0, |rate| {
            let delay = self.shape.delay + self.shape.jitter + self.shape.reorder_delay;
            let delay = delay + Duration::from_millis(5);
            usize::try_from(u128::from(rate) * delay.as_micros() / 1_000_000).unwrap()
        });
        let in_hand = self.shape.mtu_bytes.unwrap_or(65_664);
        Figures {
            buffered_bytes_max: self.shape.queue_bytes_max + in_air + 2 * in_hand,
            lost_ppm_max: self.shape.loss_ppm,
            changed_ppm_max: self.shape.corrupt_ppm,
            load_bytes: rate.map_or(2_000_000, |rate| usize::try_from(rate).unwrap()),
            // Virtual, and long: the slowest line takes a while for one chunk.
            patience: Duration::from_secs(60),
            quiet: Duration::from_secs(2),
            ..Figures::default()
        }
    }
}

async fn conforms(shape: Shape, is_sighted: bool, not_tried: &[Check]) {
    let findings = conformance::assert_all(|_| Air::new(shape, is_sighted)).await;
    let skipped = findings.0.iter().filter(|(_, verdict)| matches!(verdict, Verdict::NotTried(_)));
    assert_eq!(skipped.map(|(check, _)| *check).collect::<Vec<_>>(), not_tried);
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_the_contract_over_a_perfect_line() {
    conforms(Shape::perfect(), false, &[Check::Sightings]).await;
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_the_contract_over_a_lan() {
    let shape = Shape { rate_bytes_per_s: Some(2_000_000), ..Shape::lan() };
    conforms(shape, true, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_the_contract_over_a_slow_radio() {
    conforms(Shape::slow_radio(), true, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_the_contract_with_packets() {
    conforms(Shape::bluetooth(), true, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_the_contract_with_packets_that_are_lost_late_double_or_damaged() {
    let shape = Shape {
        jitter: Duration::from_millis(10),
        loss_ppm: 50_000,
        reorder_ppm: 20_000,
        reorder_delay: Duration::from_millis(100),
        duplicate_ppm: 20_000,
        corrupt_ppm: 10_000,
        ..Shape::bluetooth()
    };
    conforms(shape, true, &[]).await;
}

/// In real time, with the drivers on other threads than the nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_contract_between_threads() {
    struct InRealTime(Air);
    impl Bench for InRealTime {
        fn driver(&mut self, end: End) -> Box<dyn Driver> {
            self.0.driver(end)
        }
        fn endpoint(&self, end: End) -> Option<Endpoint> {
            self.0.endpoint(end)
        }
        fn nowhere(&self) -> Endpoint {
            self.0.nowhere()
        }
        fn cut(&mut self) {
            self.0.cut();
        }
        fn mend(&mut self) {
            self.0.mend();
        }
        fn figures(&self) -> Figures {
            Figures { quiet: Duration::from_millis(100), ..self.0.figures() }
        }
    }
    conformance::assert_all(|_| InRealTime(Air::new(Shape::perfect(), false))).await;
}
