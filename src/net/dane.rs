//! Looking up the TLSA records of a mail host (RFC 7672 2): only behind answers that are secure.

use crate::mail::Domain;
use crate::policy::outbound::TlsaAnswer;

use super::resolver::{HostAnswer, Resolver, TlsaLookup};

/// The records at `_port._tcp.` of the host, or of the name it is an alias of. `names` are the
/// domains that were to be reached.
pub async fn look_up(
    resolver: &Resolver,
    host: &str,
    port: u16,
    answer: &HostAnswer,
    names: &[Domain],
) -> TlsaAnswer {
    let mut found = TlsaAnswer::NotApplicable;
    for base in bases(resolver, host, answer).await {
        match resolver.tlsa(base.as_str(), port).await {
            TlsaLookup::Secure(records) => {
                return TlsaAnswer::Records { base, names: names.to_vec(), records };
            }
            TlsaLookup::None => found = TlsaAnswer::None,
            TlsaLookup::Failed(why) => return TlsaAnswer::Failed(why),
        }
    }
    found
}

/// TLSA base domains, in the order of RFC 7672 2.2.3: where the whole chain of aliases is secure its
/// end comes first; where only its beginning is, the host itself is all there is.
async fn bases(resolver: &Resolver, host: &str, answer: &HostAnswer) -> Vec<Domain> {
    let own = Domain::parse_rooted(host).ok();
    let end = answer.alias_of.as_deref().and_then(|name| Domain::parse_rooted(name).ok());
    match (answer.secure, end) {
        (true, end) => {
            let end = end.filter(|end| Some(end) != own.as_ref());
            end.into_iter().chain(own).collect()
        }
        (false, Some(_)) if resolver.is_secure_alias(host).await => own.into_iter().collect(),
        (false, _) => Vec::new(),
    }
}

#[cfg(test)]
#[path = "dane_tests.rs"]
mod tests;
