//! Headers that readers take apart in different ways. A signature covers what the checker of DKIM sees:
//! names as they are spelled (RFC 6376 3.7), up to the first line that is no field. Others skip blanks
//! in a name (RFC 5322 4.5) or read on, and would see a field there that nobody signed.

use crate::mail::header::{Field, HeaderSection};

use super::SIGNED_FIELDS;

/// What in a header section is a field to some and none to others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguity {
    #[error("a line of its header has no colon, and some readers take that for the header's end")]
    NoColon,
    #[error("its header begins with a folded line, which belongs to no field")]
    Orphan,
    #[error("a line of its header does not end in CRLF alone, and some readers see two lines there")]
    LineEnd,
    #[error(
        "its header spells {name} with blanks or control characters, and only some readers take that for the field"
    )]
    Spelling { name: &'static str },
}

/// The first such thing in a section, as `header::split` gives it.
pub fn ambiguity(head: &[u8]) -> Option<Ambiguity> {
    HeaderSection::new(head).fields().find_map(of_field)
}

fn of_field(field: Field<'_>) -> Option<Ambiguity> {
    let raw = field.raw();
    if field.is_orphan() {
        return Some(Ambiguity::Orphan);
    }
    let breaks = raw.windows(2).filter(|pair| *pair == b"\r\n").count();
    let octets = raw.iter().filter(|octet| matches!(octet, b'\r' | b'\n')).count();
    if octets != breaks * 2 || !raw.ends_with(b"\r\n") {
        return Some(Ambiguity::LineEnd);
    }
    let name = raw.split(|octet| matches!(octet, b':' | b'\r')).next().unwrap_or_default();
    if raw.get(name.len()) != Some(&b':') {
        return Some(Ambiguity::NoColon);
    }
    let letters: Vec<u8> = name.iter().copied().filter(u8::is_ascii_graphic).collect();
    let signed = SIGNED_FIELDS.iter().find(|signed| signed.as_bytes().eq_ignore_ascii_case(&letters));
    signed.filter(|_| letters != name).map(|name| Ambiguity::Spelling { name })
}
