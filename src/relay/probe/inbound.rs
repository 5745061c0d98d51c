//! A certificate that a partner sent by mail, judged as the client certificate it would be.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use serde::{Serialize, Serializer};

use crate::mail::Domain;
use crate::observe::partners::SeenCertificate;
use crate::policy::secure_domains;
use crate::smtp::SessionId;
use crate::trust::{
    Connection, Direction, Level, OwnCertificateState, Requirement, TlsEvidence, TlsState, Verdict,
};

use super::Gear;
use super::advice::{self, Advice};

/// The judgement for one domain.
#[derive(Serialize)]
pub struct Judgement {
    pub domain: Domain,
    /// On the receive list. If not, it is judged as if it were.
    pub listed: bool,
    pub partner: Option<String>,
    #[serde(serialize_with = "verdict_json")]
    pub verdict: Verdict,
    /// What the sender would hear at MAIL.
    pub reply: Option<String>,
    pub certificates: Vec<SeenCertificate>,
    pub advice: Vec<Advice>,
}

/// Judges `chain`, end-entity first, for mail from `domain`; the TLS version is taken to suffice.
pub async fn judge_inbound(gear: Gear<'_>, domain: &Domain, chain: &[CertificateDer<'static>]) -> Judgement {
    let settings = gear.settings;
    let partner = settings.partner_of(domain);
    let demand = secure_domains::requirement(settings, Direction::Inbound, domain);
    let listed = demand.is_some();
    let demand = demand.unwrap_or_else(|| {
        let ordinary = secure_domains::ordinary(settings, Direction::Inbound, domain, Level::DomainSecure);
        match partner {
            Some(partner) => {
                Requirement { policy: Arc::clone(&partner.policy), mode: partner.mode, ..ordinary }
            }
            None => ordinary,
        }
    });
    let evidence = TlsEvidence {
        version: demand.policy.minimum_tls,
        cipher_suite: String::new(),
        key_exchange: None,
        resumed: false,
        peer_chain: chain.to_vec(),
        staple: None,
        channel_binding: None,
    };
    let connection = Connection {
        tls: TlsState::Established(&evidence),
        own_certificate: OwnCertificateState::NotApplicable,
    };
    let verdict = gear.judge(&demand, &connection).await;
    let reply = verdict.reply(demand.on_failure, SessionId(0));
    let certificates: Vec<SeenCertificate> = chain.iter().filter_map(SeenCertificate::read).collect();
    let advice = advice::on_inbound(settings, &verdict, certificates.first());
    Judgement {
        domain: domain.clone(),
        listed,
        partner: partner.map(|partner| partner.name.clone()),
        reply: reply.map(|reply| {
            // The session it would have is not known.
            let words = reply.wire_lines().collect::<Vec<_>>().join(" ");
            words.replace(&format!(", session {}", SessionId(0)), "")
        }),
        verdict,
        certificates,
        advice,
    }
}

fn verdict_json<S: Serializer>(verdict: &Verdict, serializer: S) -> Result<S::Ok, S::Error> {
    verdict.to_json().serialize(serializer)
}
