//! Seed after seed, on two threads.

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hedgerow_sim::scenario::{Given, Scenario};
use hedgerow_sim::story::{Report, Story};

/// Worlds that are played at once.
const THREADS: usize = 2;
/// How often the number of seeds is told.
const TELL_EVERY: u64 = 500;

/// What both threads work on.
struct Work {
    next: u64,
    end: u64,
    played: u64,
    steps: u64,
    failed: Vec<Report>,
}

/// Plays seeds from `from` on, `count` of them if it says so, for at most `minutes`.
pub(crate) fn soak(minutes: Option<u64>, from: u64, count: Option<u64>) -> ExitCode {
    let begin = Instant::now();
    // Without any bound it is one minute.
    let minutes = minutes.or_else(|| count.is_none().then_some(1));
    let until = minutes.map(|minutes| begin + Duration::from_secs(60 * minutes));
    let end = count.map_or(u64::MAX, |count| from.saturating_add(count));
    let work = Mutex::new(Work { next: from, end, played: 0, steps: 0, failed: Vec::new() });
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| play_seeds(&work, until));
        }
    });
    let mut work = work.into_inner().expect("no thread panics while it counts");
    // Two threads may find something at once; the lower seed is told in full, the other named.
    work.failed.sort_by_key(|report| report.seed);
    println!(
        "{} seeds from {from}, {:?}, {} steps, {} failures",
        work.played,
        begin.elapsed(),
        work.steps,
        work.failed.len()
    );
    for report in work.failed.iter().skip(1) {
        println!("also failed: seed {}", report.seed);
    }
    match work.failed.first() {
        Some(report) if !crate::tell(report) => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn play_seeds(work: &Mutex<Work>, until: Option<Instant>) {
    let lock = || work.lock().expect("no thread panics while it counts");
    loop {
        let seed = {
            let mut work = lock();
            let time_is_over = until.is_some_and(|until| Instant::now() >= until);
            if time_is_over || work.next >= work.end || !work.failed.is_empty() {
                return;
            }
            work.next += 1;
            work.next - 1
        };
        let report = Story::new(Scenario::draw(seed, Given::default())).play();
        let mut work = lock();
        work.played += 1;
        work.steps += report.steps;
        if work.played % TELL_EVERY == 0 {
            eprintln!("{} seeds", work.played);
        }
        if report.failure.is_some() {
            work.failed.push(report);
        }
    }
}
