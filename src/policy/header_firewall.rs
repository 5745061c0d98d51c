//! The header firewall: fields by which the inside of an organisation speaks to itself neither
//! come in from outside nor leak out (CONTRACT 4; Exchange calls it by the same name).
//!
//! Only the header section of the message itself is looked at: what an attached message says is
//! its own affair.

use crate::mail::header::{Field, HeaderSection};
use crate::mail::{Domain, authentication_results};

use super::StampSigning;

/// By what fields that speak in our name are known, beside those that only we write at all.
#[derive(Clone, Copy, Debug)]
pub struct Ours<'a> {
    pub hostname: &'a Domain,
    /// What we sign stamps with.
    pub signing: Option<&'a StampSigning>,
}

impl Ours<'_> {
    fn is_signature(self, field: Field<'_>) -> bool {
        self.signing.is_some_and(|signing| signing.speaks_for_us(field))
    }
}

/// The header section of a message that comes in. `keep_organization` is for a
/// connector with `accept_organization_headers`, when the reverse-path is not on the receive list.
/// What bears our name as `Authentication-Results` counts as a field of ours (RFC 8601 5), and so does
/// a signature over the stamp.
///
/// A folded line before the first field is removed always: it would become part of the stamp.
pub fn incoming(head: &[u8], keep_organization: bool, ours: Ours<'_>) -> Vec<u8> {
    let section = HeaderSection::new(head);
    let orphan =
        section.fields().next().filter(|field| field.is_orphan()).map_or(0, |field| field.raw().len());
    let section = HeaderSection::new(&head[orphan..]);
    if keep_organization {
        return section.without(|_| false);
    }
    section.without_fields(|field| {
        let name = field.name();
        let is_result = name == authentication_results::NAME;
        is_ours(&name)
            || is_result && authentication_results::speaks_for(&field.value(), ours.hostname)
            || ours.is_signature(field)
    })
}

/// The header section of a message that goes out. A signature of ours, or of an edge before us, goes
/// always: without the stamp it is broken, and with it the message is signed anew.
pub fn outgoing(head: &[u8], send_organization_headers: bool, ours: Ours<'_>) -> Vec<u8> {
    HeaderSection::new(head).without_fields(|field| {
        !send_organization_headers && is_ours(&field.name()) || ours.is_signature(field)
    })
}

/// Whether a header section that goes out holds a stamp, be it a good one or one that says "none".
pub fn is_stamped(head: &[u8]) -> bool {
    HeaderSection::new(head).find("Domain-Secured").is_some()
}

/// `name` is lower-case and without blanks.
fn is_ours(name: &str) -> bool {
    name == "domain-secured"
        || name == "x-sealpost-milter"
        || name.starts_with("x-ms-exchange-organization-")
        || name.starts_with("x-ms-exchange-forest-")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::{StampAlgorithm, StampKey};

    fn hostname() -> Domain {
        Domain::parse("mx.contoso.example").unwrap()
    }

    fn incoming(head: &[u8], keep_organization: bool) -> Vec<u8> {
        super::incoming(head, keep_organization, Ours { hostname: &hostname(), signing: None })
    }

    fn outgoing(head: &[u8], send_organization_headers: bool) -> Vec<u8> {
        super::outgoing(head, send_organization_headers, Ours { hostname: &hostname(), signing: None })
    }

    const FORGED: &[&str] = &[
        "Domain-Secured: domain=woodgrovebank.example; verified=chain,revocation,name\r\n",
        "domain-secured:x\r\n",
        "DOMAIN-SECURED: a;\r\n\tb;\r\n c\r\n",
        "Domain-Secured : x\r\n",
        "Domain-Secured\t: x\r\n",
        "Domain-Secured\r\n : x\r\n",
        "Domain-\r\n Secured: x\r\n",
        "X-MS-Exchange-Organization-AuthAs: Internal\r\n",
        "x-ms-exchange-organization-authdomain: x\r\n",
        "X-MS-Exchange-Forest-RulesExecuted: y\r\n",
    ];

    const INNOCENT: &[&str] = &[
        "Received: from a\r\n\tby b; Domain-Secured: no\r\n",
        "Subject: Domain-Secured: really?\r\n",
        "X-Domain-Secured: x\r\n",
        "X-MS-Exchange-CrossTenant-Id: x\r\n",
        "X-MS-Has-Attach:\r\n",
        "a line that is no field\r\n",
    ];

    #[test]
    fn forged_fields_go_wherever_they_stand() {
        for forged in FORGED {
            let head = format!("{}{forged}{}{forged}", INNOCENT[0], INNOCENT[1]);
            let clean = format!("{}{}", INNOCENT[0], INNOCENT[1]);
            assert_eq!(incoming(head.as_bytes(), false), clean.as_bytes(), "{forged:?}");
            assert_eq!(outgoing(head.as_bytes(), false), clean.as_bytes(), "{forged:?}");
            assert_eq!(incoming(head.as_bytes(), true), head.as_bytes(), "{forged:?}");
            assert_eq!(outgoing(head.as_bytes(), true), head.as_bytes(), "{forged:?}");
        }
    }

    /// Only what comes in can forge it: what we wrote ourselves goes on to where our mail goes.
    #[test]
    fn results_in_our_name_are_ours_to_write() {
        let foreign = "Authentication-Results: mx.litware.example; spf=pass\r\nSubject: x\r\n";
        let head = format!("Authentication-Results: MX.contoso.example;\r\n\tdkim=pass\r\n{foreign}");
        assert_eq!(incoming(head.as_bytes(), false), foreign.as_bytes());
        assert_eq!(incoming(head.as_bytes(), true), head.as_bytes());
        assert_eq!(outgoing(head.as_bytes(), false), head.as_bytes());
    }

    #[test]
    fn a_line_that_would_fold_onto_the_stamp_goes() {
        let head = b" ; verified=chain\r\n\tmore\r\nSubject: x\r\n";
        assert_eq!(incoming(head, false), b"Subject: x\r\n");
        assert_eq!(incoming(head, true), b"Subject: x\r\n");
    }

    /// A sender who brings a signature in our name would have a stamp proved that is none.
    #[test]
    fn signatures_in_our_name_neither_come_in_nor_go_on() {
        let domain = |text| Domain::parse(text).unwrap();
        let key = StampKey {
            algorithm: StampAlgorithm::Rsa,
            der: zeroize::Zeroizing::default(),
            public: Vec::new(),
        };
        let (hostname, key) = (hostname(), std::sync::Arc::new(key));
        let signing = StampSigning { domain: domain("contoso.example"), selector: domain("stamp"), key };
        let ours = Ours { hostname: &hostname, signing: Some(&signing) };
        let rest = "DKIM-Signature: d=woodgrove.example; s=a; h=from; b=x\r\nSubject: x\r\n";
        let head = format!("DKIM-Signature: d=contoso.example; s=stamp; b=x\r\n{rest}");
        assert_eq!(super::incoming(head.as_bytes(), false, ours), rest.as_bytes());
        assert_eq!(super::incoming(head.as_bytes(), true, ours), head.as_bytes(), "an inner edge's");
        for send in [true, false] {
            assert_eq!(super::outgoing(head.as_bytes(), send, ours), rest.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn what_is_not_ours_passes_octet_by_octet(picks in proptest::collection::vec((0usize..16, any::<bool>()), 0..12)) {
            let all: Vec<&str> = INNOCENT.iter().chain(FORGED).copied().collect();
            let chosen: Vec<&str> = picks.iter().map(|(index, _)| all[*index]).collect();
            let innocent: String = chosen.iter().filter(|field| INNOCENT.contains(field)).copied().collect();
            prop_assert_eq!(incoming(chosen.concat().as_bytes(), false), innocent.as_bytes());
        }
    }
}
