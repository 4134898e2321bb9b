//! The reports of a run: JSON lines as it goes, a table and JUnit's XML at the end.

mod junit;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use crate::outcome::{Outcome, Summary};

/// Where JSON lines go that are not for a file.
const STANDARD_OUTPUT: &str = "-";

/// Everything that is written about a run.
pub(crate) struct Report {
    json: Option<Box<dyn Write>>,
    is_json_on_stdout: bool,
    junit: Option<PathBuf>,
    outcomes: Vec<Outcome>,
}

impl Report {
    /// Opens the files, so that a bad path is known before the first scenario.
    pub(crate) fn open(json: Option<&Path>, junit: Option<PathBuf>) -> anyhow::Result<Self> {
        let is_json_on_stdout = json == Some(Path::new(STANDARD_OUTPUT));
        let json: Option<Box<dyn Write>> = match json {
            None => None,
            Some(_) if is_json_on_stdout => Some(Box::new(io::stdout())),
            Some(path) => Some(Box::new(created(path)?)),
        };
        if let Some(path) = &junit {
            created(path)?;
        }
        Ok(Self { json, is_json_on_stdout, junit, outcomes: Vec::new() })
    }

    /// Adds a scenario. Its line is written at once: a run that is killed leaves those before.
    pub(crate) fn add(&mut self, outcome: Outcome) -> anyhow::Result<()> {
        self.line(&outcome)?;
        self.outcomes.push(outcome);
        Ok(())
    }

    /// Writes what comes at the end.
    pub(crate) fn close(mut self) -> anyhow::Result<Summary> {
        let summary = Summary::of(&self.outcomes);
        self.line(&summary)?;
        if let Some(path) = &self.junit {
            std::fs::write(path, junit::document(&self.outcomes))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        let table = table(&self.outcomes, summary);
        if self.is_json_on_stdout {
            io::stderr().write_all(table.as_bytes())?;
        } else {
            io::stdout().write_all(table.as_bytes())?;
        }
        Ok(summary)
    }

    fn line(&mut self, line: &impl Serialize) -> anyhow::Result<()> {
        let Some(json) = &mut self.json else { return Ok(()) };
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        json.write_all(text.as_bytes()).context("cannot write the JSON lines")?;
        json.flush().context("cannot write the JSON lines")
    }
}

fn created(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("cannot create {}", path.display()))
}

fn table(outcomes: &[Outcome], summary: Summary) -> String {
    let width = outcomes.iter().map(|o| o.scenario.len()).max().unwrap_or_default().max(8);
    let mut text = format!("\n{:width$}  RESULT     WALL  \n", "SCENARIO");
    for outcome in outcomes {
        let Outcome { scenario, result, wall_ms, reason, figures } = outcome;
        let said = reason.clone().unwrap_or_else(|| {
            let figures: Vec<_> = figures.iter().map(|(k, v)| format!("{k} {v}")).collect();
            figures.join(", ")
        });
        let said = said.lines().next().unwrap_or_default();
        let (seconds, tenths) = (wall_ms / 1_000, wall_ms % 1_000 / 100);
        let _ = writeln!(text, "{scenario:width$}  {result:6}  {seconds:4}.{tenths} s  {said}");
    }
    let Summary { passed, failed, skipped } = summary;
    let _ = writeln!(text, "{passed} passed, {failed} failed, {skipped} skipped");
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcome::{Figures, Skip};

    #[test]
    fn the_table_has_a_row_for_each_and_counts_them() {
        let passed =
            Outcome::of("ble-200-connects", Duration::from_millis(61_250), Ok(Figures::new()));
        let skip = Skip("no second adapter\nmore".to_owned());
        let skipped = Outcome::of("ble-mtu23", Duration::ZERO, Err(skip.into()));
        let outcomes = [passed, skipped];
        let table = table(&outcomes, Summary::of(&outcomes));
        let rows: Vec<&str> = table.lines().map(str::trim_end).collect();
        assert_eq!(rows[1], "SCENARIO          RESULT     WALL");
        assert_eq!(rows[2], "ble-200-connects  pass      61.2 s");
        assert_eq!(rows[3], "ble-mtu23         skip       0.0 s  no second adapter");
        assert_eq!(rows[4], "1 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn lines_are_written_as_scenarios_end_and_the_summary_comes_last() {
        let folder = tempfile::tempdir().unwrap();
        let (json, junit) = (folder.path().join("a.json"), folder.path().join("a.xml"));
        let mut report = Report::open(Some(&json), Some(junit.clone())).unwrap();
        report.add(Outcome::of("rig-self", Duration::ZERO, Ok(Figures::new()))).unwrap();
        assert_eq!(std::fs::read_to_string(&json).unwrap().lines().count(), 1);
        let summary = report.close().unwrap();
        assert_eq!(summary.passed, 1);
        let lines = std::fs::read_to_string(&json).unwrap();
        let last = lines.lines().last().unwrap();
        assert_eq!(last, r#"{"event":"summary","passed":1,"failed":0,"skipped":0}"#);
        assert!(std::fs::read_to_string(&junit).unwrap().contains("rig-self"));
    }
}
