//! The field `Authentication-Results` (RFC 8601): writing ours, and telling whose a foreign one says
//! it is, so that none that bears our name comes in from outside (RFC 8601 5).

use std::fmt;

use super::Domain;
use super::text;

/// Longest value or reason that is written, in characters: lines stay far below 998 octets.
const VALUE_CHARS_MAX: usize = 200;

/// One method's result, as `method=result reason="…" ptype.property=value`.
#[derive(Clone, Copy, Debug)]
pub struct MethodResult<'a> {
    pub method: &'a str,
    pub result: &'a str,
    /// Empty: none.
    pub reason: &'a str,
    /// `ptype.property` and its value.
    pub properties: &'a [(&'static str, String)],
}

/// The whole field with its CRLF. Without results it says `none`.
pub struct AuthenticationResults<'a> {
    pub authserv_id: &'a Domain,
    pub results: Vec<MethodResult<'a>>,
}

impl fmt::Display for AuthenticationResults<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authentication-Results: {}", self.authserv_id)?;
        if self.results.is_empty() {
            f.write_str("; none")?;
        }
        for MethodResult { method, result, reason, properties } in &self.results {
            write!(f, ";\r\n\t{method}={result}")?;
            if !reason.is_empty() {
                write!(f, "\r\n\treason={}", quoted(reason))?;
            }
            for (name, value) in *properties {
                write!(f, "\r\n\t{name}={}", value_of(value))?;
            }
        }
        f.write_str("\r\n")
    }
}

/// A token or an address as it is, everything else quoted.
fn value_of(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._+@".contains(c);
    let is_plain = !value.is_empty() && value.len() <= VALUE_CHARS_MAX && value.chars().all(plain);
    if is_plain { value.to_owned() } else { quoted(value) }
}

/// A quoted-string of printable ASCII, whatever a stranger wrote.
fn quoted(value: &str) -> String {
    let shown: String = text::ascii(value).chars().take(VALUE_CHARS_MAX).collect();
    format!("\"{}\"", shown.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The name of the field as `Field::name` gives it.
pub const NAME: &str = "authentication-results";

/// Whether a field of this name, with this value, speaks, or to some reader might seem to speak, for
/// `authserv_id`.
pub fn speaks_for(value: &[u8], authserv_id: &Domain) -> bool {
    let value = String::from_utf8_lossy(value);
    match AuthservId::read(&value) {
        Some(id) => id.may_be(authserv_id),
        // Comment or quotation without an end: readers will disagree, so the name anywhere counts.
        None => value.to_ascii_lowercase().contains(authserv_id.as_str()),
    }
}

/// What stands before the first semicolon, comments taken out and quotations opened.
struct AuthservId {
    /// Words as blanks and comments part them; the second may be a version.
    words: Vec<String>,
}

impl AuthservId {
    /// `None` where a comment or a quotation does not end.
    fn read(value: &str) -> Option<Self> {
        let mut words = vec![String::new()];
        let mut chars = value.chars();
        let (mut depth, mut quotes) = (0_usize, false);
        while let Some(c) = chars.next() {
            let word = words.last_mut()?;
            match c {
                '\\' if depth > 0 => drop(chars.next()),
                '\\' if quotes => word.extend(chars.next()),
                '"' if depth == 0 => quotes = !quotes,
                _ if quotes => word.push(c),
                '(' => depth += 1,
                ')' if depth > 0 => {
                    depth -= 1;
                    words.push(String::new());
                }
                _ if depth > 0 => {}
                ';' => break,
                c if c.is_whitespace() => words.push(String::new()),
                c => word.push(c),
            }
        }
        words.retain(|word| !word.is_empty());
        (depth == 0 && !quotes).then_some(Self { words })
    }

    /// The first word by the book; for lenient readers also all words in one, for blanks within a
    /// name, with or without a version behind it, and both in any writing of the domain.
    fn may_be(&self, name: &Domain) -> bool {
        let joined = self.words.concat();
        let first = self.words.first().map_or("", String::as_str);
        let is_name = |text: &str| {
            let text = text.trim_matches(|c: char| c == '.' || c.is_whitespace());
            text.eq_ignore_ascii_case(name.as_str()) || Domain::parse(text).is_ok_and(|read| read == *name)
        };
        is_name(first) || is_name(&joined) || is_name(joined.trim_end_matches(|c: char| c.is_ascii_digit()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::header::HeaderSection;
    use super::*;

    fn ours() -> Domain {
        Domain::parse("mx.contoso.example").unwrap()
    }

    fn is_ours(field: &str) -> bool {
        let field = HeaderSection::new(field.as_bytes()).fields().next().unwrap();
        field.name() == NAME && speaks_for(&field.value(), &ours())
    }

    #[test]
    fn our_name_is_known_in_every_disguise() {
        for value in [
            "mx.contoso.example; spf=pass",
            "MX.Contoso.Example; spf=pass",
            "mx.contoso.example",
            "mx.contoso.example 1; spf=pass",
            "mx.contoso.example1; none",
            "mx.contoso.example.; none",
            "\r\n\tmx.contoso.example;\r\n\tdkim=pass",
            "(a (nested\\) comment)) mx.contoso.example (x) 1; none",
            "\"mx.contoso.example\"; none",
            "\"mx.\\contoso.example\"; none",
            "mx.con\r\n toso.example; none",
            "mx.(x)contoso.example; none",
            "(never closed mx.contoso.example; none",
            "\"never closed mx.contoso.example; none",
        ] {
            for name in ["Authentication-Results", "authentication-results", "Authentication-\r\n Results "] {
                let field = format!("{name}: {value}\r\n");
                assert!(is_ours(&field), "{field:?}");
            }
        }
    }

    #[test]
    fn what_others_say_stays() {
        for field in [
            "Authentication-Results: mx.woodgrove.example; spf=pass smtp.mailfrom=mx.contoso.example\r\n",
            "Authentication-Results: (mx.contoso.example) mx.litware.example; none\r\n",
            "Authentication-Results: contoso.example; none\r\n",
            "Authentication-Results: xmx.contoso.example; none\r\n",
            "Authentication-Results:\r\n",
            "ARC-Authentication-Results: i=1; mx.contoso.example; none\r\n",
            "X-Authentication-Results: mx.contoso.example; none\r\n",
        ] {
            assert!(!is_ours(field), "{field:?}");
        }
    }

    #[test]
    fn a_field_is_folded_and_its_values_cannot_leave_their_place() {
        let properties =
            [("smtp.mailfrom", "a@b.example".to_owned()), ("header.d", "x\"; dkim=pass\r\nTo: y".to_owned())];
        let results = vec![MethodResult {
            method: "spf",
            result: "fail",
            reason: "not \"yours\"",
            properties: &properties,
        }];
        assert_eq!(
            AuthenticationResults { authserv_id: &ours(), results }.to_string(),
            "Authentication-Results: mx.contoso.example;\r\n\tspf=fail\r\n\treason=\"not \\\"yours\\\"\"\r\n\t\
             smtp.mailfrom=a@b.example\r\n\theader.d=\"x\\\"; dkim=pass\\\\r\\\\nTo: y\"\r\n"
        );
        let nothing = AuthenticationResults { authserv_id: &ours(), results: Vec::new() };
        assert_eq!(nothing.to_string(), "Authentication-Results: mx.contoso.example; none\r\n");
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_one_field_of_ours(reason in any::<String>(), value in any::<String>()) {
            let properties = [("policy.x", value)];
            let results = vec![MethodResult { method: "spf", result: "pass", reason: &reason, properties: &properties }];
            let text = AuthenticationResults { authserv_id: &ours(), results }.to_string();
            prop_assert!(text.is_ascii());
            prop_assert!(text.split("\r\n").all(|line| line.len() < 998 && !line.contains(['\r', '\n'])));
            let section = HeaderSection::new(text.as_bytes());
            prop_assert_eq!(section.fields().count(), 1);
            prop_assert!(speaks_for(&section.fields().next().unwrap().value(), &ours()));
        }
    }
}
