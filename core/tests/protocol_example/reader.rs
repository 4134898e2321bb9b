//! Reads bytes as docs/protocol.md says, without the core's decoders, and notes what each means.

use super::blocks::Line;

/// Takes fields off the front of some bytes.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    lines: Vec<Line>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest, lines: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// So many bytes as they are.
    pub(crate) fn bytes(&mut self, length: usize, note: &str) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.lines.push((taken.to_vec(), note.to_string()));
        taken
    }

    pub(crate) fn byte(&mut self, note: &str) -> u8 {
        self.bytes(1, note)[0]
    }

    /// A number in base 128, lowest digit first.
    pub(crate) fn varint(&mut self, note: &str) -> u64 {
        let length = 1 + self.rest.iter().position(|byte| byte & 0x80 == 0).expect("it ends");
        let digits = self.rest[..length].iter().enumerate();
        let value = digits.map(|(at, digit)| u64::from(digit & 0x7f) << (7 * at)).sum();
        self.bytes(length, &format!("{note}: {value}"));
        value
    }

    /// The same, noted in hexadecimal: an identifier.
    pub(crate) fn identifier(&mut self, note: &str) {
        let value = self.varint(note);
        if let Some((_, note)) = self.lines.last_mut() {
            *note = note.replace(&format!(": {value}"), &format!(": 0x{value:08x}"));
        }
    }

    /// A length (varint) and so many bytes.
    pub(crate) fn counted(&mut self, note: &str) -> &'a [u8] {
        let length = usize::try_from(self.varint(&format!("{note}, length"))).expect("it is here");
        if length == 0 { &[] } else { self.bytes(length, note) }
    }

    /// A length (varint) and so much UTF-8.
    pub(crate) fn text(&mut self, note: &str) -> &'a str {
        let bytes = self.counted(note);
        let text = std::str::from_utf8(bytes).expect("it is UTF-8");
        if let Some((_, note)) = self.lines.last_mut().filter(|_| !text.is_empty()) {
            *note = format!("{note} \"{text}\"");
        }
        text
    }

    /// A head line without bytes.
    pub(crate) fn head(&mut self, note: &str) {
        self.lines.push((Vec::new(), note.to_string()));
    }

    /// All that was noted; nothing may be left.
    pub(crate) fn end(self) -> Vec<Line> {
        assert!(self.rest.is_empty(), "{} bytes are left", self.rest.len());
        self.lines
    }
}
