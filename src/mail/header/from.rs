//! The domains a `From:` field speaks for (RFC 5322 3.4, 3.6.2; groups: RFC 6854).
//!
//! Display names prove nothing and are skipped, quoted or encoded; comments too. Whatever cannot
//! be read is flagged, so that a field made unreadable on purpose can be treated as suspect.

use crate::mail::Domain;

/// Depth of nested comments that is followed.
const COMMENT_DEPTH_MAX: usize = 32;

/// What stands in all `From:` fields of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FromDomains {
    /// Each domain once, in order.
    pub domains: Vec<Domain>,
    /// Something is there that is neither an address with a domain or literal nor a group.
    pub unparsable: bool,
}

/// The words and signs of an address list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(Vec<u8>),
    Quoted,
    /// `[...]`
    Literal,
    /// One of `< > @ , ; :`
    Sign(u8),
}

const AT: Token = Token::Sign(b'@');

impl FromDomains {
    /// Adds what one unfolded field value says.
    pub(super) fn read(&mut self, value: &[u8]) {
        let Some(tokens) = tokens(value) else {
            self.unparsable = true;
            return;
        };
        let (mut found, mut group) = (false, false);
        let mut item: Vec<Token> = Vec::new();
        let mut angle = false;
        for token in tokens {
            match (&token, angle) {
                (Token::Sign(b'>'), true) => angle = false,
                (_, true) | (Token::Sign(b'@'), false) => item.push(token),
                (Token::Sign(b'<'), false) => {
                    // What came before is a display name, unless it is itself an address.
                    found |= self.display_name(&std::mem::take(&mut item));
                    angle = true;
                }
                (Token::Sign(b','), false) => found |= self.end_item(&mut item),
                (Token::Sign(b':'), false) => {
                    group = true;
                    found |= self.display_name(&std::mem::take(&mut item));
                }
                (Token::Sign(_), false) => found |= self.end_item(&mut item),
                (Token::Word(_) | Token::Quoted | Token::Literal, false) => item.push(token),
            }
        }
        found |= self.end_item(&mut item);
        self.unparsable |= angle || !(found || group);
    }

    /// A display name has no `@`; one that has is read as an address as well, because some
    /// readers would show it as one.
    fn display_name(&mut self, item: &[Token]) -> bool {
        if item.contains(&AT) {
            self.unparsable = true;
            return self.address(item);
        }
        false
    }

    fn end_item(&mut self, item: &mut Vec<Token>) -> bool {
        let item = std::mem::take(item);
        if item.is_empty() {
            return false;
        }
        self.address(&item)
    }

    /// `local@domain`, behind a source route or not: the domain is what follows the last `@`.
    fn address(&mut self, item: &[Token]) -> bool {
        let item = behind_route(item);
        let Some(at) = item.iter().rposition(|token| *token == AT) else {
            self.unparsable = true;
            return false;
        };
        let (local, host) = (&item[..at], &item[at + 1..]);
        self.unparsable |= local.is_empty() || local.contains(&AT);
        if host == [Token::Literal] {
            return true;
        }
        let (text, junk) = domain_text(host);
        self.unparsable |= junk;
        let domain = std::str::from_utf8(&text).ok().and_then(|text| Domain::parse_rooted(text).ok());
        self.unparsable |= domain.is_none();
        let found = domain.is_some();
        self.domains.extend(domain.filter(|domain| !self.domains.contains(domain)));
        found
    }
}

/// `@relay.example,@two.example:a@b.example` without the route (RFC 5322 4.4).
fn behind_route(item: &[Token]) -> &[Token] {
    match item.iter().position(|token| *token == Token::Sign(b':')) {
        Some(colon) if item.first() == Some(&AT) => &item[colon + 1..],
        Some(_) | None => item,
    }
}

/// The labels of a domain, and whether anything else follows. Blanks and comments around the
/// dots are obsolete, but legal to read (RFC 5322 4.4); two words without a dot are not.
fn domain_text(host: &[Token]) -> (Vec<u8>, bool) {
    let mut text: Vec<u8> = Vec::new();
    for token in host {
        match token {
            Token::Word(word) if text.is_empty() || text.ends_with(b".") || word.starts_with(b".") => {
                text.extend_from_slice(word);
            }
            Token::Word(_) | Token::Quoted | Token::Literal | Token::Sign(_) => return (text, true),
        }
    }
    (text, false)
}

/// `None` when a quote, comment or literal does not end.
fn tokens(value: &[u8]) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = value;
    while let Some(&byte) = rest.first() {
        let length = match byte {
            b' ' | b'\t' => 1,
            b'"' => {
                tokens.push(Token::Quoted);
                until(rest, b'"')?
            }
            b'[' => {
                tokens.push(Token::Literal);
                until(rest, b']')?
            }
            b'(' => comment(rest)?,
            b'<' | b'>' | b'@' | b',' | b';' | b':' => {
                tokens.push(Token::Sign(byte));
                1
            }
            _ => {
                let length = rest.iter().position(|b| b" \t\"[(<>@,;:".contains(b)).unwrap_or(rest.len());
                tokens.push(Token::Word(rest[..length].to_vec()));
                length
            }
        };
        rest = &rest[length..];
    }
    Some(tokens)
}

/// Length of what begins at the first octet and ends at `close`; a backslash quotes.
fn until(text: &[u8], close: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        match *text.get(at)? {
            b'\\' => at += 2,
            byte if byte == close => return Some(at + 1),
            _ => at += 1,
        }
    }
}

fn comment(text: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0);
    loop {
        match *text.get(at)? {
            b'\\' => at += 1,
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
        if depth > COMMENT_DEPTH_MAX {
            return None;
        }
    }
}
