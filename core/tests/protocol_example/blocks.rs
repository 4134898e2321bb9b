//! The named blocks of docs/protocol.md, and how they are written.

use std::fmt::Write as _;
use std::path::PathBuf;

/// Bytes in one line of a block.
const ROW: usize = 16;
/// Opens a block; its name follows.
const FENCE: &str = "```hex ";

/// A run of bytes and what it means.
pub(crate) type Line = (Vec<u8>, String);

/// One block as it must stand in the document.
pub(crate) struct Block {
    pub(crate) name: &'static str,
    text: String,
}

impl Block {
    /// Bytes with notes: a note stands behind the first row of its bytes.
    pub(crate) fn new(name: &'static str, lines: &[Line]) -> Self {
        let mut text = String::new();
        for (bytes, note) in lines {
            let rows: Vec<String> = bytes.chunks(ROW).map(hex).collect();
            let first = rows.first().map_or("", String::as_str);
            let _ = writeln!(text, "{}", format!("{first:<47}  ; {note}").trim_end());
            rows.iter().skip(1).for_each(|row| text.push_str(&format!("{row}\n")));
        }
        Self { name, text }
    }

    /// Plain text.
    pub(crate) fn text(name: &'static str, lines: &[String]) -> Self {
        Self { name, text: lines.iter().map(|line| format!("{line}\n")).collect() }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

fn document() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md")
}

/// What differs between the document's blocks and `blocks`, and the document as it should be.
pub(crate) fn compare(document: &str, blocks: &[Block]) -> (Vec<String>, String) {
    let mut problems = Vec::new();
    let mut fixed = String::new();
    let mut seen = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let _ = writeln!(fixed, "{line}");
        let Some(name) = line.strip_prefix(FENCE) else { continue };
        let body: String =
            lines.by_ref().take_while(|line| *line != "```").map(|l| format!("{l}\n")).collect();
        let block = blocks.iter().find(|block| block.name == name);
        seen.push(name);
        match block {
            None => problems.push(format!("`{name}` is a block that no test makes")),
            Some(block) if block.text != body => {
                problems.push(format!("`{name}` reads\n{body}and must read\n{}", block.text))
            }
            Some(_) => {}
        }
        fixed.push_str(block.map_or(&body, |block| &block.text));
        fixed.push_str("```\n");
    }
    for block in blocks {
        let times = seen.iter().filter(|name| **name == block.name).count();
        if times != 1 {
            problems.push(format!("`{}` stands there {times} times, not once", block.name));
        }
    }
    (problems, fixed)
}

/// Holds the document against `blocks`; with `HEDGEROW_BLESS` set, writes them into it.
pub(crate) fn check(blocks: &[Block]) {
    let path = document();
    let text = std::fs::read_to_string(&path).expect("docs/protocol.md can be read");
    let (problems, fixed) = compare(&text, blocks);
    if std::env::var_os("HEDGEROW_BLESS").is_some() {
        std::fs::write(&path, &fixed).expect("docs/protocol.md can be written");
        let (left, _) = compare(&fixed, blocks);
        assert!(left.is_empty(), "add these blocks by hand:\n{}", left.join("\n"));
        return;
    }
    assert!(
        problems.is_empty(),
        "docs/protocol.md, section 10, does not show what the code does:\n{}\nWhere the code is \
         right: HEDGEROW_BLESS=1 cargo test -p hedgerow-core --test protocol_example",
        problems.join("\n")
    );
}
