//! What to change, on which side, in words that can be pasted into a mail. Words for them speak to
//! the partner's postmaster and disclose what he sees anyway; words for us name settings.

use serde::Serialize;

use crate::mail::Domain;
use crate::observe::partners::SeenCertificate;
use crate::policy::Settings;
use crate::smtp::Reply;
use crate::trust::{Fact, Fault, Requirement, Verdict};

use super::target::TargetWalk;

/// Who can change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The partner.
    Theirs,
    /// We.
    Ours,
}

/// One thing to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    pub side: Side,
    pub words: String,
}

/// What the words are about.
struct Scene<'a> {
    domain: &'a Domain,
    /// `Your server mx.x.example (192.0.2.1:25)`.
    subject: String,
    /// `The certificate of your server …`, or `The certificate that you sent us`.
    bearer: String,
    certificate: Option<&'a SeenCertificate>,
    ours: Option<&'a SeenCertificate>,
    us: String,
}

fn theirs(words: String) -> Advice {
    Advice { side: Side::Theirs, words }
}

fn ours(words: String) -> Advice {
    Advice { side: Side::Ours, words }
}

pub fn no_connector(domain: &Domain) -> Advice {
    ours(format!(
        "Add \"{domain}\" or \"*\" to address_spaces of a [[send_connector]] that has domain_secure_enabled."
    ))
}

pub fn no_way(domain: &Domain, reply: &Reply) -> Vec<Advice> {
    let why = reply.lines.join(" ");
    vec![
        theirs(format!(
            "We cannot find the mail servers of {domain} in DNS: {why}. Please check its MX records."
        )),
        ours(format!("Check how {domain} is spelt, and that the resolvers of [dns] can look it up.")),
    ]
}

pub fn no_address(domain: &Domain, problem: &str) -> Advice {
    theirs(format!("DNS: {problem}, although an MX record of {domain} names it. Please mend the MX record."))
}

/// On everything found at one next hop.
pub fn on_target(
    settings: &Settings,
    requirement: &Requirement,
    target: &TargetWalk,
    own: Option<&SeenCertificate>,
) -> Vec<Advice> {
    let server = format!("{} ({})", target.host, target.address);
    let mut advice = Vec::new();
    if let Some(why) = &target.unreachable {
        advice.push(theirs(format!(
            "We cannot connect to your mail server {server}: {why}. Please check that it listens there and \
             that no firewall keeps us ({}) out.",
            settings.hostname
        )));
        advice.push(ours(format!(
            "Check that this host may open connections to {}: firewall, source_addresses, port.",
            target.address
        )));
    }
    if let Some(why) = &target.broke_off {
        advice.push(theirs(format!(
            "Your mail server {server} broke off before mail could be sent: {why}. Please look for our host \
             {} in its log.",
            settings.hostname
        )));
    }
    if target.only_without_post_quantum {
        advice.push(ours(
            "Or set post_quantum_key_exchange = false on the send connector: without X25519MLKEM768 the handshake \
             succeeds."
                .to_owned(),
        ));
        advice.push(theirs(format!(
            "The TLS handshake with your server {server} succeeds only when we offer no post-quantum key exchange \
             (X25519MLKEM768). A first flight of more than one packet may be what a firewall, proxy or old TLS \
             library before it cannot take. Please have it mended."
        )));
    }
    let scene = Scene {
        domain: &requirement.domain,
        subject: format!("Your server {server}"),
        bearer: format!("The certificate of your server {server}"),
        certificate: target.certificates.first(),
        ours: own,
        us: settings.hostname.to_string(),
    };
    let facts = target.verdict.iter().flat_map(|verdict| &verdict.facts);
    advice.extend(facts.flat_map(|fact| on_fact(&scene, fact)));
    advice
}

/// On a certificate that came by mail.
pub fn on_inbound(settings: &Settings, verdict: &Verdict, leaf: Option<&SeenCertificate>) -> Vec<Advice> {
    let scene = Scene {
        domain: &verdict.domain,
        subject: "Your sending server".to_owned(),
        bearer: "The certificate that you sent us".to_owned(),
        certificate: leaf,
        ours: None,
        us: settings.hostname.to_string(),
    };
    verdict.facts.iter().flat_map(|fact| on_fact(&scene, fact)).collect()
}

/// One fact in the words of both sides.
fn on_fact(scene: &Scene<'_>, fact: &Fact) -> Vec<Advice> {
    match fact.fault {
        Fault::TlsNotStarted
        | Fault::HandshakeFailed
        | Fault::TlsVersionTooLow
        | Fault::StartTlsNotOffered
        | Fault::ClientCertificateNotRequested
        | Fault::ClientCertificateRefused
        | Fault::OwnCertificateInvalid => on_session(scene, fact),
        Fault::NoCertificate
        | Fault::MalformedCertificate
        | Fault::SignatureFailure
        | Fault::InvalidChain
        | Fault::UntrustedRoot
        | Fault::IncompleteChain
        | Fault::WrongUsage
        | Fault::WeakAlgorithm
        | Fault::NotYetValid
        | Fault::Expired
        | Fault::PinMismatch
        | Fault::NameMismatch
        | Fault::Revoked
        | Fault::RevocationUnknown => on_certificate(scene, fact),
        // A partner entry asks for no TLSA records; a walk sends no mail that could be refused.
        Fault::TlsaMismatch | Fault::RefusedByPartner => Vec::new(),
    }
}

/// What is wrong before or beside their certificate.
fn on_session(scene: &Scene<'_>, fact: &Fact) -> Vec<Advice> {
    let Scene { subject, us, domain, .. } = scene;
    let got = &fact.got;
    match fact.fault {
        Fault::TlsVersionTooLow => vec![
            theirs(format!("{subject} uses {got}; we need {} or later. Please enable it.", fact.wanted)),
            ours("Or lower minimum_tls in the partner entry.".to_owned()),
        ],
        Fault::StartTlsNotOffered => vec![theirs(format!(
            "{subject} does not offer STARTTLS to us ({us}). Please offer it to our address; if it does \
             already, look for a firewall or proxy in between that removes STARTTLS from the EHLO reply."
        ))],
        Fault::ClientCertificateNotRequested => vec![
            theirs(format!(
                "{subject} does not ask for our certificate, so it is not mutual TLS. Please let it request \
                 client certificates (Exchange: Set-ReceiveConnector -DomainSecureEnabled $true -AuthMechanism \
                 TLS; Postfix: smtpd_tls_ask_ccert = yes)."
            )),
            ours(format!(
                "Or be content with one-sided TLS for {domain}: require_client_certificate_request = false in \
                 the partner entry."
            )),
        ],
        Fault::ClientCertificateRefused => refused(scene, got),
        Fault::OwnCertificateInvalid => vec![ours(format!("Renew or configure our own certificate: {got}."))],
        _ => vec![
            theirs(format!(
                "The TLS handshake between our server {us} and yours fails. {subject}: {got}. Please compare \
                 with your log; we speak TLS 1.2 and 1.3 with ECDHE and AES-GCM or ChaCha20, and take RSA keys \
                 of 2048 to 8192 bits."
            )),
            ours("Compare with their log: the words above are our TLS library's.".to_owned()),
        ],
    }
}

fn refused(scene: &Scene<'_>, got: &str) -> Vec<Advice> {
    let shown = scene.ours.map_or_else(String::new, |own| {
        format!(
            " It is {}, issued by {}, valid until {}, SHA-256 {}.",
            own.subject, own.issuer, own.not_after, own.thumbprint
        )
    });
    vec![
        theirs(format!(
            "{} refuses our certificate: {got}.{shown} Please check that you trust its issuer for client \
             certificates, and that its names and usages satisfy you.",
            scene.subject
        )),
        ours(
            "Send them our root certificate by another channel; check the usages of our certificate, or name \
             another with `certificate` in the partner entry."
                .to_owned(),
        ),
    ]
}

/// What is wrong with their certificate.
fn on_certificate(scene: &Scene<'_>, fact: &Fact) -> Vec<Advice> {
    let subject = certificate_words(scene);
    let (detail, got) = (&fact.detail, &fact.got);
    match fact.fault {
        Fault::NoCertificate => vec![theirs(format!("{}: {detail} Please configure one.", scene.subject))],
        Fault::MalformedCertificate => {
            vec![theirs(format!("{subject} cannot be read: {detail} Please have it issued anew."))]
        }
        Fault::SignatureFailure => vec![
            theirs(format!("{subject}: {detail} Please check that chain and issuer belong together.")),
            ours("Compare our trust anchor with theirs: one name with two keys looks like this.".to_owned()),
        ],
        Fault::InvalidChain => {
            vec![theirs(format!("{subject}: {detail} Please have your authority issue a correct chain."))]
        }
        Fault::UntrustedRoot => match scene.certificate.filter(|leaf| leaf.subject == leaf.issuer) {
            Some(leaf) => self_signed(&subject, leaf),
            None => untrusted(&subject, detail),
        },
        Fault::IncompleteChain => vec![
            theirs(format!(
                "{subject} comes without the certificate of an issuer, and we do not know that issuer. \
                 Missing: {}. Please send the whole chain, intermediate certificates included.",
                fact.wanted
            )),
            ours("Or, if that issuer itself shall vouch for them, put it into trust_anchors.".to_owned()),
        ],
        Fault::NameMismatch => names(scene, &subject, fact),
        Fault::PinMismatch => vec![
            theirs(format!("{subject} has another key than we agreed on: {got}. Have you changed it?")),
            ours(format!("Ask by telephone; if they did, add \"{got}\" to spki_pins in the partner entry.")),
        ],
        Fault::RevocationUnknown => vec![
            ours(format!("{detail} Supply that list in [trust] crl_files, or choose another `revocation`.")),
            theirs(format!(
                "{subject} needs a current revocation list of its issuer, and we have none. Please see that \
                 your authority's list can be fetched and is renewed in time, or send it to us."
            )),
        ],
        _ => vec![theirs(renewal(&subject, fact))],
    }
}

fn untrusted(subject: &str, detail: &str) -> Vec<Advice> {
    vec![
        ours(format!(
            "{detail} If that root shall vouch for them: compare its fingerprint by telephone, then name its \
             file in trust_anchors of the partner entry."
        )),
        theirs(format!(
            "{subject} leads to a root that we do not trust for you yet. Please send us your root certificate, and \
             its SHA-256 fingerprint by another channel; or use a certificate of an authority we share."
        )),
    ]
}

/// An end-entity that vouches for itself is no anchor; its key can be pinned.
fn self_signed(subject: &str, leaf: &SeenCertificate) -> Vec<Advice> {
    vec![
        theirs(format!(
            "{subject} is signed by itself. Please tell us its SHA-256 fingerprint by another channel, so that we \
             can pin its key; or use a certificate of an authority we share."
        )),
        ours(format!(
            "If that certificate is theirs: compare its fingerprint by telephone, then pin its key in the partner \
             entry: trust_anchors = [] and spki_pins = [\"{}\"].",
            leaf.pin
        )),
    ]
}

fn names(scene: &Scene<'_>, subject: &str, fact: &Fact) -> Vec<Advice> {
    let mut advice = vec![theirs(format!(
        "{subject} does not name your mail domain. Its names: {}. Please have it issued with {} in the \
         subjectAltName.",
        fact.got, scene.domain
    ))];
    if let Some(name) = scene.certificate.and_then(|leaf| leaf.names.first()) {
        advice.push(ours(format!(
            "Or, if that host is theirs without doubt: certificate_names = [\"{name}\"] in the partner entry."
        )));
    }
    advice
}

/// Faults that a new certificate mends.
fn renewal(subject: &str, fact: &Fact) -> String {
    let detail = &fact.detail;
    match fact.fault {
        Fault::Expired => {
            format!("{subject} has expired: {detail} Please renew it and let the server use the new one.")
        }
        Fault::NotYetValid => {
            format!("{subject} is not valid yet: {detail} Please check your clock and ours.")
        }
        Fault::Revoked => {
            // The detail names our copy of the list.
            format!("{subject} has been revoked ({}). Please have a new one issued for a new key.", fact.got)
        }
        _ => format!("{subject}: {detail} Please have a certificate issued that allows it."),
    }
}

/// The certificate with what tells it from others.
fn certificate_words(scene: &Scene<'_>) -> String {
    let bearer = &scene.bearer;
    match scene.certificate {
        Some(leaf) => {
            format!("{bearer}, {} (SHA-256 {}, issued by {}),", leaf.subject, leaf.thumbprint, leaf.issuer)
        }
        None => bearer.clone(),
    }
}
