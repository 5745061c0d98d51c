//! The users file of `[authentication]`: one user a line, with what is kept of his password and never the
//! password itself.
//!
//! ```text
//! @secret BASE64
//! alice password=SCRAM-SHA-256$16384:SALT$STORED:SERVER from=alice@contoso.example,@branch.example
//! scanner certificate=scanner.contoso.example
//! ```

use std::fmt;

use base64ct::{Base64, Encoding};

use crate::mail::{Address, Domain};
use crate::policy::Sender;
use crate::smtp::sasl::Verifier;

use super::format::{self, Wrong};

/// Largest file, in bytes: some hundred thousand users.
pub const BYTES_MAX: u64 = 32 << 20;
const NAME_BYTES_MAX: usize = 255;
/// Before what makes decoys.
const SECRET: &str = "@secret";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// In lower case.
    pub name: String,
    pub verifier: Option<Verifier>,
    /// Names that a certificate must hold to stand for the user; any one.
    pub certificate: Vec<Domain>,
    pub from: Vec<Sender>,
}

/// What a line is.
#[derive(Debug)]
pub enum Line {
    /// Empty, or a comment.
    Nothing,
    Secret(Vec<u8>),
    User(Entry),
}

/// Reads one line.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn line(text: &str) -> Result<Line, Wrong> {
    let mut words = text.split_ascii_whitespace();
    match words.next() {
        None => Ok(Line::Nothing),
        Some(first) if first.starts_with('#') => Ok(Line::Nothing),
        Some(SECRET) => match (words.next().map(Base64::decode_vec), words.next()) {
            (Some(Ok(secret)), None) if !secret.is_empty() => Ok(Line::Secret(secret)),
            _ => wrong(
                "the line @secret holds no base64",
                "remove it; the next `sealpost user add` makes another",
            ),
        },
        Some(first) => user(first, words).map(Line::User),
    }
}

fn user<'a>(first: &str, words: impl Iterator<Item = &'a str>) -> Result<Entry, Wrong> {
    let mut entry = Entry { name: name(first)?, verifier: None, certificate: Vec::new(), from: Vec::new() };
    for word in words {
        match word.split_once('=') {
            Some(("password", text)) if entry.verifier.is_none() => {
                let read = text.parse().or_else(|error| {
                    let what = format!("the password of {} cannot be read: {error}", entry.name);
                    wrong(what, format!("give it anew with `sealpost user add {} --replace`", entry.name))
                });
                entry.verifier = Some(read?);
            }
            Some(("certificate", names)) if entry.certificate.is_empty() => {
                entry.certificate = names.split(',').map(format::domain).collect::<Result<_, _>>()?;
            }
            Some(("from", senders)) if entry.from.is_empty() => {
                entry.from = senders.split(',').map(sender).collect::<Result<_, _>>()?;
            }
            _ => {
                let what = format!("{word:?} is nothing that is known of a user, or is said twice");
                return wrong(what, "write password=, certificate= and from=, each once");
            }
        }
    }
    if entry.verifier.is_none() && entry.certificate.is_empty() {
        let what = format!("{} has neither a password nor a certificate", entry.name);
        return wrong(what, "add it with `sealpost user add`, or remove the line");
    }
    Ok(entry)
}

/// A user's name, in lower case.
///
/// # Errors
/// Where somebody could not type it, or a log could not show it.
pub fn name(text: &str) -> Result<String, Wrong> {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"._@+-".contains(&octet);
    let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    if !begins_well || text.len() > NAME_BYTES_MAX || !text.bytes().all(is_plain) {
        return wrong(
            format!("{text:?} is no name of a user"),
            "write letters, digits and . _ @ + -, beginning with a letter or digit",
        );
    }
    Ok(text.to_ascii_lowercase())
}

/// An address, or `@x.example` for everyone there.
///
/// # Errors
/// Where it is neither.
pub fn sender(text: &str) -> Result<Sender, Wrong> {
    if let Some(domain) = text.strip_prefix('@') {
        return format::domain(domain).map(Sender::Domain);
    }
    match Address::parse(text) {
        Ok(address) if !text.contains([',', ' ']) => Ok(Sender::Address(address)),
        Ok(_) => {
            wrong(format!("{text:?} cannot stand in a list"), "write an address without commas and blanks")
        }
        Err(error) => wrong(
            format!("{text:?} is no sender: {error}"),
            "write an address, or @ and a domain for everyone there",
        ),
    }
}

/// What a new file begins with.
pub fn beginning(secret: &[u8]) -> String {
    format!(
        "# Users of Sealpost, made by `sealpost user`. Mode 0600: who reads it can guess passwords.\n\
         {SECRET} {}\n",
        Base64::encode_string(secret)
    )
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(verifier) = &self.verifier {
            write!(f, " password={verifier}")?;
        }
        list(f, "certificate", &self.certificate)?;
        list(f, "from", &self.from)
    }
}

fn list(f: &mut fmt::Formatter<'_>, key: &str, members: &[impl ToString]) -> fmt::Result {
    if members.is_empty() {
        return Ok(());
    }
    let members: Vec<String> = members.iter().map(ToString::to_string).collect();
    write!(f, " {key}={}", members.join(","))
}

fn wrong<T>(what: impl Into<String>, remedy: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { what: what.into(), remedy: remedy.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        match line(text) {
            Ok(Line::User(entry)) => entry,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_line_is_read_as_it_is_written() {
        let verifier = Verifier::of_password("s3cret", b"0123456789abcdef", 4096);
        let text = format!(
            "alice password={verifier} certificate=a.contoso.example,b.contoso.example \
             from=alice@contoso.example,@branch.example"
        );
        let read = entry(&text);
        assert_eq!(read.to_string(), text);
        assert!(read.verifier.unwrap().is_of("s3cret"));
        assert_eq!(
            entry("Scanner\tcertificate=Scanner.contoso.example").to_string(),
            "scanner certificate=scanner.contoso.example"
        );
        for nothing in ["", "   ", "# alice password=x"] {
            assert!(matches!(line(nothing), Ok(Line::Nothing)));
        }
        let mut made = beginning(b"0123").leak().lines();
        assert!(matches!(line(made.next().unwrap()), Ok(Line::Nothing)));
        assert!(matches!(line(made.next().unwrap()), Ok(Line::Secret(secret)) if secret == b"0123"));
    }

    #[test]
    fn what_is_wrong_is_said_and_no_password_repeated() {
        for (text, what) in [
            ("alice", "neither a password nor a certificate"),
            ("alice password=s3cret", "the password of alice cannot be read"),
            ("alice certificate=x.example certificate=y.example", "said twice"),
            ("alice certificate=x.example sender=y", "nothing that is known"),
            ("-alice certificate=x.example", "no name of a user"),
            ("al\u{ef}ce certificate=x.example", "no name of a user"),
            ("alice certificate=*.example", "not a domain"),
            ("alice certificate=x.example from=alice", "no sender"),
            ("alice certificate=x.example from=\"a,b\"@x.example", "no sender"),
            ("@secret ?", "no base64"),
        ] {
            let said = line(text).unwrap_err();
            assert!(said.what.contains(what), "{text}: {said:?}");
            assert!(!said.what.contains("s3cret") && !said.remedy.contains("s3cret"));
        }
    }
}
