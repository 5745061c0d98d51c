//! Which domains are secure, and what is therefore demanded (CONTRACT section 3).

use std::sync::Arc;

use crate::mail::{Domain, Now};
use crate::trust::{
    CertificateFacts, Connection, Direction, Level, Mode, OnFailure, Permit, Requirement, RevocationSet,
    RuledBy, ServerProof, TlsState, WantedList, judge, proves_name,
};

use super::{Partner, Settings};

/// The demand of the secure lists on `domain`, if it is on the list of that direction.
pub fn requirement(settings: &Settings, direction: Direction, domain: &Domain) -> Option<Requirement> {
    let list = match direction {
        Direction::Inbound => &settings.transport.tls_receive_domain_secure_list,
        Direction::Outbound => &settings.transport.tls_send_domain_secure_list,
    };
    if !list.contains(domain) {
        return None;
    }
    Some(match settings.partner_of(domain) {
        Some(partner) => partner_requirement(partner, direction, domain),
        None => {
            let ordinary = ordinary(settings, direction, domain, Level::DomainSecure);
            Requirement { ruled_by: RuledBy::Partner, ..ordinary }
        }
    })
}

/// The demand on everyone else: the connector's `require_tls` and `tls_auth_level`.
pub fn ordinary(settings: &Settings, direction: Direction, domain: &Domain, level: Level) -> Requirement {
    Requirement {
        ruled_by: RuledBy::Connector,
        proof: ServerProof::Domain,
        direction,
        domain: domain.clone(),
        level,
        mode: Mode::Enforce,
        on_failure: match direction {
            Direction::Inbound => OnFailure::Reject,
            Direction::Outbound => OnFailure::Defer,
        },
        policy: Arc::clone(&settings.default_policy),
    }
}

fn partner_requirement(partner: &Partner, direction: Direction, domain: &Domain) -> Requirement {
    Requirement {
        ruled_by: RuledBy::Partner,
        proof: ServerProof::Domain,
        direction,
        domain: domain.clone(),
        level: Level::DomainSecure,
        mode: partner.mode,
        on_failure: match direction {
            Direction::Inbound => partner.on_inbound_failure,
            Direction::Outbound => partner.on_outbound_failure,
        },
        policy: Arc::clone(&partner.policy),
    }
}

/// A partner that a session without a reverse-path proved to be.
pub struct ProvedPartner {
    /// For the first of `domains`.
    pub permit: Permit,
    /// Its domains on the receive list that the certificate speaks for; at least one.
    pub domains: Vec<Domain>,
}

/// What a session proves without naming a domain.
#[derive(Default)]
pub struct Proved {
    pub partners: Vec<ProvedPartner>,
    /// Lists with which it may prove more.
    pub missing_lists: Vec<WantedList>,
}

/// For `MAIL FROM:<>`: the partners whose every check the session passes. A listed domain
/// without a partner entry is a partner of its own.
///
/// Names are looked at first: judging the chain once for each partner, for anyone who says `<>`,
/// would cost more than the partners are worth to him.
pub fn proved_partners(
    settings: &Settings,
    connection: &Connection<'_>,
    revocation: &RevocationSet,
    now: Now,
) -> Proved {
    let mut proved = Proved::default();
    let TlsState::Established(evidence) = connection.tls else { return proved };
    let Some(Ok(peer)) = evidence.peer_chain.first().map(CertificateFacts::read) else { return proved };
    let listed = &settings.transport.tls_receive_domain_secure_list;
    let entries = settings.partners.iter().map(|partner| partner.domains.iter().collect());
    let others = listed.iter().filter(|domain| settings.partner_of(domain).is_none());
    let partners = entries.chain(others.map(|domain| vec![domain]));
    for domains in partners {
        let domains: Vec<&Domain> = domains;
        let demands = domains.into_iter().filter_map(|d| requirement(settings, Direction::Inbound, d));
        let named: Vec<Requirement> =
            demands.filter(|demand| proves_name(&demand.names(), &peer.names)).collect();
        // One partner, one policy: what holds for one of its names holds for the others.
        let Some(demand) = named.first() else { continue };
        let mut verdict = judge(demand, connection, revocation, now.wall);
        for missing in verdict.missing_lists.drain(..) {
            if !proved.missing_lists.contains(&missing) {
                proved.missing_lists.push(missing);
            }
        }
        if let Ok(permit) = verdict.admit() {
            let domains = named.into_iter().map(|demand| demand.domain).collect();
            proved.partners.push(ProvedPartner { permit, domains });
        }
    }
    proved
}
