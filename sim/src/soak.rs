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
    keep_going: bool,
    played: u64,
    steps: u64,
    failed: Vec<Report>,
}

/// Plays seeds as the arguments say.
pub(crate) fn soak(arguments: &crate::Soak) -> ExitCode {
    let &crate::Soak { minutes, from, count, keep_going } = arguments;
    let begin = Instant::now();
    // Without any bound it is one minute.
    let minutes = minutes.or_else(|| count.is_none().then_some(1));
    let until = minutes.map(|minutes| begin + Duration::from_secs(60 * minutes));
    let end = count.map_or(u64::MAX, |count| from.saturating_add(count));
    let work =
        Mutex::new(Work { next: from, end, keep_going, played: 0, steps: 0, failed: Vec::new() });
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| play_seeds(&work, until));
        }
    });
    let mut work = work.into_inner().expect("no thread panics while it counts");
    // The lowest seed is told in full, the others are named.
    work.failed.sort_by_key(|report| report.seed);
    println!(
        "{} seeds from {from}, {:?}, {} steps, {} failures",
        work.played,
        begin.elapsed(),
        work.steps,
        work.failed.len()
    );
    for report in work.failed.iter().skip(1) {
        if let Some(failure) = &report.failure {
            println!("{}: {}", crate::name(report, failure), failure.breach);
        }
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
            let is_enough = !work.keep_going && !work.failed.is_empty();
            if time_is_over || work.next >= work.end || is_enough {
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
        if let Some(failure) = &report.failure {
            eprintln!("{}: {}", crate::name(&report, failure), failure.breach);
            work.failed.push(report);
        }
    }
}
