//! What a path must obey apart from revocation: signatures, the rules of RFC 5280 for its
//! certificates, and its end.

use std::fmt;

use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::EndEntityCert;

use super::path::{Path, Top};
use super::pool::{Certificate, Pool};
use super::{AnyUsage, ChainDemand, constraints, marks, unix_time};
use crate::trust::anchors::AnchorSet;
use crate::trust::certificate::{distinguished_name, printable};
use crate::trust::der;
use crate::trust::fault::Fault;
use crate::trust::signature::SignatureProblem;
use crate::trust::verdict::Fact;

/// Octets of a serial number (RFC 5280 4.1.2.2).
const SERIAL_OCTETS_MAX: usize = 20;

/// Every fact about one path but revocation. `admitted`: webpki has verified it as it is now.
pub(super) fn examine(pool: &Pool<'_>, path: &Path, demand: &ChainDemand<'_>, admitted: bool) -> Vec<Fact> {
    let members: Vec<&Certificate<'_>> = path.members.iter().map(|&at| &pool.certificates[at]).collect();
    let mut facts = Vec::new();
    for (height, certificate) in members.iter().enumerate() {
        readable(certificate, &mut facts);
        if height == 0 {
            end_entity_rules(certificate, &mut facts);
        } else {
            authority_rules(certificate, authorities_below(&members, height), &mut facts);
        }
    }
    constraints::examine(&members, anchor_constraints(path, demand.anchors), &mut facts);
    if !admitted {
        signatures(pool, path, demand, &mut facts);
        whole_path_at_another_time(pool, path, demand, &members, &mut facts);
    }
    end_of_path(path, demand, &members, &mut facts);
    marks::usage(&members, demand, &mut facts);
    marks::algorithms(&members, demand.algorithms, &mut facts);
    marks::validity(&members, demand.now, &mut facts);
    if let Top::Anchor(anchor) = path.top {
        anchor_rules(anchor, demand, &members, &mut facts);
    }
    facts.dedup();
    facts
}

/// Content of the anchor's name constraints.
fn anchor_constraints<'a>(path: &Path, anchors: &'a AnchorSet) -> Option<&'a [u8]> {
    match path.top {
        Top::Anchor(anchor) => anchors.anchors[anchor].name_constraints.as_deref(),
        Top::SelfIssued | Top::Missing | Top::TooLong => None,
    }
}

/// Extensions whose meaning we use: one that cannot be read must not count as absent. Key usage,
/// alternative name, basic constraints, name constraints, distribution points, extended key usage
/// and authority information access.
const READ_EXTENSIONS: [&str; 7] =
    ["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.31", "2.5.29.37", "1.3.6.1.5.5.7.1.1"];

/// What webpki makes of a certificate by itself: it knows which critical extensions it processes.
pub(super) fn readable(certificate: &Certificate<'_>, facts: &mut Vec<Fact>) {
    let label = certificate.label();
    if let Err(error) = EndEntityCert::try_from(certificate.der) {
        facts.push(parse_fact(&label, &error));
    } else if certificate.parsed.tbs_certificate.extensions_map().is_err() {
        facts.push(invalid(format!("Certificate {label} has one extension twice."), "each once", "twice"));
    }
    for extension in certificate.parsed.extensions() {
        let oid = extension.oid.to_id_string();
        if extension.parsed_extension().error().is_some() && READ_EXTENSIONS.contains(&oid.as_str()) {
            facts.push(Fact {
                fault: Fault::MalformedCertificate,
                detail: format!("The extension {oid} of certificate {label} cannot be read."),
                wanted: "X.509 v3 in DER".into(),
                got: format!("a malformed extension {oid}"),
            });
        }
    }
}

fn parse_fact(label: &impl fmt::Display, error: &webpki::Error) -> Fact {
    let words = webpki_words(error);
    match error {
        webpki::Error::UnsupportedCriticalExtension | webpki::Error::UnsupportedCertVersion => {
            let detail = format!("Certificate {label} {words}.");
            invalid(detail, "a certificate we can process in full", &words)
        }
        _ => Fact {
            fault: Fault::MalformedCertificate,
            detail: format!("Certificate {label} {words}."),
            wanted: "X.509 v3 in DER".into(),
            got: words,
        },
    }
}

fn end_entity_rules(certificate: &Certificate<'_>, facts: &mut Vec<Fact>) {
    let label = certificate.label();
    common_rules(certificate, facts);
    if certificate.is_authority() {
        let detail =
            format!("Certificate {label} is that of an authority (CA:TRUE) and not of a mail server.");
        facts.push(invalid(detail, "an end-entity", "CA:TRUE"));
        return;
    }
    if certificate.subject_content().is_empty() && !certificate.has_critical_alternative_name() {
        let detail = format!("Certificate {label} has neither a subject nor a critical subjectAltName.");
        facts.push(invalid(detail, "a subject, or a critical subjectAltName", "neither"));
    }
    if certificate.key_usage().is_some_and(x509_parser::extensions::KeyUsage::key_cert_sign) {
        let detail = format!("Certificate {label} may sign certificates without being an authority.");
        facts.push(invalid(detail, "no keyCertSign", "keyCertSign without CA:TRUE"));
    }
    if certificate.has_extension("2.5.29.30") {
        let detail = format!("Certificate {label} constrains names without being an authority.");
        facts.push(invalid(detail, "no name constraints", "name constraints without CA:TRUE"));
    }
}

/// `below`: authorities under this one that are not self-issued (RFC 5280 4.2.1.9).
fn authority_rules(certificate: &Certificate<'_>, below: usize, facts: &mut Vec<Fact>) {
    let label = certificate.label();
    common_rules(certificate, facts);
    issuer_rules(certificate, &label, below, facts);
    if certificate.subject_content().is_empty() {
        let detail = format!("Certificate {label} of an authority has no subject.");
        facts.push(invalid(detail, "a subject", "an empty one"));
    }
}

/// What anyone who issues must be allowed: also asked of an anchor that is known as a certificate.
fn issuer_rules(
    certificate: &Certificate<'_>,
    label: &impl fmt::Display,
    below: usize,
    facts: &mut Vec<Fact>,
) {
    let constraints = certificate.basic_constraints();
    if !certificate.is_authority() {
        let detail = format!("Certificate {label} issued another one but is no authority (CA:FALSE).");
        facts.push(invalid(detail, "CA:TRUE", "CA:FALSE"));
    }
    if certificate.key_usage().is_some_and(|usage| !usage.key_cert_sign()) {
        let detail = format!("Certificate {label} issued another one but its key may not sign certificates.");
        facts.push(invalid(detail, "keyCertSign", "a key usage without it"));
    }
    if let Some(longest) = constraints.and_then(|constraints| constraints.path_len_constraint)
        && below > longest as usize
    {
        let detail = format!("Certificate {label} allows {longest} authorities below it; there are {below}.");
        facts.push(invalid(detail, &format!("path length {longest}"), &below.to_string()));
    }
}

fn common_rules(certificate: &Certificate<'_>, facts: &mut Vec<Fact>) {
    let label = certificate.label();
    if certificate.issuer_content().is_empty() {
        facts.push(invalid(format!("Certificate {label} names no issuer."), "an issuer", "an empty one"));
    }
    if certificate.key_usage().is_some_and(|usage| usage.flags == 0) {
        let detail = format!("Certificate {label} has a key usage extension without a usage.");
        facts.push(invalid(detail, "a key usage, or no such extension", "none"));
    }
    // A serial number of zero breaks RFC 5280 4.1.2.2, which asks verifiers to live with it.
    let serial = certificate.parsed.raw_serial();
    let octets = serial.len() - serial.iter().take_while(|&&octet| octet == 0).count();
    if octets > SERIAL_OCTETS_MAX {
        let detail = format!("Certificate {label} has a serial number of more than 20 octets.");
        facts.push(invalid(detail, "20 octets at most", &octets.to_string()));
    }
}

/// Path length and CA flag also bind a root that is known as a certificate; a bare key and name
/// (RFC 5280 6.1.1) has none. A certificate that is itself the anchor issued nothing.
fn anchor_rules(index: usize, demand: &ChainDemand<'_>, members: &[&Certificate<'_>], facts: &mut Vec<Fact>) {
    let key = demand.anchors.anchors[index].subject_public_key_info.as_ref();
    marks::anchor_key(key, demand.algorithms, facts);
    let Some(der) = demand.anchors.certificate(index) else { return };
    let Ok(anchor) = Certificate::read(der) else { return };
    marks::validity(&[&anchor], demand.now, facts);
    let is_the_anchor = |member: &&Certificate<'_>| {
        member.subject_content() == anchor.subject_content() && member.key_content() == anchor.key_content()
    };
    if members.last().is_some_and(is_the_anchor) {
        return;
    }
    if EndEntityCert::try_from(der).is_err_and(|error| error == webpki::Error::UnsupportedCriticalExtension) {
        facts.push(parse_fact(&anchor.label(), &webpki::Error::UnsupportedCriticalExtension));
    }
    // Version 1 roots are older than the CA flag.
    if anchor.parsed.version() == x509_parser::x509::X509Version::V3 {
        issuer_rules(&anchor, &anchor.label(), authorities_below(members, members.len()), facts);
    }
}

fn authorities_below(members: &[&Certificate<'_>], height: usize) -> usize {
    members[1..height.max(1)].iter().filter(|member| !member.is_self_issued()).count()
}

fn signatures(pool: &Pool<'_>, path: &Path, demand: &ChainDemand<'_>, facts: &mut Vec<Fact>) {
    for (height, &member) in path.members.iter().enumerate() {
        let certificate = &pool.certificates[member];
        let (issuer, whose) = match (path.members.get(height + 1), &path.top) {
            (Some(&issuer), _) => {
                let issuer = &pool.certificates[issuer];
                (issuer.key_content(), issuer.label().to_string())
            }
            (None, Top::Anchor(anchor)) => {
                let anchor = &demand.anchors.anchors[*anchor];
                let name = distinguished_name(&der::sequence(&anchor.subject));
                (anchor.subject_public_key_info.as_ref(), format!("our trust anchor \"{name}\""))
            }
            // Of the same name is not of the same key: who signed this one is not known.
            (None, Top::SelfIssued | Top::Missing | Top::TooLong) => continue,
        };
        match pool.signature(member, issuer) {
            Ok(()) => {}
            Err(SignatureProblem::Weak(what)) => facts.push(weak(&certificate.label(), &what)),
            Err(SignatureProblem::Wrong) => facts.push(Fact {
                fault: Fault::SignatureFailure,
                detail: format!(
                    "The signature on certificate {} was not made by the key of {whose}: it was changed, or two authorities have one name and different keys.",
                    certificate.label()
                ),
                wanted: format!("a signature by {}", certificate.issuer()),
                got: "a signature by another key".into(),
            }),
        }
    }
}

pub(super) fn weak(label: &impl fmt::Display, what: &str) -> Fact {
    Fact {
        fault: Fault::WeakAlgorithm,
        detail: format!("Certificate {label}: {what}, which is too weak or not supported."),
        wanted: "SHA-256 or better; RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519"
            .into(),
        got: what.to_owned(),
    }
}

/// Name constraints and the like are webpki's to judge; a time at which every member is valid lets
/// it come to them although one has expired by now. Without an anchor the topmost member stands in.
fn whole_path_at_another_time(
    pool: &Pool<'_>,
    path: &Path,
    demand: &ChainDemand<'_>,
    members: &[&Certificate<'_>],
    facts: &mut Vec<Fact>,
) {
    let earliest = members.iter().map(|member| member.parsed.validity().not_before.timestamp()).max();
    let time = earliest.and_then(|at| jiff::Timestamp::from_second(at).ok()).and_then(unix_time);
    let Some(time) = time.filter(|_| facts.is_empty()) else { return };
    let found = match path.top {
        Top::Anchor(anchor) => {
            webpki_fact(pool, path, std::slice::from_ref(&demand.anchors.anchors[anchor]), time)
        }
        Top::SelfIssued | Top::Missing if members.len() > 1 => {
            let top = members.last().and_then(|top| webpki::anchor_from_trusted_cert(top.der).ok());
            let below = Path { members: path.members[..members.len() - 1].to_vec(), top: path.top.clone() };
            top.and_then(|top| webpki_fact(pool, &below, &[top], time))
        }
        Top::SelfIssued | Top::Missing | Top::TooLong => None,
    };
    // Dates, and a path with disjoint dates, have facts of their own.
    facts.extend(found.filter(|fact| !matches!(fact.fault, Fault::Expired | Fault::NotYetValid)));
}

/// webpki's own error on one path, unless it is one that `constraints` and the rules above judge
/// more exactly.
pub(super) fn webpki_fact(
    pool: &Pool<'_>,
    path: &Path,
    anchors: &[TrustAnchor<'_>],
    time: UnixTime,
) -> Option<Fact> {
    let leaf = &pool.certificates[path.members[0]];
    let end_entity = match EndEntityCert::try_from(leaf.der) {
        Ok(end_entity) => end_entity,
        Err(error) => return Some(parse_fact(&leaf.label(), &error)),
    };
    let others: Vec<CertificateDer<'_>> = path.members[1..]
        .iter()
        .map(|&member| CertificateDer::from(pool.certificates[member].der.as_ref()))
        .collect();
    let error = end_entity
        .verify_for_usage(webpki::ALL_VERIFICATION_ALGS, anchors, &others, time, AnyUsage, None, None)
        .err()?;
    let words = webpki_words(&error);
    let members: Vec<&Certificate<'_>> = path.members.iter().map(|&at| &pool.certificates[at]).collect();
    let of_anchor = anchors.first().and_then(|anchor| anchor.name_constraints.as_deref());
    match error {
        // Among authorities of one name webpki also reports the signature by the other's key; ours
        // has been checked edge by edge.
        webpki::Error::NameConstraintViolation
        | webpki::Error::PathLenConstraintViolated
        | webpki::Error::InvalidSignatureForPublicKey
            if constraints::is_ours_to_judge(&members, of_anchor) =>
        {
            None
        }
        webpki::Error::CertExpired { .. } => Some(date_fact(Fault::Expired, leaf, words)),
        webpki::Error::CertNotValidYet { .. } => Some(date_fact(Fault::NotYetValid, leaf, words)),
        webpki::Error::InvalidSignatureForPublicKey => Some(Fact {
            fault: Fault::SignatureFailure,
            detail: format!("A signature in the chain of {} is wrong.", leaf.label()),
            wanted: "good signatures".into(),
            got: words,
        }),
        webpki::Error::UnsupportedSignatureAlgorithmContext(_)
        | webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            Some(weak(&leaf.label(), &words))
        }
        _ => Some(invalid(
            format!("The chain of certificate {}: {words}.", leaf.label()),
            "a chain by RFC 5280",
            &words,
        )),
    }
}

fn date_fact(fault: Fault, leaf: &Certificate<'_>, got: String) -> Fact {
    let detail = format!("A certificate in the chain of {} is outside its validity.", leaf.label());
    Fact { fault, detail, wanted: "valid certificates".into(), got }
}

/// webpki's errors in words of ours where one is likely; else its own name for it.
fn webpki_words(error: &webpki::Error) -> String {
    match error {
        webpki::Error::NameConstraintViolation => {
            "a name lies outside the name constraints of an authority above it".into()
        }
        webpki::Error::PathLenConstraintViolated => "an authority's path length is exceeded".into(),
        webpki::Error::MaximumPathDepthExceeded => "it has more than six intermediate authorities".into(),
        webpki::Error::UnsupportedCriticalExtension => {
            "has a critical extension that we cannot process".into()
        }
        webpki::Error::UnsupportedCertVersion => "is not of X.509 version 3".into(),
        webpki::Error::SignatureAlgorithmMismatch => "names two different signature algorithms".into(),
        webpki::Error::CertDistrusted => "its key is known to be compromised".into(),
        webpki::Error::EmptyEkuExtension => "has an extended key usage extension without a usage".into(),
        other => format!("breaks a rule of encoding or structure ({})", printable(&format!("{other:?}"))),
    }
}

fn end_of_path(path: &Path, demand: &ChainDemand<'_>, members: &[&Certificate<'_>], facts: &mut Vec<Fact>) {
    let Some(last) = members.last() else { return };
    let anchors = &demand.anchors.source;
    match path.top {
        Top::Anchor(_) => {}
        Top::SelfIssued => facts.push(Fact {
            fault: Fault::UntrustedRoot,
            detail: format!(
                "The chain ends in the self-issued certificate {}, which is none of our trust anchors ({anchors}).",
                last.label()
            ),
            wanted: format!("a trust anchor of {anchors}"),
            got: last.subject(),
        }),
        Top::Missing => facts.push(Fact {
            fault: Fault::IncompleteChain,
            detail: format!(
                "The issuer \"{}\" of certificate {} was neither sent, nor is it among our `intermediates` or trust anchors ({anchors}).",
                last.issuer(),
                last.label()
            ),
            wanted: format!("the certificate of {}", last.issuer()),
            got: "nothing".into(),
        }),
        Top::TooLong => facts.push(invalid(
            format!("The chain above certificate {} is too long.", members[0].label()),
            "six intermediate authorities at most",
            "more",
        )),
    }
}

pub(super) fn invalid(detail: String, wanted: &str, got: &str) -> Fact {
    Fact { fault: Fault::InvalidChain, detail, wanted: wanted.to_owned(), got: got.to_owned() }
}
