//! The header section of a message (RFC 5322 2.2), read without changing an octet: what is
//! relayed goes on as it came, apart from whole fields added or removed.
//!
//! Reading is tolerant where tolerance hides nothing: only an empty line ends the section, a line
//! that is no field is kept as one without a name, and a name is compared without the blanks and
//! folds that some readers skip.

mod collector;
mod from;

use memchr::memmem;

pub use collector::{CollectedHead, HeadCollector, HeadStatus};
pub use from::FromDomains;

/// Splits content at its empty line: the header section with the CRLF of its last field, and the
/// offset of the body. Without an empty line everything is header section and the body is empty.
pub fn split(content: &[u8]) -> (&[u8], usize) {
    if content.starts_with(b"\r\n") {
        return (&[], 2);
    }
    match memmem::find(content, b"\r\n\r\n") {
        Some(at) => (&content[..at + 2], at + 4),
        None => (content, content.len()),
    }
}

/// The value of the first field of this name in a section, cut to `bytes_max`; empty where there is
/// none. For people and logs: what is no UTF-8 is replaced.
pub fn text_of(head: &[u8], name: &str, bytes_max: usize) -> String {
    let begins = |field: &Field<'_>| {
        field.raw.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
    };
    let mut fields = HeaderSection::new(head).fields();
    let Some(field) = fields.find(|field| begins(field) && field.is_named(name)) else {
        return String::new();
    };
    let value = field.value();
    String::from_utf8_lossy(&value[..value.len().min(bytes_max)]).into_owned()
}

/// A header section, without the empty line.
#[derive(Clone, Copy, Debug)]
pub struct HeaderSection<'a> {
    raw: &'a [u8],
}

/// One field with its folded lines and its last CRLF.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    raw: &'a [u8],
}

impl<'a> HeaderSection<'a> {
    /// Takes what [`split`] or [`HeadCollector`] hand out.
    pub fn new(head: &'a [u8]) -> Self {
        Self { raw: head }
    }

    /// The fields in order; together they are the whole section.
    pub fn fields(self) -> impl Iterator<Item = Field<'a>> {
        let mut rest = self.raw;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (raw, tail) = rest.split_at(field_length(rest));
            rest = tail;
            Some(Field { raw })
        })
    }

    /// The first field of this name.
    pub fn find(self, name: &str) -> Option<Field<'a>> {
        self.fields().find(|field| field.is_named(name))
    }

    /// How many hops the message has behind it (RFC 5321 6.3).
    pub fn received_count(self) -> usize {
        self.fields().filter(|field| field.is_named("Received")).count()
    }

    /// Whether the sender asks for delivery even where what the recipient's domain published could
    /// not be satisfied: `TLS-Required: No` (RFC 8689 5), the one value there is. Written twice, it
    /// says nothing.
    pub fn waives_tls(self) -> bool {
        let mut fields = self.fields().filter(|field| field.is_named("TLS-Required"));
        match (fields.next(), fields.next()) {
            (Some(field), None) => field.value().eq_ignore_ascii_case(b"no"),
            (_, Some(_)) | (None, _) => false,
        }
    }

    /// The domains of all addresses in all `From:` fields.
    pub fn from_domains(self) -> FromDomains {
        let mut domains = FromDomains::default();
        for field in self.fields().filter(|field| field.is_named("From")) {
            domains.read(&field.value());
        }
        domains
    }

    /// The section without the fields whose name, lower-case and without blanks, `unwanted`
    /// picks. All others stay octet by octet.
    pub fn without(self, mut unwanted: impl FnMut(&str) -> bool) -> Vec<u8> {
        self.without_fields(|field| unwanted(&field.name()))
    }

    /// The same, where the name alone does not tell.
    pub fn without_fields(self, mut unwanted: impl FnMut(Field<'a>) -> bool) -> Vec<u8> {
        let mut kept = Vec::with_capacity(self.raw.len());
        for field in self.fields() {
            if !unwanted(field) {
                kept.extend_from_slice(field.raw);
            }
        }
        kept
    }
}

impl<'a> Field<'a> {
    /// As it stands in the message, CRLF included.
    pub fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// What stands before the first colon: lower-case, without blanks and folds. Empty for a
    /// line that is no field, and for a folded line that belongs to none.
    pub fn name(self) -> String {
        let Some(colon) = memchr::memchr(b':', self.raw) else {
            return String::new();
        };
        if self.is_orphan() {
            return String::new();
        }
        let name = self.raw[..colon].iter().filter(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
        let name: Vec<u8> = name.map(u8::to_ascii_lowercase).collect();
        String::from_utf8_lossy(&name).into_owned()
    }

    pub fn is_named(self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name)
    }

    /// The value, unfolded (RFC 5322 2.2.3) and without blanks at its ends.
    pub fn value(self) -> Vec<u8> {
        let start = memchr::memchr(b':', self.raw).map_or(0, |colon| colon + 1);
        let unfolded: Vec<u8> =
            self.raw[start..].iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
        unfolded.trim_ascii().to_vec()
    }

    /// A folded line at the very start of the section: it would become part of whatever field is
    /// put before it.
    pub fn is_orphan(self) -> bool {
        self.raw.first().is_some_and(is_blank)
    }
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The first line and all that are folded onto it.
fn field_length(section: &[u8]) -> usize {
    let mut end = 0;
    loop {
        end += match memmem::find(&section[end..], b"\r\n") {
            Some(at) => at + 2,
            None => return section.len(),
        };
        if !section.get(end).is_some_and(is_blank) {
            return end;
        }
    }
}

#[cfg(test)]
mod tests;
