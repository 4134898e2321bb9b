//! The house polices itself: what CONTRIBUTING.md asks of sizes, names and arrows, as tests.
//!
//! Each rule is a function from what it looks at to a list of problems, so that a test beside
//! it can show that it bites.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

#[path = "tidy/licences.rs"]
mod licences;
#[path = "tidy/limits.rs"]
mod limits;
#[path = "tidy/promises.rs"]
mod promises;
#[path = "tidy/scan.rs"]
mod scan;
#[path = "tidy/tree.rs"]
mod tree;

use scan::{Source, line, words};
use tree::{Manifest, files, locked, manifests, root, sources};

/// Lines of a file before its test module: what can be understood in ten minutes.
const FILE_LINES_MAX: usize = 600;
/// Lines of code in a function: one screen. The same as in clippy.toml.
const FUNCTION_LINES_MAX: usize = 70;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] =
    ["util", "utils", "helper", "helpers", "common", "misc", "manager", "types"];

/// The folders that ARCHITECTURE.md knows.
const TOP_FOLDERS: [&str; 8] =
    ["cli", "core", "docs", "examples", "hw-tests", "node", "sim", "transports"];

/// What the core may depend on. Each of these compiles and runs without std; a new one needs a
/// sentence in the commit: what it saves, its size, its licence, who keeps it.
const CORE_DEPENDENCIES: [&str; 12] = [
    "blake2",
    "bytes",
    "chacha20poly1305",
    "crc32fast",
    "curve25519-dalek",
    "ed25519-dalek",
    "postcard",
    "serde",
    "snow",
    "subtle",
    "thiserror",
    "zeroize",
];

/// What those bring along.
const CORE_GRAPH: [&str; 19] = [
    "aead",
    "block-buffer",
    "cfg-if",
    "chacha20",
    "cipher",
    "cobs",
    "cpufeatures",
    "crypto-common",
    "digest",
    "ed25519",
    "generic-array",
    "inout",
    "opaque-debug",
    "poly1305",
    "serde_core",
    "sha2",
    "signature",
    "typenum",
    "universal-hash",
];

/// On aarch64, `cpufeatures` takes one declaration from this.
const CORE_GRAPH_ON_AARCH64: &str = "libc";

/// Who may depend on whom, dev-dependencies included: folder of the crate, name of its package
/// where it is fixed, its arrows. Nobody has an arrow to `hedgerow-sim`.
const ARROWS: [(&str, &str, &[&str]); 15] = [
    ("core", "hedgerow-core", &[]),
    ("core/bare", "hedgerow-bare", &["hedgerow-core"]),
    ("core/ffi", "hedgerow-ffi", &["hedgerow-core"]),
    ("core/fuzz", "hedgerow-fuzz", &["hedgerow-core"]),
    ("transports/driver", "hedgerow-driver", &["hedgerow-core"]),
    ("transports/netem", "hedgerow-netem", &["hedgerow-core"]),
    ("transports/lan", "hedgerow-lan", &["hedgerow-core", "hedgerow-driver"]),
    ("transports/ble", "hedgerow-ble", &["hedgerow-core", "hedgerow-driver"]),
    (
        "transports/wifi-direct",
        "hedgerow-wifi-direct",
        &["hedgerow-core", "hedgerow-driver", "hedgerow-lan"],
    ),
    (
        "transports/memory",
        "hedgerow-memory",
        &["hedgerow-core", "hedgerow-driver", "hedgerow-netem"],
    ),
    (
        "node",
        "hedgerow",
        &[
            "hedgerow-core",
            "hedgerow-driver",
            "hedgerow-lan",
            "hedgerow-ble",
            "hedgerow-wifi-direct",
            "hedgerow-memory",
        ],
    ),
    ("node/bench", "hedgerow-bench", &["hedgerow", "hedgerow-core"]),
    ("sim", "hedgerow-sim", &["hedgerow-core", "hedgerow-netem"]),
    ("cli", "hedgerow-cli", &["hedgerow"]),
    ("hw-tests", "hedgerow-hw-tests", &["hedgerow"]),
];

/// The arrows of `examples` and of any crate below it.
const EXAMPLE_ARROWS: &[&str] = &["hedgerow"];

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n\n{}\n", problems.join("\n"));
}

fn in_all_sources(rule: impl Fn(&Source) -> Vec<String>) {
    let problems: Vec<_> = sources().iter().flat_map(rule).collect();
    assert_none(&problems);
}

/// A problem for each place of a view where one of `banned` stands as a word.
fn banned(source: &Source, view: &str, banned: &[&str], advice: &str) -> Vec<String> {
    let place = |word: &&str, at| format!("{}:{}: `{word}`: {advice}", source.path, line(view, at));
    banned
        .iter()
        .flat_map(|word| words(view, word).into_iter().map(move |at| place(word, at)))
        .collect()
}

// Sizes.

fn long_file(source: &Source) -> Vec<String> {
    let lines = source.product_lines();
    if source.is_test() || lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    vec![format!(
        "{}:{lines}: {lines} lines before the tests, over {FILE_LINES_MAX}: split the file by \
         meaning (a state, a message, a table), never into parts",
        source.path
    )]
}

fn long_functions(source: &Source) -> Vec<String> {
    let is_excused = |attributes: &str| {
        let lint = words(attributes, "clippy::too_many_lines").first().copied();
        let reason = |rest: &str| rest.split_once("reason = ").map(|(_, text)| text.to_owned());
        // A literal is all quotation marks here; an empty one has just two.
        lint.and_then(|at| reason(&attributes[at..])).is_some_and(|text| text.starts_with("\"\"\""))
    };
    source
        .functions()
        .iter()
        .filter(|f| f.body_lines > FUNCTION_LINES_MAX && !is_excused(&f.attributes))
        .map(|f| {
            format!(
                "{}:{}: `{}` has {} lines of code, over {FUNCTION_LINES_MAX}: let it decide and \
                 move the work into functions it calls, or say why not in `#[expect(\
                 clippy::too_many_lines, reason = \"...\")]`",
                source.path, f.line, f.name, f.body_lines
            )
        })
        .collect()
}

#[test]
fn no_file_is_too_long() {
    in_all_sources(long_file);
}

#[test]
fn no_function_is_too_long() {
    in_all_sources(long_functions);
}

#[test]
fn long_things_are_found() {
    let file = |lines| "a;\n".repeat(lines) + "#[cfg(test)]\nmod tests {}\n" + &"\n".repeat(999);
    assert_eq!(long_file(&Source::new("core/src/a.rs", &file(601))).len(), 1);
    assert_eq!(long_file(&Source::new("core/src/a.rs", &file(600))), [""; 0]);
    assert_eq!(long_file(&Source::new("core/tests/a.rs", &file(601))), [""; 0]);

    let function = |attribute: &str, lines| {
        let text = format!("{attribute}\nfn a() {{\n{}}}\n", "b(); // {\n\n".repeat(lines));
        long_functions(&Source::new("a.rs", &text)).len()
    };
    assert_eq!(function("", 70), 0);
    assert_eq!(function("", 71), 1);
    assert_eq!(function("#[expect(clippy::too_many_lines)]", 71), 1);
    assert_eq!(function("#[allow(clippy::too_many_lines, reason = \"\")]", 71), 1);
    assert_eq!(function("#[allow(clippy::too_many_lines, reason = \"a table\")]", 71), 0);
}

// Names.

fn empty_names(source: &Source) -> Vec<String> {
    let advice = "says nothing about what is inside: name it after its one idea";
    let parts: Vec<_> = source.path.trim_end_matches(".rs").split('/').collect();
    let mut problems: Vec<_> = parts
        .iter()
        .filter(|part| EMPTY_NAMES.contains(part))
        .map(|part| format!("{}:1: `{part}` {advice}", source.path))
        .collect();
    if let [.., folder, file] = parts[..]
        && folder == file
    {
        problems.push(format!(
            "{}:1: named like its folder: use `{folder}.rs` beside the folder, or name it after \
             what it adds",
            source.path
        ));
    }
    for at in words(&source.code, "mod") {
        let rest = source.code[at + 3..].trim_start();
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if EMPTY_NAMES.contains(&name.as_str()) {
            problems.push(format!(
                "{}:{}: `mod {name}` {advice}",
                source.path,
                line(&source.code, at)
            ));
        }
    }
    problems
}

#[test]
fn every_name_says_something() {
    in_all_sources(empty_names);
}

#[test]
fn empty_names_are_found() {
    let problems = |path, text| empty_names(&Source::new(path, text)).len();
    assert_eq!(problems("core/src/link/utils.rs", ""), 1);
    assert_eq!(problems("core/tests/common/mod.rs", ""), 1);
    assert_eq!(problems("core/src/link/link.rs", ""), 1);
    assert_eq!(problems("core/src/link.rs", "pub(crate) mod types;\nmod helpers {}"), 2);
    assert_eq!(problems("core/src/link.rs", "mod typestate; // mod util\nuse util::x;"), 0);
}

// Unfinished work, clocks and sleeps.

fn unfinished(source: &Source) -> Vec<String> {
    let mut problems = banned(
        source,
        &source.product,
        &["todo!", "unimplemented!", "dbg!"],
        "finish it, or open an issue and leave a typed error",
    );
    problems.extend(banned(
        source,
        &source.code,
        &["#[ignore"],
        "a test runs or says SKIP with a reason: mend it, or delete it",
    ));
    problems.extend(banned(
        source,
        &source.comments,
        &["FIXME", "XXX"],
        "mend it, or open an issue: code carries no notes to oneself",
    ));
    problems
}

fn real_time(source: &Source) -> Vec<String> {
    if !["core/", "sim/"].iter().any(|folder| source.path.starts_with(folder)) {
        return Vec::new();
    }
    // A command that plays worlds for some minutes; no world sees its clock.
    if source.path == "sim/src/soak.rs" {
        return Vec::new();
    }
    let words = ["sleep(", "Instant::now", "SystemTime::now"];
    banned(source, &source.code, &words, "time is an input here: take `now` as an argument")
}

#[test]
fn nothing_is_left_unfinished() {
    in_all_sources(unfinished);
}

#[test]
fn core_and_sim_never_read_a_clock() {
    in_all_sources(real_time);
}

#[test]
fn unfinished_work_and_clocks_are_found() {
    let problems = |text| unfinished(&Source::new("core/src/a.rs", text)).len();
    assert_eq!(problems("fn a() { todo!() }\nfn b() { dbg!(unimplemented!()) }"), 3);
    assert_eq!(problems("// FIXME\n/* XXX */"), 2);
    assert_eq!(
        problems("#[cfg(test)]\nmod tests {\n#[test]\n#[ignore = \"flaky\"]\nfn a() {}\n}"),
        1
    );
    assert_eq!(
        problems("#[cfg(test)]\nmod tests { fn a() { todo!() } }\nconst A: &str = \"XXX\";"),
        0
    );

    let clocks = "std::thread::sleep(d); Instant::now(); let now = Instant::EPOCH;";
    assert_eq!(real_time(&Source::new("sim/tests/a.rs", clocks)).len(), 2);
    assert_eq!(real_time(&Source::new("node/src/a.rs", clocks)), [""; 0]);
}

// The walls.

fn core_wall(source: &Source) -> Vec<String> {
    if !source.path.starts_with("core/src/") {
        return Vec::new();
    }
    let advice = "the core has no std, runtime, socket, clock, thread or unsafe code: make it an \
                  input, or move it to the node";
    let words = ["std::", "extern crate std", "tokio", "unsafe", "unsafe_code"];
    let mut problems = banned(source, &source.product, &words, advice);
    if source.path == "core/src/lib.rs" && !source.code.contains("#![no_std]") {
        problems.push("core/src/lib.rs:1: `#![no_std]` is missing: put it back".to_owned());
    }
    problems
}

fn core_dependencies(manifest: &Manifest) -> Vec<String> {
    manifest
        .dependencies
        .iter()
        .filter(|d| d.is_normal && !CORE_DEPENDENCIES.contains(&d.name.as_str()))
        .map(|d| {
            format!(
                "{}:{}: `{}` is new in the core: do without it, or add it to CORE_DEPENDENCIES \
                 in core/tests/tidy.rs with the reason in the commit",
                manifest.path, d.line, d.name
            )
        })
        .collect()
}

/// The arrows of the crate in `folder`, and its name where that is fixed.
fn arrows_of(folder: &str) -> Option<(Option<&'static str>, &'static [&'static str])> {
    if folder == "examples" || folder.starts_with("examples/") {
        return Some((None, EXAMPLE_ARROWS));
    }
    let (_, package, arrows) = ARROWS.iter().find(|(known, ..)| *known == folder)?;
    Some((Some(package), arrows))
}

fn wrong_arrows(manifest: &Manifest) -> Vec<String> {
    let Some((package, arrows)) = arrows_of(&manifest.folder) else {
        return vec![format!(
            "{}:1: a crate that ARCHITECTURE.md does not know: add it there and to ARROWS in \
             core/tests/tidy.rs",
            manifest.path
        )];
    };
    let mut problems = Vec::new();
    if package.is_some_and(|package| package != manifest.package) {
        problems.push(format!(
            "{}:1: the package is called `{}`: call it `{}`, as ARCHITECTURE.md does",
            manifest.path,
            manifest.package,
            package.unwrap_or_default()
        ));
    }
    let is_ours = |name: &str| name == "hedgerow" || name.starts_with("hedgerow-");
    let wrong = |name: &str| is_ours(name) && !arrows.contains(&name);
    problems.extend(manifest.dependencies.iter().filter(|d| wrong(&d.name)).map(|d| {
        format!(
            "{}:{}: `{}` must not depend on `{}`, dev-dependencies included: the arrows are in \
             ARCHITECTURE.md",
            manifest.path, d.line, manifest.package, d.name
        )
    }));
    problems
}

#[test]
fn core_has_no_std_and_no_unsafe_code() {
    in_all_sources(core_wall);
}

#[test]
fn core_depends_on_little() {
    let manifests = manifests();
    let core = manifests.iter().find(|m| m.folder == "core").expect("the core is a crate");
    assert_none(&core_dependencies(core));
}

#[test]
fn crates_depend_along_the_arrows() {
    let problems: Vec<_> = manifests().iter().flat_map(wrong_arrows).collect();
    assert_none(&problems);
}

#[test]
fn arrows_make_no_circle() {
    let mut below = BTreeSet::new();
    while below.len() < ARROWS.len() {
        let next = ARROWS.iter().find(|(_, package, arrows)| {
            !below.contains(package) && arrows.iter().all(|arrow| below.contains(arrow))
        });
        let (_, package, _) = next.expect("some crate depends only on crates below it");
        below.insert(*package);
    }
}

#[test]
fn breaches_of_the_walls_are_found() {
    let problems = |text| core_wall(&Source::new("core/src/a.rs", text)).len();
    assert_eq!(problems("use std::time::Instant;"), 1);
    assert_eq!(problems("extern crate std;\nfn a() { unsafe { b() } }"), 2);
    assert_eq!(problems("#[cfg(test)]\nmod tests { use std::fs; }\n// std::fs\nuse core::fmt;"), 0);
    assert_eq!(core_wall(&Source::new("core/src/lib.rs", "mod a;")).len(), 1);

    let manifest = |path, name, dependencies: &str| {
        Manifest::parse(path, &format!("[package]\nname = \"{name}\"\n{dependencies}"))
    };
    let core = manifest("core/Cargo.toml", "hedgerow-core", "[dependencies]\nlog = \"1\"");
    assert_eq!(core_dependencies(&core).len(), 1);
    let wrong = |path, name, dependency: &str| {
        wrong_arrows(&manifest(path, name, &format!("[dev-dependencies]\n{dependency} = \"1\"")))
            .len()
    };
    let (lan, wifi) = ("transports/lan/Cargo.toml", "transports/wifi-direct/Cargo.toml");
    assert_eq!(wrong(lan, "hedgerow-lan", "hedgerow"), 1);
    assert_eq!(wrong(lan, "hedgerow-lan", "hedgerow-memory"), 1);
    assert_eq!(wrong(lan, "hedgerow-lan", "hedgerow-driver"), 0);
    assert_eq!(wrong(lan, "hedgerow-tcp", "tokio"), 1);
    assert_eq!(wrong(wifi, "hedgerow-wifi-direct", "hedgerow-lan"), 0);
    assert_eq!(wrong("core/Cargo.toml", "hedgerow-core", "hedgerow-sim"), 1);
    assert_eq!(wrong("cli/Cargo.toml", "hedgerow-cli", "hedgerow-sim"), 1);
    assert_eq!(wrong("tools/Cargo.toml", "hedgerow-tools", "tokio"), 1);
}

/// What is linked with the core on this host, by cargo's own resolution. Macros run in the
/// compiler and do not count.
#[test]
fn core_links_only_what_has_no_std() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--color=never", "--prefix=none", "--package=hedgerow-core"])
        .args(["--edges=normal,no-proc-macro", "--format={p};{f}"])
        .current_dir(root())
        .output()
        .expect("the cargo that runs this test can be run again");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).expect("cargo speaks UTF-8");
    assert!(tree.starts_with("hedgerow-core "), "{tree}");
    let mut known = [&CORE_DEPENDENCIES[..], &CORE_GRAPH, &["hedgerow-core"]].concat();
    if cfg!(target_arch = "aarch64") {
        known.push(CORE_GRAPH_ON_AARCH64);
    }
    let mut problems = BTreeSet::new();
    for line in tree.lines() {
        let (package, features) = line.split_once(';').expect("as the format says");
        let name = package.split(' ').next().unwrap_or_default();
        let features = features.trim_end_matches("(*)").trim();
        if !known.contains(&name) {
            problems.insert(format!(
                "core/Cargo.toml:1: {package} is new in the core's graph: do without it, or, if \
                 it has no std, add it to CORE_GRAPH in core/tests/tidy.rs"
            ));
        }
        if features.split(',').any(|feature| feature == "std") {
            problems.insert(format!(
                "core/Cargo.toml:1: {package} is built with its feature `std`: switch it off"
            ));
        }
    }
    assert_none(&problems.into_iter().collect::<Vec<_>>());
}

// The repository.

#[test]
fn top_folders_are_those_of_the_architecture() {
    let files = files();
    let folders: BTreeSet<_> = files
        .iter()
        .filter_map(|file| Some(file.split_once('/')?.0))
        .filter(|folder| !folder.starts_with('.') && !TOP_FOLDERS.contains(folder))
        .collect();
    let problem = |folder: &&str| {
        format!("{folder}/:1: ARCHITECTURE.md does not know this folder: move what is in it")
    };
    assert_none(&folders.iter().map(problem).collect::<Vec<_>>());
}

#[test]
fn every_crate_of_the_workspace_has_its_lints() {
    let problems: Vec<_> = manifests()
        .iter()
        .filter(|m| !m.is_workspace && !m.inherits_lints)
        .map(|m| format!("{}:1: add `[lints]` with `workspace = true`", m.path))
        .collect();
    assert_none(&problems);
}

/// The bare program proves something about the core only if it is built from the same crates.
#[test]
fn the_bare_program_is_locked_to_the_same_versions() {
    let ours: BTreeMap<_, BTreeSet<_>> =
        locked("Cargo.lock").into_iter().fold(BTreeMap::new(), |mut all, (name, version)| {
            all.entry(name).or_default().insert(version);
            all
        });
    let is_other = |name: &String, version: &String| {
        name != "hedgerow-bare" && !ours.get(name).is_some_and(|known| known.contains(version))
    };
    let problems: Vec<_> = locked("core/bare/Cargo.lock")
        .into_iter()
        .filter(|(name, version)| is_other(name, version))
        .map(|(name, version)| {
            format!(
                "core/bare/Cargo.lock:1: {name} {version} is not in Cargo.lock: `cp Cargo.lock \
                 core/bare/ && cargo build --release --manifest-path core/bare/Cargo.toml`"
            )
        })
        .collect();
    assert_none(&problems);
}
