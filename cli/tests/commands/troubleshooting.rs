//! docs/troubleshooting.md: each of its lines is held by a test that exists.

use std::fs;
use std::path::Path;

fn sources(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|end| end == "rs") {
            all.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// The words in backticks of the last cell of a row.
fn named(row: &str) -> Vec<&str> {
    let cell = row.trim_end_matches('|').rsplit('|').next().unwrap();
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_line_of_the_page_is_held_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("docs/troubleshooting.md")).unwrap();
    let mut all = String::new();
    for folder in ["cli/src", "cli/tests", "node/src", "node/tests", "transports"] {
        sources(&root.join(folder), &mut all);
    }
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| what you see |");
    let rows: Vec<&str> = page.lines().filter(is_row).collect();
    assert!(rows.len() > 25, "{} rows", rows.len());
    for row in rows {
        let tests = named(row);
        assert!(!tests.is_empty(), "no test: {row}");
        for test in tests {
            assert!(all.contains(&format!("fn {test}()")), "no test is called {test}: {row}");
        }
    }
}
