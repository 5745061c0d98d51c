//! One next hop: connect, converse, judge.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use serde::{Serialize, Serializer};

use crate::net::connect;
use crate::net::tls::{ClientTls, KeyExchange};
use crate::observe::partners::SeenCertificate;
use crate::policy::{ProtocolLogging, SendConnector};
use crate::session::send::{Failure, Opening, OwnCertificate};
use crate::smtp::SessionId;
use crate::trust::{
    Connection, Fault, Level, Mode, OwnCertificateState, Requirement, TlsEvidence, TlsState, TlsVersion,
    Verdict,
};

use super::advice::Advice;
use super::talk::{self, Talk};
use super::{Demand, Gear, Target};

/// As the server waits for one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Certificates shown of a chain.
const CERTIFICATES_MAX: usize = 10;

/// What was found at one address.
#[derive(Default, Serialize)]
pub struct TargetWalk {
    pub host: String,
    pub address: String,
    /// Why the server would not even connect, or could not.
    pub unreachable: Option<String>,
    /// Under which the partner finds it, if it logs our EHLO; not in our protocol log.
    pub session: String,
    pub conversation: Vec<String>,
    pub tls: Option<TlsSeen>,
    /// The handshake succeeds with `post_quantum_key_exchange = false` alone; all but the verdict is
    /// of that one.
    pub only_without_post_quantum: bool,
    pub certificates: Vec<SeenCertificate>,
    /// What became of our certificate, in words.
    pub own_certificate: Option<String>,
    /// What ended the conversation although nothing is wrong with TLS and certificates.
    pub broke_off: Option<String>,
    #[serde(serialize_with = "verdict_json")]
    pub verdict: Option<Verdict>,
    pub advice: Vec<Advice>,
    #[serde(skip)]
    pub chain: Vec<CertificateDer<'static>>,
    #[serde(skip)]
    pub evidence: Option<Arc<TlsEvidence>>,
    #[serde(skip)]
    pub end: End,
}

/// How far TLS and our certificate came: what judgement is made of, to be judged again.
#[derive(Clone, Debug, Default)]
pub enum End {
    /// It never came to TLS, or to the question of it.
    #[default]
    Unknown,
    NotOffered,
    Failed {
        error: String,
        own: Own,
    },
    Established {
        own: Own,
    },
}

/// Our certificate in the peer's eyes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Own {
    #[default]
    Unknown,
    Sent,
    NotRequested,
    Refused(String),
    Invalid(String),
}

/// The parameters of the handshake.
#[derive(Debug, Serialize)]
pub struct TlsSeen {
    pub protocol: &'static str,
    pub cipher_suite: String,
    pub key_exchange: Option<String>,
}

impl TargetWalk {
    /// Mail would go here under mutual TLS.
    pub fn admitted(&self) -> bool {
        self.broke_off.is_none() && self.verdict.as_ref().is_some_and(Verdict::is_good)
    }

    /// The verdict under a requirement; none where it never came to a judgement.
    pub async fn judge(&self, requirement: &Requirement, gear: Gear<'_>) -> Option<Verdict> {
        let (tls, own) = match (&self.end, &self.evidence) {
            (End::Unknown, _) | (End::Established { .. }, None) => return None,
            (End::NotOffered, _) => (TlsState::Clear { offered: false }, &Own::Unknown),
            (End::Failed { error, own }, _) => (TlsState::Failed { error }, own),
            (End::Established { own }, Some(evidence)) => (TlsState::Established(evidence), own),
        };
        let own_certificate = match own {
            Own::Unknown => OwnCertificateState::NotApplicable,
            Own::Sent => OwnCertificateState::Sent,
            Own::NotRequested => OwnCertificateState::NotRequested,
            Own::Refused(why) => OwnCertificateState::Refused(why),
            Own::Invalid(why) => OwnCertificateState::Invalid(why),
        };
        Some(gear.judge(requirement, &Connection { tls, own_certificate }).await)
    }
}

/// Goes to one target and comes back with all there is to tell. Where the handshake fails with the
/// large first flight of the post-quantum exchange, it is tried without: what then is seen is told,
/// and the verdict remains that of the server's own way.
pub async fn visit(gear: Gear<'_>, demand: &Demand<'_>, target: Target) -> TargetWalk {
    let key_exchange = KeyExchange::of(demand.connector.post_quantum_key_exchange);
    let mut found = go(gear, demand, &target, key_exchange).await;
    if matches!(found.end, End::Failed { .. }) && key_exchange == KeyExchange::PostQuantum {
        let again = go(gear, demand, &target, KeyExchange::Classical).await;
        if matches!(again.end, End::Established { .. }) {
            found = TargetWalk { verdict: found.verdict, only_without_post_quantum: true, ..again };
        }
    }
    found
}

async fn go(gear: Gear<'_>, demand: &Demand<'_>, target: &Target, key_exchange: KeyExchange) -> TargetWalk {
    let session = SessionId(rand::random());
    let mut found = TargetWalk {
        host: target.host.clone(),
        address: target.address.to_string(),
        session: session.to_string(),
        ..TargetWalk::default()
    };
    if let Some(why) = &target.refused {
        found.unreachable = Some(why.clone());
        return found;
    }
    let connected =
        connect::connect(target.address, &demand.connector.source_addresses, CONNECT_TIMEOUT).await;
    let own = demand.own.as_ref().ok().copied();
    let (stream, tls) = match (connected, ClientTls::with_key_exchange(own.map(Arc::as_ref), key_exchange)) {
        (Ok(stream), Ok(tls)) => (stream, tls),
        (Err(error), _) => {
            found.unreachable = Some(error.to_string());
            return found;
        }
        (_, Err(error)) => {
            found.broke_off = Some(error.to_string());
            return found;
        }
    };
    let Ok(local) = stream.local_addr() else {
        found.unreachable = Some("the connection was gone at once".to_owned());
        return found;
    };
    let opening = Opening {
        id: session,
        connector: talkative(demand.connector),
        local,
        remote: target.address,
        host: target.host.clone(),
        entropy: rand::random(),
        requirement: no_more_than_encryption(&demand.requirement),
        fallback: None,
        own_certificate_fault: None,
        certificate: own.cloned(),
        clear_text: false,
        fetch_revocation: false,
        message: None,
    };
    let talk = talk::talk(stream, opening, &tls).await;
    note(&mut found, talk, demand);
    found.verdict = found.judge(&demand.requirement, gear).await;
    found
}

/// Every line, whatever is logged of real mail.
fn talkative(connector: &Arc<SendConnector>) -> Arc<SendConnector> {
    Arc::new(SendConnector { protocol_logging: ProtocolLogging::Verbose, ..SendConnector::clone(connector) })
}

fn no_more_than_encryption(requirement: &Requirement) -> Requirement {
    Requirement { level: Level::EncryptionOnly, mode: Mode::Enforce, ..requirement.clone() }
}

fn note(found: &mut TargetWalk, talk: Talk, demand: &Demand<'_>) {
    let cut_off = match &talk.failure {
        Some(Failure::Broken { error, .. }) if !talk.heard_inside => Some(error.clone()),
        _ => None,
    };
    let invalid = demand.own.as_ref().err().map(|none| Own::Invalid(none.to_string()));
    found.broke_off = broke_off(&talk);
    found.conversation = talk.lines;
    match talk.tls {
        Some(Ok((evidence, presented))) => {
            found.tls = Some(TlsSeen {
                protocol: evidence.version.as_str(),
                cipher_suite: evidence.cipher_suite.clone(),
                key_exchange: evidence.key_exchange.clone(),
            });
            found.chain = evidence.peer_chain.clone();
            let shown = found.chain.iter().take(CERTIFICATES_MAX);
            found.certificates = shown.filter_map(SeenCertificate::read).collect();
            let tls13 = evidence.version == TlsVersion::Tls13;
            let own = match (presented, cut_off) {
                // In TLS 1.3 this is how a server says no to our certificate.
                (OwnCertificate::Sent, Some(error)) if tls13 => {
                    found.broke_off = None;
                    Own::Refused(error)
                }
                (OwnCertificate::Sent, _) => Own::Sent,
                (OwnCertificate::NotRequested, _) => Own::NotRequested,
            };
            let own = invalid.unwrap_or(own);
            found.own_certificate = Some(words(&own, found.broke_off.is_none()));
            found.evidence = Some(evidence);
            found.end = End::Established { own };
        }
        Some(Err(error)) => {
            let refused = error.certificate_refused.then(|| Own::Refused(error.error.clone()));
            let own = invalid.or(refused).unwrap_or_default();
            found.own_certificate = (own != Own::Unknown).then(|| words(&own, true));
            found.end = End::Failed { error: error.error, own };
        }
        None => found.end = without_tls(talk.failure.as_ref(), invalid),
    }
}

/// The session's own verdict tells whether STARTTLS was missing or refused.
fn without_tls(failure: Option<&Failure>, invalid: Option<Own>) -> End {
    let Some(Failure::NotAdmitted(verdict)) = failure else { return End::Unknown };
    match verdict.facts.first() {
        Some(fact) if fact.fault == Fault::StartTlsNotOffered => End::NotOffered,
        Some(fact) => End::Failed { error: fact.got.clone(), own: invalid.unwrap_or_default() },
        None => End::Unknown,
    }
}

/// What kept the session from being ready, other than TLS.
fn broke_off(talk: &Talk) -> Option<String> {
    match talk.failure.as_ref()? {
        Failure::Refused { reply, command, .. } => Some(format!(
            "the peer answered {command} with {}",
            reply.wire_lines().collect::<Vec<_>>().join(" ")
        )),
        Failure::Broken { error, .. } if !matches!(talk.tls, Some(Err(_))) => Some(error.clone()),
        Failure::Broken { .. } | Failure::NotAdmitted(_) => None,
    }
}

fn words(own: &Own, heard: bool) -> String {
    match own {
        Own::Unknown => "not known".to_owned(),
        Own::Sent if heard => {
            "asked for, sent, and the session went on; whether their policy takes it shows at MAIL".to_owned()
        }
        Own::Sent => "asked for and sent".to_owned(),
        Own::NotRequested => "not asked for".to_owned(),
        Own::Refused(why) => format!("asked for, sent and refused: {why}"),
        Own::Invalid(why) => format!("none to present: {why}"),
    }
}

fn verdict_json<S: Serializer>(verdict: &Option<Verdict>, serializer: S) -> Result<S::Ok, S::Error> {
    verdict.as_ref().map(Verdict::to_json).serialize(serializer)
}
