//! What a next hop must prove before a message with REQUIRETLS goes to it (RFC 8689 4.2.1): that it
//! is a host which the recipient's domain, or the operator, has named for certain.

use crate::mail::Domain;
use crate::smtp::Reply;
use crate::trust::tlsa::{self, TlsaDemand};
use crate::trust::{RuledBy, ServerProof};

use super::mta_sts::StsMode;
use super::outbound::{self, Demand, HostPlan, TlsaAnswer, Way, proving, tlsa_failed};

/// Plans one host of a domain that is not secure: by its TLSA records, which stand on signed MX
/// records; by the MTA-STS policy that names it, in testing too; else by its name, if that was not
/// learned from DNS alone.
pub(super) fn plan(way: &Way<'_>) -> HostPlan {
    match &way.published.tlsa {
        TlsaAnswer::NotApplicable | TlsaAnswer::None => {}
        TlsaAnswer::Failed(why) => return HostPlan::Skip(tlsa_failed(way, why)),
        TlsaAnswer::Records { base, names, records } => {
            let records = tlsa::usable(records);
            if !records.is_empty() {
                let demand = TlsaDemand { base: base.clone(), names: names.clone(), records };
                return connect(way, RuledBy::Dane, ServerProof::Tlsa(demand.into()));
            }
        }
    }
    let Ok(host) = Domain::parse_rooted(way.host) else {
        return refused(&format!("{} has no name that a certificate could prove", way.host));
    };
    let sts = way.published.sts.as_ref().filter(|policy| policy.mode != StsMode::None);
    match sts {
        Some(policy) if policy.names(&host) => connect(way, RuledBy::MtaSts, ServerProof::Host(host)),
        Some(_) => refused(&format!("the MTA-STS policy of {} does not name {host}", way.domain)),
        // A host with the name of the domain itself is the sender's own word.
        None if way.is_certain || host == *way.domain => {
            connect(way, RuledBy::Connector, ServerProof::Host(host))
        }
        None => refused(&format!("the mail hosts of {} are known from unsigned DNS alone", way.domain)),
    }
}

fn connect(way: &Way<'_>, ruled_by: RuledBy, proof: ServerProof) -> HostPlan {
    let demand = outbound::demand(way, proving(way, ruled_by, proof));
    outbound::connect(Demand { requiretls: true, ..demand })
}

fn refused(why: &str) -> HostPlan {
    HostPlan::Unfit(Reply::new(550, (5, 7, 10), format!("REQUIRETLS: {why}")))
}
