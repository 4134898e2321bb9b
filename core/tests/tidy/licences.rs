//! Licences and sources of everything that is linked, by the list in deny.toml: what
//! `cargo deny check licenses sources` would say, without having to build it first.

use std::process::{Command, Output};

use super::{assert_none, root};

/// The one registry that crates may come from, as Cargo.lock names it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn read(name: &str) -> String {
    let path = root().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The quoted words of `allow` in the section `[licenses]`.
fn allowed(deny: &str) -> Vec<&str> {
    let section = deny.split("\n[licenses]\n").nth(1).unwrap_or_default();
    let list = section.split("\nallow = [").nth(1).unwrap_or_default();
    let list = list.split("\n]").next().unwrap_or_default();
    list.lines().filter_map(|line| line.trim().strip_prefix('"')?.split('"').next()).collect()
}

/// Whether an SPDX expression can be met with the allowed licences; `/` is an old way to write
/// OR. `None` for what is no expression.
fn is_met(expression: &str, allowed: &[&str]) -> Option<bool> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    let met = either(&mut rest, allowed)?;
    rest.is_empty().then_some(met)
}

fn either(rest: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut met = both(rest, allowed)?;
    while take(rest, "OR") {
        met |= both(rest, allowed)?;
    }
    Some(met)
}

fn both(rest: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut met = one(rest, allowed)?;
    while take(rest, "AND") {
        met &= one(rest, allowed)?;
    }
    Some(met)
}

fn one(rest: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    if take(rest, "(") {
        let met = either(rest, allowed)?;
        return take(rest, ")").then_some(met);
    }
    let mut licence = word(rest)?.to_owned();
    if take(rest, "WITH") {
        licence = format!("{licence} WITH {}", word(rest)?);
    }
    Some(allowed.contains(&licence.as_str()))
}

fn take(rest: &mut &[&str], expected: &str) -> bool {
    let found = rest.first() == Some(&expected);
    if found {
        *rest = &rest[1..];
    }
    found
}

fn word<'a>(rest: &mut &[&'a str]) -> Option<&'a str> {
    let (first, others) = rest.split_first()?;
    *rest = others;
    Some(*first).filter(|word| !["(", ")", "AND", "OR", "WITH"].contains(word))
}

/// All packages with their licences; for all targets where the crates of others are here.
fn tree() -> Output {
    let run = |target: &[&str]| {
        Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--locked", "--workspace", "--color=never"])
            .args(["--prefix=none", "--edges=normal,build,dev", "--format={p};{l}"])
            .args(target)
            .current_dir(root())
            .output()
            .expect("the cargo that runs this test can be run again")
    };
    let all = run(&["--target=all"]);
    if all.status.success() { all } else { run(&[]) }
}

fn wrong_licences(tree: &str, allowed: &[&str]) -> Vec<String> {
    let packages = tree.lines().filter_map(|line| line.split_once(';'));
    let problem = |(package, licence): (&str, &str)| {
        let licence = licence.trim_end_matches("(*)").trim();
        let package = package.split(" (").next().unwrap_or(package);
        match is_met(licence, allowed) {
            Some(true) => None,
            Some(false) => Some(format!(
                "{package}: {licence} is not on the list in deny.toml: do without the crate, or \
                 add the licence if it is permissive"
            )),
            None => Some(format!("{package}: {licence:?} is no SPDX expression")),
        }
    };
    packages.filter_map(problem).collect()
}

fn wrong_sources(lock: &str) -> Vec<String> {
    let sources = lock.lines().filter_map(|line| line.strip_prefix("source = "));
    let wrong = sources.filter(|source| source.trim_matches('"') != REGISTRY);
    wrong.map(|source| format!("Cargo.lock: {source} is not crates.io")).collect()
}

#[test]
fn every_licence_is_on_the_list() {
    let tree = tree();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).expect("cargo speaks UTF-8");
    assert!(tree.contains("hedgerow-core ") && tree.lines().count() > 50, "{tree}");
    assert_none(&wrong_licences(&tree, &allowed(&read("deny.toml"))));
}

#[test]
fn every_crate_comes_from_the_registry() {
    assert_none(&wrong_sources(&read("Cargo.lock")));
}

#[test]
fn a_licence_that_is_not_on_the_list_is_found() {
    let list = allowed("\n[licenses]\n# why\nallow = [\n    \"MIT\",\n    \"Zlib\",\n]\n");
    assert_eq!(list, ["MIT", "Zlib"]);
    for (expression, met) in [
        ("MIT", Some(true)),
        ("GPL-3.0-only", Some(false)),
        ("MIT OR GPL-3.0-only", Some(true)),
        ("MIT/GPL-3.0", Some(true)),
        ("MIT AND GPL-3.0-only", Some(false)),
        ("(MIT OR X) AND (Y OR Zlib)", Some(true)),
        ("MIT WITH Classpath-exception-2.0", Some(false)),
        ("X OR MIT AND Y", Some(false)),
        ("", None),
        ("MIT OR", None),
        ("(MIT", None),
        ("MIT Zlib", None),
    ] {
        assert_eq!(is_met(expression, &list), met, "{expression}");
    }
    let tree = "a v1.0.0;MIT\n\nb v2.0.0 (/path);AGPL-3.0 (*)\nc v1.0.0;";
    let problems = wrong_licences(tree, &list);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("b v2.0.0: AGPL-3.0 is not on the list"));
    let lock = format!("source = \"{REGISTRY}\"\nsource = \"git+https://host/x\"\n");
    assert_eq!(wrong_sources(&lock).len(), 1);
}
