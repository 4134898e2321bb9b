//! Medians, ratios, the table.

use std::collections::BTreeMap;

use serde_json::json;

use crate::case::{CASES, Case, Kind, Sample, Subject};

/// What was measured so far.
#[derive(Debug, Default)]
pub(crate) struct Report(BTreeMap<(&'static str, Subject), Vec<Sample>>);

/// The value below which so many hundredths of the values lie. Sorts them.
pub(crate) fn percentile(values: &mut [f64], hundredths: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() * hundredths / 100).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or(f64::NAN)
}

fn median(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> f64 {
    percentile(&mut samples.iter().map(figure).collect::<Vec<_>>(), 50)
}

impl Report {
    pub(crate) fn add(&mut self, case: &Case, subject: Subject, sample: Sample) {
        self.0.entry((case.name, subject)).or_default().push(sample);
    }

    /// The table, then a line of JSON for each case and subject.
    pub(crate) fn print(&self) {
        println!(
            "{:<18} {:>13} {:>13} {:>7} {:>11} {:>11} {:>8} {:>8}",
            "case", "raw", "hedgerow", "ratio", "raw p99", "p99", "RSS MB", "CPU x"
        );
        let mut lines = Vec::new();
        for case in CASES {
            let samples = |subject| self.0.get(&(case.name, subject));
            let Some(ours) = samples(Subject::Hedgerow) else { continue };
            let raw = samples(Subject::Raw).unwrap_or(ours);
            println!("{}", row(case, raw, ours));
            for (subject, samples) in [("raw", raw), ("hedgerow", ours)] {
                lines.push(json!({
                    "case": case.name,
                    "subject": subject,
                    "message_bytes": case.bytes,
                    "bytes_per_s": median(samples, |s| s.figures.bytes_per_s),
                    "micros": median(samples, |s| s.figures.micros),
                    "micros_p99": median(samples, |s| s.figures.micros_p99),
                    "sender_rss_kib": median(samples, |s| s.sender_rss_kib as f64),
                    "receiver_rss_kib": median(samples, |s| s.receiver_rss_kib as f64),
                    "cpu_us": median(samples, |s| s.cpu_us as f64),
                    "runs": samples.len(),
                }));
            }
        }
        lines.iter().for_each(|line| println!("{line}"));
    }
}

fn row(case: &Case, raw: &[Sample], ours: &[Sample]) -> String {
    let both = |figure: fn(&Sample) -> f64| (median(raw, figure), median(ours, figure));
    let goodput = matches!(case.kind, Kind::Messages | Kind::Stream);
    let ((raw_value, value), unit) = if goodput {
        (both(|s| s.figures.bytes_per_s / 1e6), "MB/s")
    } else {
        (both(|s| s.figures.micros), "us")
    };
    let (raw_p99, p99) = both(|s| s.figures.micros_p99);
    let p99s = if case.kind == Kind::PingPong {
        [format!("{raw_p99:.0} us"), format!("{p99:.0} us")]
    } else {
        [String::new(), String::new()]
    };
    let (_, rss) = both(|s| s.sender_rss_kib.max(s.receiver_rss_kib) as f64 / 1e3);
    let (raw_cpu, cpu) = both(|s| s.cpu_us as f64);
    format!(
        "{:<18} {:>13} {:>13} {:>7.2} {:>11} {:>11} {rss:>8.1} {:>8.1}",
        case.name,
        format!("{raw_value:.0} {unit}"),
        format!("{value:.0} {unit}"),
        value / raw_value,
        p99s[0],
        p99s[1],
        cpu / raw_cpu,
    )
}
