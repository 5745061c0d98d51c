//! Just enough of a Rust reader for the rules: comments and literals blanked, tokens with lines.

/// A token: an identifier, a number, or one punctuation character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    /// From 1.
    pub line: usize,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub line: usize,
    /// From `fn` to the closing brace, both counted.
    pub lines: usize,
}

/// What stands before the inline test module.
pub fn without_tests(source: &str) -> &str {
    let mut offset = 0;
    let mut lines = source.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let opens_module =
            |next: &&str| next.trim_start().starts_with("mod ") && next.trim_end().ends_with('{');
        if line.trim() == "#[cfg(test)]" && lines.peek().is_some_and(opens_module) {
            return &source[..offset];
        }
        offset += line.len();
    }
    source
}

/// Tokens outside of comments, strings and character literals.
pub fn tokens(source: &str) -> Vec<Token> {
    let blanked = blank(source);
    let mut found: Vec<Token> = Vec::new();
    let mut line = 1;
    let mut word = String::new();
    for character in blanked.chars().chain(['\n']) {
        if character.is_alphanumeric() || character == '_' {
            word.push(character);
            continue;
        }
        if !word.is_empty() {
            found.push(Token { text: std::mem::take(&mut word), line });
        }
        if character == '\n' {
            line += 1;
        } else if !character.is_whitespace() {
            found.push(Token { text: character.to_string(), line });
        }
    }
    found
}

/// The paths that begin with `root`, one segment behind it: `crate::{mail::X, policy}` gives
/// `mail` and `policy` for the root `crate`.
pub fn below<'a>(tokens: &'a [Token], root: &str) -> Vec<&'a Token> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let is_root = text(at) == root && (at == 0 || text(at - 1) != ":");
        if !(is_root && text(at + 1) == ":" && text(at + 2) == ":") {
            continue;
        }
        if text(at + 3) == "{" {
            found.extend(group_heads(tokens, at + 3));
        } else {
            found.extend(tokens.get(at + 3));
        }
    }
    found
}

/// The first segment of each member of the `{…}` that opens at `open`.
fn group_heads(tokens: &[Token], open: usize) -> Vec<&Token> {
    let mut depth = 0;
    let mut found = Vec::new();
    for at in open..tokens.len() {
        match tokens[at].text.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => break,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 1 && matches!(tokens[at].text.as_str(), "{" | ",") {
            found.extend(tokens.get(at + 1).filter(|token| token.text != "}"));
        }
    }
    found
}

/// Every function that has a body.
pub fn functions(tokens: &[Token]) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Some(name) = tokens.get(at + 1).filter(|_| token.text == "fn") else { continue };
        if !name.text.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            continue; // the type `fn(…)`
        }
        if let Some(end) = body_end(tokens, at) {
            found.push(Function { name: name.text.clone(), line: token.line, lines: end - token.line + 1 });
        }
    }
    found
}

/// The line of the brace that closes the function whose `fn` stands at `at`.
fn body_end(tokens: &[Token], at: usize) -> Option<usize> {
    let mut nested = 0;
    let mut braces = 0;
    for token in &tokens[at..] {
        match token.text.as_str() {
            "(" | "[" => nested += 1,
            ")" | "]" => nested -= 1,
            ";" if nested == 0 && braces == 0 => return None,
            "{" => braces += 1,
            "}" if braces == 1 => return Some(token.line),
            "}" => braces -= 1,
            _ => {}
        }
    }
    None
}

/// The source with comments and literals replaced by spaces; lines stay where they are.
fn blank(source: &str) -> String {
    let bytes: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(&bytes, at);
        if end == at {
            out.push(bytes[at]);
            at += 1;
        } else {
            out.extend(bytes[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` itself if none does.
fn literal_end(source: &[char], at: usize) -> usize {
    let next = source.get(at + 1).copied();
    match source[at] {
        '/' if next == Some('/') => find(source, at, "\n"),
        '/' if next == Some('*') => block_comment_end(source, at),
        '"' => quoted_end(source, at + 1, '"'),
        'r' if matches!(next, Some('"' | '#')) && !continues_word(source, at) => raw_end(source, at),
        '\'' if next == Some('\\') => quoted_end(source, at + 1, '\''),
        '\'' if source.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

fn continues_word(source: &[char], at: usize) -> bool {
    at > 0 && (source[at - 1].is_alphanumeric() || source[at - 1] == '_') && source[at - 1] != 'b'
}

fn find(source: &[char], from: usize, text: &str) -> usize {
    let wanted: Vec<char> = text.chars().collect();
    (from..source.len()).find(|&at| source[at..].starts_with(&wanted)).unwrap_or(source.len())
}

fn block_comment_end(source: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut here = at;
    while here < source.len() {
        if source[here..].starts_with(&['/', '*']) {
            depth += 1;
            here += 2;
        } else if source[here..].starts_with(&['*', '/']) {
            depth -= 1;
            here += 2;
            if depth == 0 {
                return here;
            }
        } else {
            here += 1;
        }
    }
    source.len()
}

fn quoted_end(source: &[char], from: usize, quote: char) -> usize {
    let mut here = from;
    while here < source.len() {
        match source[here] {
            '\\' => here += 2,
            c if c == quote => return here + 1,
            _ => here += 1,
        }
    }
    source.len()
}

fn raw_end(source: &[char], at: usize) -> usize {
    let hashes = source[at + 1..].iter().take_while(|&&c| c == '#').count();
    if source.get(at + 1 + hashes) != Some(&'"') {
        return at; // a raw identifier
    }
    let close = format!("\"{}", "#".repeat(hashes));
    (find(source, at + 2 + hashes, &close) + close.len()).min(source.len())
}
