//! Which domains are secure, and what is therefore demanded (CONTRACT section 3).

use std::sync::Arc;

use crate::mail::{Domain, Now};
use crate::trust::{
    Connection, Direction, Level, Mode, OnFailure, Permit, Requirement, RevocationSet, judge,
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
            Requirement { level: Level::DomainSecure, ..ordinary(settings, direction, domain, Level::None) }
        }
    })
}

/// The demand on everyone else: the connector's `require_tls` and `tls_auth_level`.
pub fn ordinary(settings: &Settings, direction: Direction, domain: &Domain, level: Level) -> Requirement {
    Requirement {
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

/// For `MAIL FROM:<>`: a permit for each enforced partner whose every check the session passes, at
/// most one a partner (its first listed domain that is proved).
pub fn proved_partners(
    settings: &Settings,
    connection: &Connection<'_>,
    revocation: &RevocationSet,
    now: Now,
) -> Vec<Permit> {
    let enforced = settings.partners.iter().filter(|partner| partner.mode == Mode::Enforce);
    enforced
        .filter_map(|partner| {
            partner.domains.iter().find_map(|domain| {
                let demand = requirement(settings, Direction::Inbound, domain)?;
                judge(&demand, connection, revocation, now.wall).admit().ok()
            })
        })
        .collect()
}
