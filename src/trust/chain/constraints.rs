//! Name constraints (RFC 5280 4.2.1.10), for what webpki leaves out: directory names, e-mail, and
//! self-issued authorities, to which no constraint applies. Of kinds that neither can compare
//! (URI and others) a name under such a constraint is refused, never passed.

use std::fmt;

use x509_cert::der::Decode;
use x509_parser::extensions::{GeneralName, NameConstraints, ParsedExtension, X509Extension};
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::pool::Certificate;
use super::rules::invalid;
use crate::trust::certificate::{distinguished_name, printable};
use crate::trust::der;
use crate::trust::verdict::Fact;

const NAME_CONSTRAINTS: &str = "2.5.29.30";
const EMAIL_ADDRESS: &str = "1.2.840.113549.1.9.1";

/// The first name on the path that a constraint above it does not allow. `anchor` is the content of
/// the anchor's NameConstraints.
pub(super) fn examine(members: &[&Certificate<'_>], anchor: Option<&[u8]>, facts: &mut Vec<Fact>) {
    let whole = anchor.map(der::sequence);
    let of_anchor = whole.as_deref().map(|whole| NameConstraints::from_der(whole).map(|(_, read)| read));
    match (&of_anchor, whole.as_deref()) {
        (Some(Ok(constraints)), Some(whole)) if is_read_in_full(constraints, whole) => {
            below(members, members.len(), constraints, facts);
        }
        (Some(_), _) => facts.push(unreadable("our trust anchor")),
        (None, _) => {}
    }
    for (height, holder) in members.iter().enumerate().skip(1) {
        let Some(extension) = extension(holder) else { continue };
        match extension.parsed_extension() {
            ParsedExtension::NameConstraints(read) if is_read_in_full(read, extension.value) => {
                below(members, height, read, facts);
            }
            _ => facts.push(unreadable(&holder.label())),
        }
    }
}

/// x509-parser passes over subtrees it cannot read; x509-cert takes all or nothing. RFC 5280
/// 4.2.1.10: minimum and maximum are not used, and what constrains nothing (no subtrees, or an
/// empty list) was meant to constrain something.
fn is_read_in_full(read: &NameConstraints<'_>, whole: &[u8]) -> bool {
    let Ok(strict) = x509_cert::ext::pkix::NameConstraints::from_der(whole) else { return false };
    let pairs = [
        (&read.permitted_subtrees, &strict.permitted_subtrees),
        (&read.excluded_subtrees, &strict.excluded_subtrees),
    ];
    let same = pairs.iter().all(|(read, strict)| match (read, strict) {
        (Some(read), Some(strict)) => {
            let plain = strict.iter().all(|tree| tree.minimum == 0 && tree.maximum.is_none());
            plain && !read.is_empty() && read.len() == strict.len()
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    });
    same && pairs.iter().any(|(read, _)| read.is_some())
}

/// Whether webpki, which compares neither directory names nor mailboxes and counts self-issued
/// authorities like others, cannot have the last word on this path.
pub(super) fn is_ours_to_judge(members: &[&Certificate<'_>], anchor: Option<&[u8]>) -> bool {
    let whole = anchor.map(der::sequence);
    let of_anchor = whole.as_deref().and_then(|whole| NameConstraints::from_der(whole).ok());
    of_anchor.is_some_and(|(_, constraints)| is_beyond_webpki(&constraints))
        || members
            .iter()
            .skip(1)
            .any(|member| member.is_self_issued() || read(member).is_some_and(is_beyond_webpki))
}

fn is_beyond_webpki(constraints: &NameConstraints<'_>) -> bool {
    let subtrees = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
    subtrees
        .into_iter()
        .flatten()
        .flatten()
        .any(|tree| matches!(tree.base, GeneralName::DirectoryName(_) | GeneralName::RFC822Name(_)))
}

fn extension<'a, 'c>(certificate: &'a Certificate<'c>) -> Option<&'a X509Extension<'c>> {
    let mut extensions = certificate.parsed.extensions().iter();
    extensions.find(|extension| extension.oid.to_id_string() == NAME_CONSTRAINTS)
}

fn read<'a>(certificate: &'a Certificate<'_>) -> Option<&'a NameConstraints<'a>> {
    extension(certificate).and_then(|extension| match extension.parsed_extension() {
        ParsedExtension::NameConstraints(found) => Some(found),
        _ => None,
    })
}

fn unreadable(label: &(impl fmt::Display + ?Sized)) -> Fact {
    invalid(
        format!("The name constraints of {label} cannot be read in full, or constrain nothing."),
        "readable name constraints",
        "others",
    )
}

/// Everything below the holder, but self-issued authorities.
fn below(
    members: &[&Certificate<'_>],
    holder: usize,
    constraints: &NameConstraints<'_>,
    facts: &mut Vec<Fact>,
) {
    for (height, member) in members[..holder].iter().enumerate() {
        if height > 0 && member.is_self_issued() {
            continue;
        }
        if let Some(name) = first_outside(member, constraints) {
            let detail = format!(
                "Certificate {} has the name {name}, which an authority above it may not vouch for.",
                member.label()
            );
            facts.push(invalid(detail, "names within the name constraints", &name));
        }
    }
}

fn first_outside(member: &Certificate<'_>, constraints: &NameConstraints<'_>) -> Option<String> {
    let subject = member.parsed.subject();
    let has_subject = !member.subject_content().is_empty();
    if has_subject && !is_within(&GeneralName::DirectoryName(subject.clone()), constraints) {
        return Some(distinguished_name(subject.as_raw()));
    }
    let emails = subject.iter_attributes().filter(|it| it.attr_type().to_id_string() == EMAIL_ADDRESS);
    for email in emails.filter_map(|attribute| attribute.as_str().ok()) {
        if !is_within(&GeneralName::RFC822Name(email), constraints) {
            return Some(printable(email));
        }
    }
    let names = member.parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(san) => Some(&san.general_names),
        _ => None,
    });
    names
        .into_iter()
        .flatten()
        .find(|name| !is_within(name, constraints))
        .map(|name| printable(&name.to_string()))
}

fn is_within(name: &GeneralName<'_>, constraints: &NameConstraints<'_>) -> bool {
    let bases = |subtrees: &Option<Vec<_>>| -> Vec<Comparison> {
        let trees: &[x509_parser::extensions::GeneralSubtree<'_>] = subtrees.as_deref().unwrap_or_default();
        trees.iter().map(|tree| compare(name, &tree.base)).collect()
    };
    let permitted = bases(&constraints.permitted_subtrees);
    let excluded = bases(&constraints.excluded_subtrees);
    let same_kind = permitted.iter().any(|it| *it != Comparison::OtherKind);
    let allowed = !same_kind || permitted.contains(&Comparison::Inside);
    let undecided = permitted.iter().chain(&excluded).any(|it| *it == Comparison::Unknown);
    allowed
        && !undecided
        && !excluded.iter().any(|it| matches!(it, Comparison::Inside | Comparison::Overlaps))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Inside,
    /// Of a kind that we cannot compare, or malformed.
    Unknown,
    /// Some of what it stands for is inside: not permitted by it, but excluded.
    Overlaps,
    Outside,
    OtherKind,
}

fn compare(name: &GeneralName<'_>, base: &GeneralName<'_>) -> Comparison {
    use GeneralName as Name;
    match (name, base) {
        (Name::DNSName(name), Name::DNSName(base)) => compare_dns(name, base),
        (Name::DirectoryName(name), Name::DirectoryName(base)) => compare_directory(name, base),
        (Name::IPAddress(address), Name::IPAddress(base)) => compare_address(address, base),
        (Name::RFC822Name(name), Name::RFC822Name(base)) => compare_mailbox(name, base),
        (Name::Invalid(..), _) | (_, Name::Invalid(..)) => Comparison::Unknown,
        (name, base) if std::mem::discriminant(name) == std::mem::discriminant(base) => Comparison::Unknown,
        _ => Comparison::OtherKind,
    }
}

fn inside(is_inside: bool) -> Comparison {
    if is_inside { Comparison::Inside } else { Comparison::Outside }
}

fn compare_dns(name: &str, base: &str) -> Comparison {
    let (name, base) = (name.to_ascii_lowercase(), base.to_ascii_lowercase());
    let is_label = |label: &str| {
        let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        !label.is_empty() && label.bytes().all(plain)
    };
    let is_plain = |text: &str| text.split('.').all(is_label);
    let host = name.strip_prefix("*.");
    let name = name.strip_suffix('.').unwrap_or(&name);
    let bare = base.strip_prefix('.').unwrap_or(&base);
    if !(base.is_empty() || is_plain(bare)) || !is_plain(name.strip_prefix("*.").unwrap_or(name)) {
        return Comparison::Unknown;
    }
    if base.is_empty() {
        return Comparison::Inside;
    }
    let below = name.strip_suffix(bare).is_some_and(|rest| rest.ends_with('.'));
    match (below, name == bare, base.starts_with('.')) {
        (true, ..) | (_, true, false) => return Comparison::Inside,
        // RFC 5280 has no leading dot in a dNSName; some authorities write it and mean the hosts
        // below. Whether the domain itself is meant too cannot be told: so never in its favour.
        (false, true, true) => return Comparison::Overlaps,
        (false, false, _) => {}
    }
    let reaches =
        host.is_some_and(|parent| bare.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.')));
    if reaches { Comparison::Overlaps } else { Comparison::Outside }
}

/// A mailbox, all mailboxes of a host, or with a leading dot of the hosts below a domain.
fn compare_mailbox(name: &str, base: &str) -> Comparison {
    let host_of = |text: &str| {
        text.split_once('@')
            .filter(|(_, host)| !host.contains('@'))
            .map(|(_, host)| host.to_ascii_lowercase())
    };
    let Some(host) = host_of(name) else { return Comparison::Unknown };
    match (base.strip_prefix('.'), host_of(base)) {
        (Some(_), _) => inside(host.ends_with(&base.to_ascii_lowercase())),
        (None, Some(base_host)) => {
            let local = |text: &str| text.split_once('@').map(|(local, _)| local.to_owned());
            inside(host == base_host && local(name) == local(base))
        }
        (None, None) if base.contains('@') => Comparison::Unknown,
        (None, None) => inside(base.is_empty() || host == base.to_ascii_lowercase()),
    }
}

/// RFC 5280 7.1: the base is the beginning of the name, attribute by attribute. Values in encodings
/// that cannot be compared make it unknown: the constrained authority chose the encoding.
fn compare_directory(name: &X509Name<'_>, base: &X509Name<'_>) -> Comparison {
    let (name, base): (Vec<_>, Vec<_>) = (name.iter_rdn().collect(), base.iter_rdn().collect());
    if name.len() < base.len() {
        return Comparison::Outside;
    }
    let mut whole = Comparison::Inside;
    for (name, base) in name.iter().zip(&base) {
        if name.iter().count() != base.iter().count() {
            return Comparison::Outside;
        }
        for base in base.iter() {
            let found = name.iter().map(|name| compare_attribute(name, base));
            match found.min_by_key(|found| *found as u8) {
                Some(Comparison::Inside) => {}
                Some(Comparison::Unknown) => whole = Comparison::Unknown,
                _ => return Comparison::Outside,
            }
        }
    }
    whole
}

fn compare_attribute(one: &AttributeTypeAndValue<'_>, other: &AttributeTypeAndValue<'_>) -> Comparison {
    let folded = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    if one.attr_type() != other.attr_type() {
        return Comparison::Outside;
    }
    match (one.as_str(), other.as_str()) {
        (Ok(one), Ok(other)) => inside(folded(one) == folded(other)),
        _ if one.attr_value().header.tag() == other.attr_value().header.tag()
            && one.as_slice() == other.as_slice() =>
        {
            Comparison::Inside
        }
        _ => Comparison::Unknown,
    }
}

fn compare_address(address: &[u8], base: &[u8]) -> Comparison {
    let (network, mask) = base.split_at(base.len() / 2);
    let ones = mask.iter().map(|octet| octet.leading_ones() as usize).take_while(|&count| count == 8).count();
    let is_contiguous = mask.iter().enumerate().all(|(at, &octet)| match at.cmp(&ones) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Equal => octet.leading_ones() + octet.trailing_zeros() >= 8,
        std::cmp::Ordering::Greater => octet == 0,
    });
    if !matches!(base.len(), 8 | 32) || !matches!(address.len(), 4 | 16) || !is_contiguous {
        return Comparison::Unknown;
    }
    let same_family = address.len() == network.len();
    let masked = address.iter().zip(network).zip(mask).all(|((one, other), mask)| one & mask == other & mask);
    inside(same_family && masked)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_lie_inside_or_outside_their_constraint() {
        use Comparison::{Inside, Outside, Overlaps, Unknown};
        for (name, base, expected) in [
            ("x.example", "x.example", Inside),
            ("A.X.Example", "x.example", Inside),
            ("ax.example", "x.example", Outside),
            ("example", "x.example", Outside),
            ("x.example", "", Inside),
            ("x.example", ".x.example", Overlaps),
            (".x.example", "x.example", Unknown),
            ("a..x.example", "x.example", Unknown),
            ("a.x.example.", "x.example", Inside),
            ("*.x.example", ".x.example", Inside),
            ("a.x.example", "..x.example", Unknown),
            ("a.x.example", ".x.example", Inside),
            ("*.x.example", "x.example", Inside),
            ("*.x.example", "a.x.example", Overlaps),
            ("*.x.example", "y.example", Outside),
            ("x.example", "*.example", Unknown),
            ("a\0.x.example", "x.example", Unknown),
        ] {
            assert_eq!(compare_dns(name, base), expected, "{name:?} under {base:?}");
        }
        for (name, base, expected) in [
            ("a@x.example", "a@X.example", Inside),
            ("b@x.example", "a@x.example", Outside),
            ("b@x.example", "x.example", Inside),
            ("b@a.x.example", "x.example", Outside),
            ("b@a.x.example", ".x.example", Inside),
            ("b@x.example", "a@b@x.example", Unknown),
        ] {
            assert_eq!(compare_mailbox(name, base), expected, "{name:?} under {base:?}");
        }
    }

    #[test]
    fn addresses_lie_inside_or_outside_their_network() {
        let compare = |address: [u8; 4], base: [u8; 8]| compare_address(&address, &base);
        let network = [192, 0, 2, 0, 255, 255, 254, 0];
        assert_eq!(compare([192, 0, 3, 9], network), Comparison::Inside);
        assert_eq!(compare([192, 0, 4, 9], network), Comparison::Outside);
        assert_eq!(compare([1, 2, 3, 4], [0; 8]), Comparison::Inside);
        assert_eq!(compare([192, 0, 2, 1], [192, 0, 2, 0, 255, 0, 255, 0]), Comparison::Unknown);
        assert_eq!(compare_address(&[0; 16], &network), Comparison::Outside);
        assert_eq!(compare_address(&[192, 0, 2, 1], &[192, 0, 2, 1]), Comparison::Unknown);
    }

    proptest! {
        #[test]
        fn comparing_never_panics(name in any::<String>(), base in any::<String>(),
            address in proptest::collection::vec(any::<u8>(), 0..40), network in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (compare_dns(&name, &base), compare_mailbox(&name, &base), compare_address(&address, &network));
        }
    }
}
