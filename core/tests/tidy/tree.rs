//! What stands in the repository: files and crates.

use std::fs;
use std::path::{Path, PathBuf};

use crate::scan::Source;

/// A crate, as far as its manifest tells.
pub(crate) struct Manifest {
    /// The manifest's path from the top of the repository.
    pub(crate) path: String,
    /// The crate's folder from the top of the repository.
    pub(crate) folder: String,
    pub(crate) package: String,
    pub(crate) dependencies: Vec<Dependency>,
    /// Whether it is the root of a workspace of its own.
    pub(crate) is_workspace: bool,
    pub(crate) inherits_lints: bool,
}

/// An entry of one of a manifest's dependency tables, those for some target included.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) is_normal: bool,
    pub(crate) line: usize,
}

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("core has a parent").to_owned()
}

/// Every file that the repository may track, from its top, with `/`, in order.
pub(crate) fn files() -> Vec<String> {
    let mut files = Vec::new();
    walk(&root(), "", &mut files);
    files.sort();
    assert!(files.iter().any(|file| file == "core/tests/tidy.rs"), "the walk misses this file");
    files
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<String>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let entry = entry.expect("a folder can be read to its end");
        let name = entry.file_name().into_string().expect("file names are UTF-8");
        let kind = entry.file_type().expect("a file has a kind");
        let path = format!("{prefix}{name}");
        if kind.is_file() {
            files.push(path);
        } else if kind.is_dir() && name != "target" && (!name.starts_with('.') || name == ".ci") {
            walk(&entry.path(), &format!("{path}/"), files);
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Every Rust file.
pub(crate) fn sources() -> Vec<Source> {
    let is_rust = |path: &String| Path::new(path).extension().is_some_and(|e| e == "rs");
    files().into_iter().filter(is_rust).map(|path| Source::new(&path, &read(&path))).collect()
}

/// Every crate, of this workspace or beside it.
pub(crate) fn manifests() -> Vec<Manifest> {
    let manifests: Vec<_> = files()
        .into_iter()
        .filter(|path| path.ends_with("/Cargo.toml"))
        .map(|path| Manifest::parse(&path, &read(&path)))
        .collect();
    assert!(manifests.iter().any(|m| m.package == "hedgerow-core"), "the walk misses the core");
    manifests
}

/// The name and version of every package in a lock file.
pub(crate) fn locked(path: &str) -> Vec<(String, String)> {
    let text = read(path);
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
        line.map(|line| line.trim_end_matches('"').to_owned())
    };
    text.split("[[package]]")
        .filter_map(|block| Some((value(block, "name")?, value(block, "version")?)))
        .collect()
}

impl Manifest {
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let mut manifest = Self {
            path: path.to_owned(),
            folder: path.trim_end_matches("/Cargo.toml").to_owned(),
            package: String::new(),
            dependencies: Vec::new(),
            is_workspace: false,
            inherits_lints: false,
        };
        let mut header = String::new();
        // Open brackets of a value that goes on over several lines.
        let mut depth = 0_i32;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if depth == 0 && line.starts_with('[') {
                header = line.trim_matches(['[', ']']).to_owned();
                manifest.is_workspace |= header == "workspace";
                if let Some((is_normal, Some(name))) = dependency_table(&header) {
                    manifest.dependencies.push(Dependency { name, is_normal, line: number });
                }
                continue;
            }
            if let (0, Some((key, value))) = (depth, line.split_once('=')) {
                manifest.entry(&header, key.trim(), value.trim(), number);
            }
            depth += count(line, &['[', '{']) - count(line, &[']', '}']);
        }
        manifest
    }

    fn entry(&mut self, header: &str, key: &str, value: &str, line: usize) {
        match (header, key) {
            ("package", "name") => value.trim_matches('"').clone_into(&mut self.package),
            ("lints", "workspace") => self.inherits_lints = value == "true",
            _ => {}
        }
        if let Some((is_normal, None)) = dependency_table(header) {
            let alias = key.split('.').next().unwrap_or(key).trim_matches('"');
            let renamed = value.split_once("package").and_then(|(_, rest)| rest.split('"').nth(1));
            let name = renamed.unwrap_or(alias).to_owned();
            self.dependencies.push(Dependency { name, is_normal, line });
        }
    }
}

fn count(line: &str, of: &[char]) -> i32 {
    i32::try_from(line.matches(of).count()).expect("a line is short")
}

/// Whether a table is one of dependencies: normal or not, and of which one if only of one.
fn dependency_table(header: &str) -> Option<(bool, Option<String>)> {
    let header = format!(".{header}");
    if header.starts_with(".workspace.") {
        return None;
    }
    for (kind, is_normal) in
        [(".dependencies", true), (".dev-dependencies", false), (".build-dependencies", false)]
    {
        if header.ends_with(kind) {
            return Some((is_normal, None));
        }
        if let Some((_, name)) = header.split_once(&format!("{kind}.")) {
            return Some((is_normal, Some(name.trim_matches('"').to_owned())));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_dependency_is_read() {
        let text = "[package]\nname = \"a\" # the name\n[features]\nx = [\n  \"y\",\n]\n\
            [dependencies]\nb.workspace = true\nc = { version = \"1\", features = [\n  \"d\",\n] }\n\
            e = { package = \"f\", version = \"1\" }\n[dependencies.g]\nversion = \"1\"\n\
            [target.'cfg(unix)'.dependencies]\nh = \"1\"\n[dev-dependencies]\ni = \"1\"\n\
            [build-dependencies]\nj = \"1\"\n[workspace.dependencies]\nk = \"1\"\n\
            [lints]\nworkspace = true\n";
        let manifest = Manifest::parse("x/y/Cargo.toml", text);
        let read: Vec<_> =
            manifest.dependencies.iter().map(|d| (d.name.as_str(), d.is_normal)).collect();
        let expected = [
            ("b", true),
            ("c", true),
            ("f", true),
            ("g", true),
            ("h", true),
            ("i", false),
            ("j", false),
        ];
        assert_eq!(read, expected);
        assert_eq!(manifest.dependencies[0].line, 8);
        assert_eq!((manifest.folder.as_str(), manifest.package.as_str()), ("x/y", "a"));
        assert!(manifest.inherits_lints && !manifest.is_workspace);
    }
}
