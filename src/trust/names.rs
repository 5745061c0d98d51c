//! Which names in a certificate prove a domain: subjectAltName dNSNames only, by RFC 9525 and
//! CONTRACT section 3. The subject CN never counts.

use crate::mail::Domain;

use super::requirement::NamePattern;

/// A dNSName that can prove anything at all.
#[derive(Debug, PartialEq, Eq)]
enum PresentedName {
    Host(Domain),
    /// `*.` and this domain: exactly one label more (RFC 9525 6.3).
    AnyChildOf(Domain),
}

/// Whether one of `presented`, dNSNames as written, proves one of `wanted`.
pub fn proves_name(wanted: &[NamePattern], presented: &[String]) -> bool {
    first_proof(wanted, presented.iter().map(String::as_str)).is_some()
}

/// The first of `presented` (dNSNames as written) that proves one of `wanted`.
pub(super) fn first_proof<'a>(
    wanted: &[NamePattern],
    mut presented: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    presented.find(|text| {
        PresentedName::read(text).is_some_and(|name| wanted.iter().any(|pattern| name.proves(pattern)))
    })
}

impl PresentedName {
    /// `None` for what proves nothing: other than ASCII (a U-label, NUL or odd octets), a star
    /// anywhere but as the whole left-most label, a star right below a public suffix.
    fn read(text: &str) -> Option<Self> {
        if !text.bytes().all(|octet| octet.is_ascii_graphic()) {
            return None;
        }
        match text.strip_prefix("*.") {
            None => Domain::parse_rooted(text).ok().map(PresentedName::Host),
            Some(parent) => {
                let parent = Domain::parse_rooted(parent).ok()?;
                (!is_public_suffix(&parent)).then_some(PresentedName::AnyChildOf(parent))
            }
        }
    }

    fn proves(&self, pattern: &NamePattern) -> bool {
        match (self, pattern) {
            (PresentedName::Host(host), NamePattern::Exact(domain)) => host == domain,
            (PresentedName::Host(host), NamePattern::Below(parent)) => host.is_below(parent),
            (PresentedName::AnyChildOf(parent), NamePattern::Exact(domain)) => {
                domain.as_str().split_once('.').is_some_and(|(_, rest)| rest == parent.as_str())
            }
            (PresentedName::AnyChildOf(parent), NamePattern::Below(above)) => {
                parent == above || parent.is_below(above)
            }
        }
    }
}

/// A registry's suffix such as `com` or `co.uk`, or a single label. Suffixes that a company opened
/// to its customers do not count: the company is the owner.
fn is_public_suffix(domain: &Domain) -> bool {
    if !domain.as_str().contains('.') {
        return true;
    }
    psl::suffix(domain.as_str().as_bytes()).is_some_and(|suffix| {
        suffix.as_bytes() == domain.as_str().as_bytes() && suffix.typ() == Some(psl::Type::Icann)
    })
}

impl std::fmt::Display for NamePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NamePattern::Exact(domain) => write!(f, "{domain}"),
            NamePattern::Below(parent) => write!(f, ".{parent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> NamePattern {
        match text.strip_prefix('.') {
            Some(parent) => NamePattern::Below(parent.parse().unwrap()),
            None => NamePattern::Exact(text.parse().unwrap()),
        }
    }

    #[test]
    fn a_name_proves_what_the_contract_says() {
        let table = [
            // presented, wanted, proves
            ("x.example", "x.example", true),
            ("X.Example", "x.example", true),
            ("x.example.", "x.example", true),
            ("x.example..", "x.example", false),
            ("a.x.example", "x.example", false),
            ("x.example", "a.x.example", false),
            ("*.x.example", "a.x.example", true),
            ("*.x.example.", "a.x.example", true),
            ("*.x.example", "x.example", false),
            ("*.x.example", "b.a.x.example", false),
            ("*.x.example", "xn--bcher-kva.x.example", true),
            ("a*.x.example", "ab.x.example", false),
            ("*a.x.example", "ba.x.example", false),
            ("a.*.example", "a.x.example", false),
            ("*.*.x.example", "b.a.x.example", false),
            ("xn--*.x.example", "xn--bcher-kva.x.example", false),
            ("*", "example", false),
            ("*.", "example", false),
            ("*.example", "x.example", false),
            ("*.com", "x.com", false),
            ("*.co.uk", "x.co.uk", false),
            ("*.x.co.uk", "a.x.co.uk", true),
            ("bücher.example", "bücher.example", false),
            ("xn--bcher-kva.example", "bücher.example", true),
            ("XN--BCHER-KVA.example", "bücher.example", true),
            ("x.example\0.evil.example", "x.example", false),
            (" x.example", "x.example", false),
            ("x.example ", "x.example", false),
            ("", "x.example", false),
            (".x.example", "x.example", false),
            ("x..example", "x.example", false),
            // `.x.example` in the settings
            ("a.x.example", ".x.example", true),
            ("b.a.x.example", ".x.example", true),
            ("x.example", ".x.example", false),
            ("ax.example", ".x.example", false),
            ("*.x.example", ".x.example", true),
            ("*.a.x.example", ".x.example", true),
            ("*.example", ".x.example", false),
            ("*.ax.example", ".x.example", false),
        ];
        for (presented, wanted, proves) in table {
            let found = first_proof(&[pattern(wanted)], std::iter::once(presented));
            assert_eq!(found.is_some(), proves, "{presented:?} for {wanted:?}");
        }
    }
}
