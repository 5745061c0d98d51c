//! What is marked on each certificate of a path: usage, algorithms, dates.

use jiff::Timestamp;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::ChainDemand;
use super::pool::Certificate;
use super::rules::weak;
use crate::trust::der;
use crate::trust::fault::Fault;
use crate::trust::requirement::{AlgorithmPolicy, UsagePolicy};
use crate::trust::signature::{self, SignatureAlgorithm};
use crate::trust::verdict::Fact;

/// The two usages of RFC 5280 4.2.1.12 that matter to TLS.
#[derive(Clone, Copy)]
enum Usage {
    Client,
    Server,
}

/// One usage of those asked for must be allowed by every certificate below the anchor.
pub(in crate::trust) fn usage(members: &[&Certificate<'_>], demand: &ChainDemand<'_>, facts: &mut Vec<Fact>) {
    let asked: &[Usage] = match demand.usage {
        UsagePolicy::Client => &[Usage::Client],
        UsagePolicy::Server => &[Usage::Server],
        UsagePolicy::Either => &[Usage::Client, Usage::Server],
        UsagePolicy::Any => return,
    };
    if asked.iter().any(|&usage| members.iter().all(|member| allows(member, usage))) {
        return;
    }
    let narrow = members.iter().find(|member| !asked.iter().any(|&usage| allows(member, usage)));
    let names: Vec<&str> = asked.iter().map(|usage| usage.as_str()).collect();
    let wanted = names.join(" or ");
    let (detail, got) = match narrow {
        Some(member) => {
            let got = usage_words(member);
            (format!("Certificate {} is for {got}, not for {wanted}.", member.label()), got)
        }
        None => {
            let got = "no usage that all certificates of the chain allow".to_owned();
            (format!("The chain of certificate {} has {got}.", members[0].label()), got)
        }
    };
    facts.push(Fact { fault: Fault::WrongUsage, detail, wanted, got });
}

fn allows(certificate: &Certificate<'_>, usage: Usage) -> bool {
    match (certificate.extended_key_usage(), usage) {
        (None, _) => true,
        (Some(allowed), Usage::Client) => allowed.any || allowed.client_auth,
        (Some(allowed), Usage::Server) => allowed.any || allowed.server_auth,
    }
}

fn usage_words(certificate: &Certificate<'_>) -> String {
    let Some(allowed) = certificate.extended_key_usage() else { return "any usage".into() };
    let known = [
        (allowed.server_auth, "serverAuth"),
        (allowed.client_auth, "clientAuth"),
        (allowed.code_signing, "codeSigning"),
        (allowed.email_protection, "emailProtection"),
        (allowed.time_stamping, "timeStamping"),
        (allowed.ocsp_signing, "OCSPSigning"),
    ];
    let mut words: Vec<String> =
        known.iter().filter(|(is_allowed, _)| *is_allowed).map(|(_, name)| (*name).to_owned()).collect();
    words.extend(allowed.other.iter().map(x509_parser::oid_registry::Oid::to_id_string));
    if words.is_empty() { "no usage".into() } else { words.join(", ") }
}

impl Usage {
    fn as_str(self) -> &'static str {
        match self {
            Usage::Client => "clientAuth",
            Usage::Server => "serverAuth",
        }
    }
}

/// An end-entity without a chain must still be one that we can process in full.
pub(in crate::trust) fn critical_extensions(leaf: &Certificate<'_>, facts: &mut Vec<Fact>) {
    super::rules::readable(leaf, facts);
}

/// Signature algorithms and keys of every certificate below the anchor.
pub(in crate::trust) fn algorithms(
    members: &[&Certificate<'_>],
    policy: &AlgorithmPolicy,
    facts: &mut Vec<Fact>,
) {
    for member in members {
        let info = member.parsed.public_key();
        let signature = signature::weak_signature(member.der.as_ref());
        let key = signature::weak_key(info);
        for what in signature.into_iter().chain(key) {
            push_once(weak(&member.label(), &what), facts);
        }
        // A key that no library takes is not also told to be short.
        let short = signature::short_key(info, policy.minimum_rsa_bits);
        if let Some(what) = short.filter(|_| signature::weak_key(info).is_none()) {
            push_once(too_short(&member.label(), what, policy), facts);
        }
        let allowed = &policy.signature_algorithms;
        let own = SignatureAlgorithm::of(&member.parsed);
        if let Some(own) = own.filter(|own| !allowed.is_empty() && !allowed.contains(own)) {
            let names: Vec<&str> = allowed.iter().map(|allowed| allowed.name()).collect();
            push_once(
                Fact {
                    fault: Fault::WeakAlgorithm,
                    detail: format!(
                        "Certificate {} is signed with {}, which signature_algorithms does not list.",
                        member.label(),
                        own.name()
                    ),
                    wanted: names.join(", "),
                    got: own.name().to_owned(),
                },
                facts,
            );
        }
    }
}

/// An anchor's key is as good as the chain below it.
pub(super) fn anchor_key(key_content: &[u8], policy: &AlgorithmPolicy, facts: &mut Vec<Fact>) {
    let whole = der::sequence(key_content);
    let Ok((_, info)) = SubjectPublicKeyInfo::from_der(&whole) else { return };
    if let Some(what) = signature::short_key(&info, policy.minimum_rsa_bits) {
        push_once(too_short("of our trust anchor", what, policy), facts);
    }
}

fn too_short(label: &(impl std::fmt::Display + ?Sized), what: String, policy: &AlgorithmPolicy) -> Fact {
    Fact {
        fault: Fault::WeakAlgorithm,
        detail: format!("The key of certificate {label} is {what}, which is below minimum_rsa_bits."),
        wanted: format!("RSA of {} bits or more, or another kind of key", policy.minimum_rsa_bits),
        got: what,
    }
}

fn push_once(fact: Fact, facts: &mut Vec<Fact>) {
    if !facts.contains(&fact) {
        facts.push(fact);
    }
}

/// Both bounds belong to the validity (RFC 5280 4.1.2.5), which counts in whole seconds.
pub(in crate::trust) fn validity(members: &[&Certificate<'_>], now: Timestamp, facts: &mut Vec<Fact>) {
    let second = now.as_second();
    for member in members {
        let validity = member.parsed.validity();
        let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let label = member.label();
        if second < from {
            facts.push(Fact {
                fault: Fault::NotYetValid,
                detail: format!("Certificate {label} is valid only from {}.", words(from)),
                wanted: format!("valid at {}", words(second)),
                got: format!("valid from {}", words(from)),
            });
        }
        if second > until {
            facts.push(Fact {
                fault: Fault::Expired,
                detail: format!("Certificate {label} expired on {}.", words(until)),
                wanted: format!("valid at {}", words(second)),
                got: format!("valid until {}", words(until)),
            });
        }
    }
}

/// A second in RFC 3339; certificates may name years that no calendar of ours reaches.
fn words(second: i64) -> String {
    Timestamp::from_second(second).map_or_else(|_| format!("second {second}"), |at| at.to_string())
}
