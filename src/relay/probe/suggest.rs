//! A `[[partner]]` entry that would admit what a walk has seen: settings are changed one by one
//! until the judge is content, or until no setting helps. Whoever answered the walk chose what it
//! saw, so the entry says that it is unverified.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use serde::Serialize;

use crate::mail::Domain;
use crate::observe::partners::SeenCertificate;
use crate::policy::Settings;
use crate::trust::{
    AlgorithmPolicy, AnchorSet, Direction, Fact, Fault, Mode, NamePattern, Requirement, RevocationDepth,
    RevocationMode, SignatureAlgorithm, TlsVersion, TrustPolicy, UsagePolicy, spki_pin, to_pem,
};

use super::target::TargetWalk;
use super::{Gear, Walk};

/// More changes than there are kinds of them are of no use.
const ROUNDS_MAX: usize = 12;

/// The entry, and what it does not mend.
#[derive(Serialize)]
pub struct Suggestion {
    pub toml: String,
    /// To be saved under `anchor_file` beside the configuration.
    pub anchor_file: Option<String>,
    pub anchor_pem: Option<String>,
    /// To be saved under `intermediates_file`: what this host leaves out of its chain and another sent.
    pub intermediates_file: Option<String>,
    pub intermediates_pem: Option<String>,
    /// What no entry can admit.
    pub remaining: Vec<Fact>,
}

/// A policy in the making.
struct Draft {
    policy: TrustPolicy,
    /// The certificate to be trusted, where the present anchors do not do.
    anchor: Option<CertificateDer<'static>>,
    /// What other hosts of the partner sent, to be tried for a chain that is incomplete.
    elsewhere: Vec<CertificateDer<'static>>,
    /// Of these, what is tried now.
    intermediates: Vec<CertificateDer<'static>>,
    /// The issuer whose certificate is missing, where nobody sent it.
    missing: Option<String>,
    /// Names still to be tried.
    names: Vec<NamePattern>,
}

/// The entry for the first next hop that came to TLS; none where none did.
pub async fn suggest(gear: Gear<'_>, walk: &Walk) -> Option<Suggestion> {
    let target = walk.targets.iter().find(|target| !target.chain.is_empty())?;
    let mut draft = Draft {
        policy: TrustPolicy::clone(&walk.requirement.policy),
        anchor: None,
        elsewhere: elsewhere(walk, target),
        intermediates: Vec::new(),
        missing: None,
        names: names(target),
    };
    let mut remaining = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let requirement = Requirement {
            mode: Mode::Enforce,
            policy: Arc::new(draft.policy.clone()),
            ..walk.requirement.clone()
        };
        remaining = target.judge(&requirement, gear).await.map(|verdict| verdict.facts).unwrap_or_default();
        let changed = remaining.iter().filter(|fact| draft.mend(fact, walk, target)).count();
        if changed == 0 {
            break;
        }
    }
    let anchor_file = draft.anchor.is_some().then(|| anchor_file(&walk.domain));
    Some(Suggestion {
        toml: toml(gear.settings, walk, target, &draft, &remaining),
        anchor_file,
        anchor_pem: draft.anchor.as_ref().map(to_pem),
        intermediates_file: (!draft.intermediates.is_empty()).then(|| intermediates_file(&walk.domain)),
        intermediates_pem: (!draft.intermediates.is_empty())
            .then(|| draft.intermediates.iter().map(to_pem).collect()),
        remaining,
    })
}

/// Names in the certificate that could be listed, the likeliest first: the host's own, then others.
fn names(target: &TargetWalk) -> Vec<NamePattern> {
    let host = Domain::parse_rooted(&target.host).ok().filter(|host| host.as_str().contains('.'));
    let leaf = target.certificates.first();
    let names = leaf.iter().flat_map(|leaf| &leaf.names);
    let named = names.filter_map(|name| match name.strip_prefix("*.") {
        Some(parent) => Domain::parse_rooted(parent).ok().map(NamePattern::Below),
        None => Domain::parse_rooted(name).ok().map(NamePattern::Exact),
    });
    host.map(NamePattern::Exact).into_iter().chain(named).collect()
}

impl Draft {
    /// Changes the setting that this fact is about; false where none is left to change.
    fn mend(&mut self, fact: &Fact, walk: &Walk, target: &TargetWalk) -> bool {
        match fact.fault {
            Fault::IncompleteChain => {
                let borrowed = self.borrow_intermediates();
                if !borrowed {
                    self.missing = Some(fact.wanted.clone());
                }
                borrowed || self.trust(&target.chain, &walk.domain)
            }
            Fault::UntrustedRoot | Fault::SignatureFailure => self.trust(&target.chain, &walk.domain),
            Fault::WeakAlgorithm => self.allow_algorithms(&target.chain),
            Fault::NameMismatch => self.next_name(),
            Fault::PinMismatch => self.pin(&target.chain),
            Fault::RevocationUnknown => {
                let hard = self.policy.revocation == RevocationMode::HardFail;
                self.policy.revocation = RevocationMode::SoftFail;
                hard
            }
            Fault::TlsVersionTooLow => {
                let high = self.policy.minimum_tls > TlsVersion::Tls12;
                self.policy.minimum_tls = TlsVersion::Tls12;
                high
            }
            Fault::ClientCertificateNotRequested => {
                std::mem::replace(&mut self.policy.require_client_certificate_request, false)
            }
            Fault::TlsNotStarted
            | Fault::HandshakeFailed
            | Fault::NoCertificate
            | Fault::MalformedCertificate
            | Fault::InvalidChain
            | Fault::WrongUsage
            | Fault::NotYetValid
            | Fault::Expired
            | Fault::Revoked
            | Fault::TlsaMismatch
            | Fault::StartTlsNotOffered
            | Fault::ClientCertificateRefused
            | Fault::OwnCertificateInvalid
            | Fault::RefusedByPartner => false,
        }
    }

    /// Takes what other hosts sent; the second time it did not help, and goes again.
    fn borrow_intermediates(&mut self) -> bool {
        let before = self.policy.intermediates.len() - self.intermediates.len();
        let own = self.policy.intermediates[..before].to_vec();
        self.intermediates = std::mem::take(&mut self.elsewhere);
        self.policy.intermediates = own.into_iter().chain(self.intermediates.iter().cloned()).collect();
        !self.intermediates.is_empty()
    }

    /// Lowers what the entry asks beyond the library's own limits, as far as what was seen needs.
    fn allow_algorithms(&mut self, chain: &[CertificateDer<'static>]) -> bool {
        let before = self.policy.algorithms.clone();
        let algorithms = &mut self.policy.algorithms;
        algorithms.minimum_rsa_bits = AlgorithmPolicy::default().minimum_rsa_bits;
        if !algorithms.signature_algorithms.is_empty() {
            for seen in chain.iter().filter_map(SignatureAlgorithm::of_certificate) {
                if !algorithms.signature_algorithms.contains(&seen) {
                    algorithms.signature_algorithms.push(seen);
                }
            }
        }
        *algorithms != before
    }

    /// Trusts the topmost authority that was sent; without one, the key of the end-entity alone.
    fn trust(&mut self, chain: &[CertificateDer<'static>], domain: &Domain) -> bool {
        if self.policy.anchors.is_empty() {
            return false;
        }
        let anchor = topmost(chain).filter(|_| self.anchor.is_none());
        let set = anchor.map(|anchor| AnchorSet::from_certificates(anchor_file(domain), [anchor.clone()]));
        match (anchor, set.filter(|set| !set.is_empty())) {
            (Some(anchor), Some(set)) => {
                self.anchor = Some(anchor.clone());
                self.policy.anchors = Arc::new(set);
            }
            _ => {
                self.anchor = None;
                self.policy.anchors = Arc::new(AnchorSet::new("", Vec::new()));
                self.pin(chain);
            }
        }
        true
    }

    fn pin(&mut self, chain: &[CertificateDer<'static>]) -> bool {
        let Some(pin) = chain.first().and_then(spki_pin) else { return false };
        let new = !self.policy.pins.contains(&pin);
        if new {
            self.policy.pins.push(pin);
        }
        new
    }

    /// Puts the next name in place of the one that did not do.
    fn next_name(&mut self) -> bool {
        if self.names.is_empty() {
            return false;
        }
        self.policy.certificate_names = vec![self.names.remove(0)];
        true
    }
}

/// The last certificate on the way up from the end-entity; none where it came alone.
fn topmost<'a>(chain: &'a [CertificateDer<'static>]) -> Option<&'a CertificateDer<'static>> {
    let facts: Vec<_> = chain.iter().map(|certificate| SeenCertificate::read(certificate)).collect();
    let (mut top, mut issuer) = (None, facts.first()?.as_ref()?.issuer.clone());
    for _ in 1..chain.len() {
        let next = facts.iter().enumerate().skip(1).find(|(index, facts)| {
            Some(*index) != top && facts.as_ref().is_some_and(|facts| facts.subject == issuer)
        });
        let Some((index, Some(facts))) = next else { break };
        (top, issuer) = (Some(index), facts.issuer.clone());
    }
    chain.get(top?)
}

/// Certificates of the walk's other chains that this one lacks, without their end-entities.
fn elsewhere(walk: &Walk, target: &TargetWalk) -> Vec<CertificateDer<'static>> {
    let mut found: Vec<CertificateDer<'static>> = Vec::new();
    for certificate in walk.targets.iter().flat_map(|other| other.chain.iter().skip(1)) {
        let is_root = SeenCertificate::read(certificate).is_none_or(|seen| seen.subject == seen.issuer);
        if !is_root && !found.contains(certificate) && !target.chain.contains(certificate) {
            found.push(certificate.clone());
        }
    }
    found
}

fn intermediates_file(domain: &Domain) -> String {
    format!("{domain}-intermediates.pem")
}

fn anchor_file(domain: &Domain) -> String {
    format!("{domain}-root.pem")
}

fn toml(settings: &Settings, walk: &Walk, target: &TargetWalk, draft: &Draft, remaining: &[Fact]) -> String {
    let mut lines = vec![
        format!("# UNVERIFIED: made from what {} showed", target.host),
        format!("# ({}) at {}.", target.address, walk.at),
        "# Whoever answered there chose it. Compare fingerprints with the partner over".to_owned(),
        "# another channel, such as the telephone, before this takes effect.".to_owned(),
    ];
    if let Some(leaf) = target.certificates.first() {
        lines.push(format!("# end-entity {}", leaf.thumbprint));
    }
    if let Some(anchor) = draft.anchor.as_ref().and_then(SeenCertificate::read) {
        lines.push(format!("# authority  {}", anchor.thumbprint));
    }
    if walk.partner.is_some() && settings.partner_of(&walk.domain).is_some() {
        lines.push("# It is for the place of the present entry, whose other keys stay.".to_owned());
    }
    for fact in remaining {
        lines.push(format!("# No entry can admit {}: the partner must change it.", fact.fault));
    }
    lines.push("[[partner]]".to_owned());
    lines.push(format!("name = {}", quoted(walk.partner.as_deref().unwrap_or(walk.domain.as_str()))));
    let entry = settings.partner_of(&walk.domain);
    let domains = entry.map_or_else(|| vec![walk.domain.clone()], |entry| entry.domains.clone());
    let domains: Vec<String> = domains.iter().map(Domain::to_string).collect();
    lines.push(format!("domains = {}", list(&domains)));
    // What is enforced today stays so.
    let receive = crate::relay::partners::is_listed(settings, &walk.domain, Direction::Inbound);
    lines.push(if receive {
        "domain_secure = [\"send\", \"receive\"]".to_owned()
    } else {
        "domain_secure = [\"send\"]  # \"receive\" too once their client certificate is known".to_owned()
    });
    policy_lines(settings, walk, draft, &mut lines);
    if target.only_without_post_quantum {
        let connector = walk.connector.as_deref().unwrap_or_default();
        lines.push(format!("# Besides, send connector {} needs", crate::trust::printable(connector)));
        lines.push("# post_quantum_key_exchange = false".to_owned());
    }
    lines.push("# mode = \"report\"  # for the first days: log and count, enforce nothing".to_owned());
    lines.join("\n") + "\n"
}

/// What differs from the defaults, and what does no longer but stands in the present entry.
fn policy_lines(settings: &Settings, walk: &Walk, draft: &Draft, lines: &mut Vec<String>) {
    let policy = &draft.policy;
    let present = &walk.requirement.policy;
    let default = &settings.default_policy;
    if policy.anchors.source != default.anchors.source {
        let sources: Vec<String> =
            policy.anchors.source.split(", ").filter(|s| !s.is_empty()).map(str::to_owned).collect();
        lines.push(format!("trust_anchors = {}", list(&sources)));
    }
    if !policy.certificate_names.is_empty() {
        let names: Vec<String> = policy.certificate_names.iter().map(ToString::to_string).collect();
        lines.push(format!("certificate_names = {}", list(&names)));
    }
    if !policy.pins.is_empty() {
        let pins: Vec<String> = policy.pins.iter().map(ToString::to_string).collect();
        lines.push(format!("spki_pins = {}", list(&pins)));
    }
    match policy.usage {
        UsagePolicy::Client => lines.push("extended_key_usage = \"client\"".to_owned()),
        UsagePolicy::Server => lines.push("extended_key_usage = \"server\"".to_owned()),
        UsagePolicy::Either | UsagePolicy::Any => {}
    }
    if policy.revocation != default.revocation {
        let (word, why) = match policy.revocation {
            RevocationMode::HardFail => ("hard-fail", ""),
            RevocationMode::SoftFail => ("soft-fail", "  # better: a current list in [trust] crl_files"),
            RevocationMode::Off => ("off", ""),
        };
        lines.push(format!("revocation = \"{word}\"{why}"));
    }
    if policy.revocation_depth == RevocationDepth::EndEntity {
        lines.push("revocation_depth = \"end-entity\"".to_owned());
    }
    match (policy.minimum_tls, present.minimum_tls) {
        (TlsVersion::Tls13, _) => lines.push("minimum_tls = \"1.3\"".to_owned()),
        (TlsVersion::Tls12, TlsVersion::Tls13) => lines.push("minimum_tls = \"1.2\"".to_owned()),
        (TlsVersion::Tls12, TlsVersion::Tls12) => {}
    }
    algorithm_lines(policy, present, lines);
    if !draft.intermediates.is_empty() {
        lines.push(format!("intermediates = {}", list(&[intermediates_file(&walk.domain)])));
    } else if let Some(missing) = &draft.missing {
        lines.push("# Better than a pin, if you can get it: the certificate of the issuer".to_owned());
        lines.push(format!("# {}", crate::observe::text::shorten(missing, 70)));
        lines.push(format!("# as intermediates = {}", list(&[intermediates_file(&walk.domain)])));
    }
    if !policy.require_client_certificate_request {
        lines.push("require_client_certificate_request = false  # they never ask for ours".to_owned());
    }
}

fn algorithm_lines(policy: &TrustPolicy, present: &TrustPolicy, lines: &mut Vec<String>) {
    let (wanted, default) = (&policy.algorithms, AlgorithmPolicy::default());
    if *wanted != default || present.algorithms != default {
        lines.push(format!("minimum_rsa_bits = {}", wanted.minimum_rsa_bits));
    }
    if !wanted.signature_algorithms.is_empty() {
        let names: Vec<String> = wanted.signature_algorithms.iter().map(|a| a.name().to_owned()).collect();
        lines.push(format!("signature_algorithms = {}", list(&names)));
    }
}

fn list(items: &[String]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| quoted(item)).collect();
    let one = quoted.join(", ");
    if one.len() <= 56 || items.len() < 2 {
        format!("[{one}]")
    } else {
        format!("[\n  {},\n]", quoted.join(",\n  "))
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
