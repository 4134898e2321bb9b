//! Reads Rust source just well enough to count its lines and find its words.
//!
//! Not a parser: it knows literals, comments, lifetimes and brackets, and leaves the rest alone.

/// One source file in three views of the same length: a line, and a place in it, is the same in
/// all of them.
pub(crate) struct Source {
    /// From the top of the repository, with `/`.
    pub(crate) path: String,
    /// Comments are spaces, literals are quotation marks, characters outside ASCII `?`.
    pub(crate) code: String,
    /// `code` without its `#[cfg(test)]` items.
    pub(crate) product: String,
    /// Only comments; everything else is spaces.
    pub(crate) comments: String,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// The line of its `fn`.
    pub(crate) line: usize,
    /// Lines of code between its braces: as clippy counts, without comments and empty lines.
    pub(crate) body_lines: usize,
    /// What stands between the item before it and its `fn`.
    pub(crate) attributes: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let (code, comments) = split(text);
        let product = without_test_items(&code);
        Self { path: path.to_owned(), code, product, comments }
    }

    /// Whether the file holds nothing but tests.
    pub(crate) fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs")
    }

    /// `code` of its tests alone.
    pub(crate) fn tests(&self) -> String {
        if self.is_test() {
            return self.code.clone();
        }
        let items = test_items(&self.code);
        items.into_iter().map(|(start, end)| &self.code[start..end]).collect()
    }

    /// Lines before the file's test module.
    pub(crate) fn product_lines(&self) -> usize {
        let end = test_items(&self.code)
            .into_iter()
            .find(|&(start, end)| !words(&self.code[start..end], "mod").is_empty())
            .map_or(self.code.len(), |(start, _)| start);
        self.code[..end].lines().count()
    }

    pub(crate) fn functions(&self) -> Vec<Function> {
        words(&self.code, "fn").into_iter().filter_map(|at| function(&self.code, at)).collect()
    }
}

/// The line, from 1, of the place `at`.
pub(crate) fn line(text: &str, at: usize) -> usize {
    1 + text[..at].matches('\n').count()
}

/// Where `needle` stands in `text` and is not part of a longer word.
pub(crate) fn words(text: &str, needle: &str) -> Vec<usize> {
    let joins = |a: Option<char>, b: Option<char>| a.is_some_and(is_word) && b.is_some_and(is_word);
    text.match_indices(needle)
        .map(|(at, _)| at)
        .filter(|&at| {
            let (before, rest) = text.split_at(at);
            let (word, after) = rest.split_at(needle.len());
            !joins(before.chars().next_back(), word.chars().next())
                && !joins(word.chars().next_back(), after.chars().next())
        })
        .collect()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The views `code` and `comments` of `text`.
fn split(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (String::new(), String::new());
    let mut at = 0;
    while at < chars.len() {
        let (kind, end) = token(&chars, at);
        for &c in &chars[at..end] {
            let ascii = if c.is_ascii() { c } else { '?' };
            let (in_code, in_comments) = match kind {
                _ if c == '\n' => ('\n', '\n'),
                Token::Code => (ascii, ' '),
                Token::Literal => ('"', ' '),
                Token::Comment => (' ', ascii),
            };
            code.push(in_code);
            comments.push(in_comments);
        }
        at = end;
    }
    (code, comments)
}

#[derive(Clone, Copy)]
enum Token {
    Code,
    Literal,
    Comment,
}

/// What begins at `at`, and where it ends.
fn token(chars: &[char], at: usize) -> (Token, usize) {
    let peek = |offset: usize| chars.get(at + offset).copied();
    let found = |from: usize, what: &dyn Fn(usize) -> bool| {
        (from..chars.len()).find(|&at| what(at)).unwrap_or(chars.len())
    };
    match (chars[at], peek(1)) {
        ('/', Some('/')) => (Token::Comment, found(at, &|at| chars[at] == '\n')),
        ('/', Some('*')) => (Token::Comment, block_comment_end(chars, at)),
        ('"', _) | ('\'', Some('\\')) => (Token::Literal, quoted_end(chars, at)),
        ('\'', Some(_)) if peek(2) == Some('\'') => (Token::Literal, at + 3),
        (c, _) if is_word(c) => {
            let end = found(at, &|at| !is_word(chars[at]));
            let quote = found(end, &|at| chars[at] != '#');
            let is_prefix = matches!(chars[at..end], ['r'] | ['b' | 'c', 'r']);
            if is_prefix && chars.get(quote) == Some(&'"') {
                let hashes = quote - end;
                let closes = |at: usize| {
                    chars[at] == '"'
                        && (1..=hashes).all(|offset| chars.get(at + offset) == Some(&'#'))
                };
                (Token::Literal, (found(quote + 1, &closes) + 1 + hashes).min(chars.len()))
            } else {
                (Token::Code, end)
            }
        }
        _ => (Token::Code, at + 1),
    }
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    while at < chars.len() {
        match chars[at..] {
            ['/', '*', ..] => (at, depth) = (at + 2, depth + 1),
            ['*', '/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The end of a literal that closes with the character it opens with.
fn quoted_end(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != chars[start] {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// Where each `#[cfg(test)]` item begins and ends.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    code.match_indices(ATTRIBUTE)
        .map(|(start, _)| (start, item_end(code, start + ATTRIBUTE.len())))
        .collect()
}

fn without_test_items(code: &str) -> String {
    let mut product = code.to_owned();
    for (start, end) in test_items(code) {
        let blank: String = lines_only(&code[start..end]);
        product.replace_range(start..end, &blank);
    }
    product
}

fn lines_only(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect()
}

/// The end of the item whose rest begins at `start`: after its `;`, or after its braces.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code[start..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return start + at,
            ')' | ']' => depth -= 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return start + at + 1;
                }
            }
            ';' if depth == 0 => return start + at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The function whose `fn` stands at `at`; `None` for function pointers and declarations.
fn function(code: &str, at: usize) -> Option<Function> {
    let rest = code[at + 2..].trim_start();
    let name: String = rest.chars().take_while(|&c| is_word(c)).collect();
    if name.is_empty() {
        return None;
    }
    let open = at + body_start(&code[at..])?;
    let close = item_end(code, open).saturating_sub(1);
    let body = &code[open + 1..close.max(open + 1)];
    Some(Function {
        name,
        line: line(code, at),
        body_lines: body.lines().filter(|line| !line.trim().is_empty()).count(),
        attributes: code[item_start(code, at)..at].to_owned(),
    })
}

/// The opening brace of a function's body. A brace right after `<` is a const generic argument.
fn body_start(signature: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut before = ' ';
    for (at, c) in signature.char_indices() {
        match c {
            '{' if depth == 0 && before != '<' => return Some(at),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            ';' if depth == 0 => return None,
            _ => {}
        }
        if !c.is_whitespace() {
            before = c;
        }
    }
    None
}

/// Where the item that holds the place `at` begins: after the item or brace before it.
fn item_start(code: &str, at: usize) -> usize {
    let mut depth = 0_usize;
    for (place, c) in code[..at].char_indices().rev() {
        match c {
            ')' | ']' => depth += 1,
            '(' | '[' => depth = depth.saturating_sub(1),
            '{' | '}' | ';' if depth == 0 => return place + 1,
            _ => {}
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Source::new("a.rs", text).code
    }

    fn only(text: &str) -> Function {
        let mut functions = Source::new("a.rs", text).functions();
        assert_eq!(functions.len(), 1, "{functions:?}");
        functions.remove(0)
    }

    #[test]
    fn braces_in_literals_and_comments_do_not_count() {
        for literal in [
            r#""{""#,
            r#""\"{""#,
            r#""\\""#,
            r#"b"{""#,
            r##"r"\""##,
            r###"r#"{"}"#"###,
            r###"br##"{"#"##"###,
            r#"c"}""#,
            "'{'",
            r"'\''",
            r"'\\'",
            r"'\u{7b}'",
            "b'}'",
            "/* } /* } */ { */ 1",
            "1 // }\n",
            "1 //* }\n",
            "\"two\n}\nlines\"",
        ] {
            let f = only(&format!("fn a() {{\nlet _ = {literal};\nb()\n}}\nconst X: u8 = 1;"));
            assert_eq!(f.body_lines, 2 + literal.matches('\n').count(), "{literal}");
        }
    }

    #[test]
    fn lifetimes_and_raw_names_are_not_literals() {
        let text = "fn r#a<'a, 'b: 'a>(x: &'a str, y: &'_ [u8; 2]) -> &'a str { 'c: loop {} }";
        assert_eq!(code(text), text);
        assert_eq!(code("f::<'a'>('\"', 'x')"), "f::<\"\"\">(\"\"\", \"\"\")");
    }

    #[test]
    fn views_keep_every_line_in_its_place() {
        let text = "/// a \u{e4}\nfn a() { \"\u{e4}\n\" } // b\n/*\n*/\n";
        let source = Source::new("a.rs", text);
        for view in [&source.code, &source.product, &source.comments] {
            assert_eq!(view.len(), text.chars().count());
            assert_eq!(view.matches('\n').count(), text.matches('\n').count());
        }
        assert_eq!(source.comments.trim_end(), "/// a ?\n           \n    // b\n/*\n*/");
    }

    #[test]
    fn a_function_is_its_code_lines() {
        let f =
            only("fn a(\n    b: [u8; { 2 }],\n) -> B<{ 1 }>\nwhere\n    C: D,\n{\n\n // e\n f;\n}");
        assert_eq!((f.name.as_str(), f.line, f.body_lines), ("a", 1, 1));
        assert_eq!(only("fn a() {}").body_lines, 0);
        assert_eq!(only("fn a() {").body_lines, 0);
        assert_eq!(only("fn a() {\n  if b {\n    c\n  }\n}\nstruct D {\n e: u8\n}").body_lines, 3);
    }

    #[test]
    fn declarations_and_pointers_are_not_functions() {
        let text =
            "trait A { fn a(&self) -> [u8; 4]; }\ntype B = fn(u8) -> u8;\nstruct C { d: fn() }";
        assert_eq!(Source::new("a.rs", text).functions(), []);
        assert_eq!(
            Source::new("a.rs", "// fn a() {}\nconst B: &str = \"fn b() {}\";").functions(),
            []
        );
    }

    #[test]
    fn inner_functions_are_functions_of_their_own() {
        let source =
            Source::new("a.rs", "fn a() {\n    fn b() {\n        c();\n    }\n    b();\n}");
        let counts: Vec<_> = source.functions().iter().map(|f| f.body_lines).collect();
        assert_eq!(counts, [4, 1]);
    }

    #[test]
    fn attributes_are_those_of_the_function_itself() {
        let f = only(
            "#[a]\nstruct B;\n/// c\n#[allow(d, reason = \"e; }\")]\n#[f]\npub(crate) fn g() {}",
        );
        assert!(!f.attributes.contains("[a]"), "{}", f.attributes);
        assert!(f.attributes.contains("[f]"), "{}", f.attributes);
        assert!(
            f.attributes.contains(&format!("reason = {})", "\"".repeat(6))),
            "{}",
            f.attributes
        );
    }

    #[test]
    fn test_items_are_not_product() {
        let text = "use a;\n#[cfg(test)]\nuse b;\nfn c() {}\n#[cfg(test)]\n#[allow(d)]\nmod tests {\n fn e() {}\n}\nfn f() {}";
        let source = Source::new("a.rs", text);
        for (word, is_product) in
            [("a", true), ("b", false), ("c", true), ("e", false), ("f", true)]
        {
            assert_eq!(!words(&source.product, word).is_empty(), is_product, "{word}");
        }
        assert_eq!(source.product_lines(), 4);
        assert_eq!(Source::new("a.rs", "a\nb\n").product_lines(), 2);
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(words("std::a nostd::b ::std::c my_std", "std::"), [0, 18]);
        assert_eq!(words("mod a; model; a.mod", "mod"), [0, 16]);
    }
}
