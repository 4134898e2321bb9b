//! Every limit is reached on purpose: each constant of `core/src/limits.rs` is named by a test.

use crate::scan::{Source, line, words};
use crate::tree::sources;

/// Where the limits are.
const LIMITS: &str = "core/src/limits.rs";

/// The constants that a file makes public, each with where it stands.
fn limits(source: &Source) -> Vec<(usize, &str)> {
    words(&source.product, "pub const")
        .into_iter()
        .filter_map(|at| {
            let rest = source.product[at..].strip_prefix("pub const")?.trim_start();
            let end = rest.find(':')?;
            Some((line(&source.product, at), &rest[..end]))
        })
        .collect()
}

/// A problem for each limit whose name stands in no test.
fn unreached(limits: &[(usize, &str)], sources: &[Source]) -> Vec<String> {
    let tests: Vec<String> = sources.iter().map(Source::tests).collect();
    limits
        .iter()
        .filter(|(_, name)| tests.iter().all(|test| words(test, name).is_empty()))
        .map(|(line, name)| {
            format!(
                "{LIMITS}:{line}: no test names `{name}`: write one that reaches it on purpose and \
                 shows what happens there (an event or a counter, nothing grows beyond it, and the \
                 node works on); one that says the number in figures shall say the name"
            )
        })
        .collect()
}

#[test]
fn every_limit_is_reached_by_a_test() {
    let sources = sources();
    let file = sources.iter().find(|source| source.path == LIMITS).expect("there are limits");
    let limits = limits(file);
    assert!(limits.len() > 50, "the limits are not found: {limits:?}");
    crate::assert_none(&unreached(&limits, &sources));
}

#[test]
fn a_limit_that_no_test_names_is_found() {
    let text = "/// A\npub const A_MAX: usize = 1;\n// pub const B: u8 = 1;\nconst C: u8 = 1;\n\
                pub const D_MAX: u8 = A_MAX;";
    let file = Source::new(LIMITS, text);
    let found = limits(&file);
    assert_eq!(found, [(2, "A_MAX"), (5, "D_MAX")]);
    let problems = |path, text| unreached(&found, &[Source::new(path, text)]).len();
    assert_eq!(problems("core/src/a.rs", "use A_MAX; fn a() { D_MAX }"), 2);
    assert_eq!(problems("core/src/a.rs", "fn a() {}\n#[cfg(test)]\nmod tests { A_MAX; }"), 1);
    assert_eq!(problems("node/tests/a.rs", "fn a() { A_MAX + D_MAX }"), 0);
    assert_eq!(problems("node/tests/a.rs", "// A_MAX\nfn a() { D_MAX_TOO; \"D_MAX\" }"), 2);
}
