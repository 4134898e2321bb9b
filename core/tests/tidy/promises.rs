//! The documents that promise something name the test that holds it: in the last column of any
//! table headed "held by". A name there is that of a function in some test.

use std::collections::BTreeSet;
use std::fs;

use crate::tree::{files, root, sources};

/// The heading of the column.
const HEADING: &str = "held by";

/// Every name in a column "held by" of a Markdown text, with its line.
fn promised(text: &str) -> Vec<(usize, &str)> {
    let mut names = Vec::new();
    let mut inside = false;
    for (at, line) in text.lines().enumerate() {
        let Some(row) = line.strip_prefix('|') else {
            inside = false;
            continue;
        };
        let last = row.trim_end().trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        if inside {
            names.extend(last.split('`').skip(1).step_by(2).map(|name| (at + 1, name)));
        } else {
            inside = last.trim() == HEADING;
        }
    }
    names
}

/// A problem for each row without a name and each name that is no test's.
fn broken(path: &str, text: &str, tests: &BTreeSet<String>) -> Vec<String> {
    promised(text)
        .into_iter()
        .filter(|(_, name)| !tests.contains(*name))
        .map(|(line, name)| format!("{path}:{line}: no test is called `{name}`"))
        .collect()
}

#[test]
fn what_the_documents_promise_is_held_by_a_test() {
    let tests: BTreeSet<String> = sources()
        .iter()
        .flat_map(|source| source.functions())
        .filter(|function| function.attributes.contains("test"))
        .map(|function| function.name)
        .collect();
    let read = |path: &String| fs::read_to_string(root().join(path)).expect("a document is text");
    let documents: Vec<_> = files().into_iter().filter(|path| path.ends_with(".md")).collect();
    let texts: Vec<_> = documents.iter().map(|path| (path, read(path))).collect();
    assert!(texts.iter().any(|(_, text)| !promised(text).is_empty()), "nothing is promised");
    let problems: Vec<_> =
        texts.iter().flat_map(|(path, text)| broken(path, text, &tests)).collect();
    crate::assert_none(&problems);
}

#[test]
fn a_promise_without_its_test_is_found() {
    let text =
        "| what | held by |\n|---|---|\n| a `b` | `c`, `d` |\n\n| `e` | other |\n| f | `g` |\n";
    assert_eq!(promised(text), [(3, "c"), (3, "d")]);
    let tests = BTreeSet::from(["c".to_owned()]);
    assert_eq!(broken("a.md", text, &tests), ["a.md:3: no test is called `d`"]);
}
