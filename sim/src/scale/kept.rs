//! Rows that were measured before: a run that was stopped goes on where it was.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::Row;
use super::jobs::Job;

/// A file with a row in each line, or none.
#[derive(Debug, Default)]
pub struct Kept {
    rows: Vec<Line>,
    file: Option<Mutex<File>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    seed: u64,
    is_radio: bool,
    row: Row,
}

impl Kept {
    /// The rows of a file, to which those that are measured now are added. What it has counts
    /// whichever program measured it.
    ///
    /// # Errors
    /// If the file cannot be read or written, or has something else in it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut rows = Vec::new();
        for line in BufReader::new(&file).lines() {
            let line = serde_json::from_str(&line?);
            rows.push(line.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?);
        }
        Ok(Self { rows, file: Some(Mutex::new(file)) })
    }

    /// The row of a mesh, if there is one.
    pub(super) fn find(&self, job: &Job, seed: u64) -> Option<Row> {
        let is_it = |line: &&Line| {
            (line.seed, line.is_radio) == (seed, job.is_radio)
                && (line.row.shape, line.row.nodes) == (job.shape, job.nodes)
        };
        self.rows.iter().find(is_it).map(|line| line.row.clone())
    }

    /// Adds a row.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn add(&self, job: &Job, seed: u64, row: &Row) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let line = Line { seed, is_radio: job.is_radio, row: row.clone() };
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        // A line is whole or not there, whoever stops the run.
        file.lock().unwrap_or_else(PoisonError::into_inner).write_all(text.as_bytes())
    }
}
