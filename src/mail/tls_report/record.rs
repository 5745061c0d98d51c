//! The TXT record at `_smtp._tls` of a domain (RFC 8460 3): where it wants reports.

use std::fmt;

use url::Url;

use crate::mail::Address;

const VERSION: &str = "v=TLSRPTv1";
/// Destinations of one domain that are served.
const DESTINATIONS_MAX: usize = 4;
/// Longest destination that is looked at, in octets.
const URI_BYTES_MAX: usize = 2000;

/// One member of `rua`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    Mail(Address),
    /// With a host, without user, password or fragment.
    Https(Url),
}

/// Why a domain gets no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationsError {
    #[error("it publishes no TLS reporting record")]
    None,
    #[error("it publishes {0} TLS reporting records, where one is allowed")]
    Several(usize),
    #[error("its TLS reporting record names no mailto or https destination that we could use")]
    NoDestination,
}

/// Reads the TXT records of `_smtp._tls`, each with its strings joined. Records of another kind do not
/// count, and of those of this kind there must be exactly one. A destination that cannot be used is
/// passed over; at most four are served.
pub fn destinations<'a>(
    records: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<Destination>, DestinationsError> {
    let mut ours = records.into_iter().filter_map(behind_version);
    let fields = ours.next().ok_or(DestinationsError::None)?;
    match ours.count() {
        0 => {}
        more => return Err(DestinationsError::Several(more + 1)),
    }
    let mut found = Vec::new();
    let rua = fields.split(';').filter_map(|field| field.trim_matches(BLANKS).strip_prefix("rua="));
    for uri in rua.flat_map(|value| value.split(',')) {
        if let Some(destination) = Destination::parse(uri.trim_matches(BLANKS))
            && !found.contains(&destination)
            && found.len() < DESTINATIONS_MAX
        {
            found.push(destination);
        }
    }
    if found.is_empty() { Err(DestinationsError::NoDestination) } else { Ok(found) }
}

const BLANKS: [char; 2] = [' ', '\t'];

/// The fields of a record of version 1.
fn behind_version(record: &str) -> Option<&str> {
    record.strip_prefix(VERSION)?.trim_start_matches(BLANKS).strip_prefix(';')
}

impl Destination {
    /// Reads what `Display` writes, or a member of `rua`.
    pub fn parse(uri: &str) -> Option<Self> {
        if uri.len() > URI_BYTES_MAX {
            return None;
        }
        let (scheme, rest) = uri.split_once(':')?;
        if scheme.eq_ignore_ascii_case("mailto") {
            // Subject and the like, behind the question mark, are not the domain's to choose.
            let path = rest.split(['?', '#']).next().unwrap_or_default();
            return Address::parse(&percent_decoded(path)?).ok().map(Destination::Mail);
        }
        if !scheme.eq_ignore_ascii_case("https") {
            return None;
        }
        let mut url = Url::parse(uri).ok()?;
        url.set_fragment(None);
        let plain = url.username().is_empty() && url.password().is_none();
        (plain && url.host().is_some()).then_some(Destination::Https(url))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Mail(address) => {
                f.write_str("mailto:")?;
                let text = address.to_string();
                text.chars().try_for_each(|c| match c {
                    '%' | '?' | '#' | ',' | ';' | '!' | ' ' | '\t' | '\\' | '"' => {
                        write!(f, "%{:02X}", u32::from(c))
                    }
                    c => write!(f, "{c}"),
                })
            }
            Destination::Https(url) => write!(f, "{url}"),
        }
    }
}

/// RFC 3986 2.1; none where what comes out is no text.
fn percent_decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        rest = tail;
        let digits = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        octets.push(u8::from_str_radix(digits, 16).ok()?);
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(records: &[&str]) -> Result<Vec<String>, DestinationsError> {
        destinations(records.iter().copied()).map(|found| found.iter().map(Destination::to_string).collect())
    }

    #[test]
    fn where_a_domain_wants_its_reports() {
        for (record, expected) in [
            ("v=TLSRPTv1;rua=mailto:tls@bank.example", &["mailto:tls@bank.example"][..]),
            ("v=TLSRPTv1; rua=mailto:tls@bank.example;", &["mailto:tls@bank.example"]),
            ("v=TLSRPTv1 ;\trua=https://r.bank.example/v1?d=1", &["https://r.bank.example/v1?d=1"]),
            (
                "v=TLSRPTv1; rua=mailto:tls@bank.example , https://r.bank.example/in",
                &["mailto:tls@bank.example", "https://r.bank.example/in"],
            ),
            ("v=TLSRPTv1; x=1; rua=mailto:tls@bank.example; y=2", &["mailto:tls@bank.example"]),
            ("v=TLSRPTv1; rua=MAILTO:tls%40x%21@bank.example", &[]),
            ("v=TLSRPTv1; rua=mailto:tls%2Cin@bank.example", &[]),
            ("v=TLSRPTv1; rua=mailto:tls%21in@bank.example", &["mailto:tls%21in@bank.example"]),
            ("v=TLSRPTv1; rua=mailto:tls@bank.example?subject=x", &["mailto:tls@bank.example"]),
            ("v=TLSRPTv1; rua=mailto:tls@b\u{fc}cher.example", &["mailto:tls@xn--bcher-kva.example"]),
            ("v=TLSRPTv1; rua=ftp://bank.example/, mailto:tls@bank.example", &["mailto:tls@bank.example"]),
            ("v=TLSRPTv1; rua=mailto:a@b.example,mailto:a@b.example", &["mailto:a@b.example"]),
            (
                "v=TLSRPTv1; rua=mailto:a@b.example; rua=mailto:c@d.example",
                &["mailto:a@b.example", "mailto:c@d.example"],
            ),
        ] {
            let wanted: Vec<String> = expected.iter().map(|&uri| uri.to_owned()).collect();
            let wanted = if wanted.is_empty() { Err(DestinationsError::NoDestination) } else { Ok(wanted) };
            assert_eq!(read(&[record]), wanted, "{record}");
        }
    }

    #[test]
    fn records_that_ask_for_nothing() {
        use DestinationsError::{NoDestination, None, Several};
        let good = "v=TLSRPTv1; rua=mailto:tls@bank.example";
        for (records, error) in [
            (&[][..], None),
            (&["v=spf1 -all"], None),
            (&["v=TLSRPTv2; rua=mailto:tls@bank.example"], None),
            (&["v=TLSRPTv1"], None),
            (&["V=tlsrptv1; rua=mailto:tls@bank.example"], None),
            (&["v=TLSRPTv10; rua=mailto:tls@bank.example"], None),
            (&[good, good], Several(2)),
            (&["v=TLSRPTv1;"], NoDestination),
            (&["v=TLSRPTv1; rua="], NoDestination),
            (&["v=TLSRPTv1; rua=mailto:"], NoDestination),
            (&["v=TLSRPTv1; rua=mailto:nobody"], NoDestination),
            (&["v=TLSRPTv1; rua=mailto:a%4@b.example"], NoDestination),
            (&["v=TLSRPTv1; rua=http://bank.example/"], NoDestination),
            (&["v=TLSRPTv1; rua=https://"], NoDestination),
            (&["v=TLSRPTv1; rua=https://user:secret@bank.example/"], NoDestination),
            (&["v=TLSRPTv1; rua=bank.example"], NoDestination),
        ] {
            assert_eq!(read(records), Err(error), "{records:?}");
        }
        assert_eq!(read(&["v=spf1 -all", good]).map(|found| found.len()), Ok(1));
    }

    #[test]
    fn nobody_gets_us_to_serve_a_hundred_destinations() {
        let many: Vec<String> = (0..100).map(|n| format!("mailto:a{n}@b.example")).collect();
        let record = format!("v=TLSRPTv1; rua={}", many.join(","));
        assert_eq!(read(&[&record]).unwrap().len(), DESTINATIONS_MAX);
    }

    proptest! {
        #[test]
        fn no_record_makes_it_panic_and_what_is_kept_is_read_again(text in "(v=TLSRPTv1; ?rua=(mailto:|https://))?\\PC{0,60}") {
            for destination in destinations([text.as_str()]).unwrap_or_default() {
                let written = destination.to_string();
                prop_assert!(!written.chars().any(char::is_control));
                prop_assert_eq!(Destination::parse(&written), Some(destination));
            }
        }
    }
}
