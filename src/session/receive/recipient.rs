//! Whether a recipient is taken, and as whom (CONTRACT section 3, "Other replies" and "Hub").

use crate::mail::{Address, Domain, ForwardPath};
use crate::policy::{AcceptedDomain, AllowedSenders, ReceiveConnector, Settings, send_connector};
use crate::smtp::{Reply, SessionId};

use super::replies;

/// What a transaction may do.
pub(super) struct Rights<'a> {
    pub settings: &'a Settings,
    pub connector: &'a ReceiveConnector,
    pub session: SessionId,
    /// The domains this transaction has proved by mutual TLS.
    pub proved: &'a [Domain],
    /// To any recipient.
    pub relays: bool,
    pub smtputf8: bool,
}

/// Why a recipient is refused.
pub(super) enum Refusal {
    Plain(Reply),
    /// The hub rule: a domain-security refusal, never delayed.
    NotAllowed(Reply),
}

impl Refusal {
    pub fn reply(&self) -> &Reply {
        match self {
            Refusal::Plain(reply) | Refusal::NotAllowed(reply) => reply,
        }
    }
}

/// The address mail for `path` goes to, or the refusal.
pub(super) fn resolve(rights: &Rights<'_>, path: &ForwardPath) -> Result<Address, Refusal> {
    let address = permitted(rights, path)?;
    match has_route(rights.settings, &address) {
        true => Ok(address),
        false => Err(Refusal::Plain(replies::no_route(&address))),
    }
}

/// What no send connector serves would only come back as a report, perhaps to somebody who never sent
/// it; the client can still keep it. Without any send connector no report leaves either: then mail
/// waits until there is one.
fn has_route(settings: &Settings, address: &Address) -> bool {
    let (connectors, domain) = (&settings.send_connectors, address.domain());
    let secure = domain.is_some_and(|d| settings.transport.tls_send_domain_secure_list.contains(d));
    connectors.is_empty() || send_connector::select(connectors, domain, secure).is_some()
}

fn permitted(rights: &Rights<'_>, path: &ForwardPath) -> Result<Address, Refusal> {
    let address = match path {
        ForwardPath::Postmaster => &rights.settings.transport.postmaster,
        ForwardPath::Address(address) => address,
    };
    if address.needs_smtputf8() && !rights.smtputf8 {
        return Err(Refusal::Plain(replies::needs_smtputf8()));
    }
    let accepted = address.domain().and_then(|domain| rights.settings.accepted_domain(domain));
    let Some(accepted) = accepted else {
        return relay(rights, path, address);
    };
    if !rights.connector.permissions.submit && !rights.relays {
        return Err(Refusal::Plain(replies::relaying_denied()));
    }
    if is_source_route(address.local()) {
        return Err(Refusal::Plain(replies::special_local_part()));
    }
    if !is_allowed(rights, accepted) {
        return Err(Refusal::NotAllowed(replies::sender_not_allowed(&accepted.name, rights.session)));
    }
    if is_for_our_postmaster(rights.settings, accepted, address) {
        return Ok(rights.settings.transport.postmaster.clone());
    }
    match &accepted.recipients {
        Some(known) if !known.contains(&address.to_string().to_lowercase()) => {
            Err(Refusal::Plain(replies::unknown_recipient()))
        }
        Some(_) | None => Ok(address.clone()),
    }
}

/// A domain that is not ours: for connectors with relay permission, and for whoever logged in, only. `<postmaster>` is always
/// taken (RFC 5321 4.5.1), wherever the operator has it delivered.
fn relay(rights: &Rights<'_>, path: &ForwardPath, address: &Address) -> Result<Address, Refusal> {
    let is_postmaster = matches!(path, ForwardPath::Postmaster);
    if rights.relays || (is_postmaster && rights.connector.permissions.submit) {
        Ok(address.clone())
    } else {
        Err(Refusal::Plain(replies::relaying_denied()))
    }
}

/// The hub rule: whose mail is taken for this domain. Who has only logged in proves no domain.
fn is_allowed(rights: &Rights<'_>, accepted: &AcceptedDomain) -> bool {
    if rights.connector.permissions.relay {
        return true;
    }
    match &accepted.from {
        AllowedSenders::Anyone => true,
        AllowedSenders::Partners => !rights.proved.is_empty(),
        AllowedSenders::Domains(allowed) => rights.proved.iter().any(|domain| allowed.contains(domain)),
    }
}

/// `user%host`, `host!user` and a quoted `@` smuggle a second destination past relay checks.
fn is_source_route(local: &str) -> bool {
    local.contains(['%', '!', '@'])
}

/// postmaster@ and abuse@ of our own accepted domains. At a hub the accepted domains belong to
/// partners, who have postmasters themselves.
fn is_for_our_postmaster(settings: &Settings, accepted: &AcceptedDomain, address: &Address) -> bool {
    let transport = &settings.transport;
    let is_partners = transport.tls_send_domain_secure_list.contains(&accepted.name)
        || transport.tls_receive_domain_secure_list.contains(&accepted.name);
    let local = address.local();
    !is_partners && (local.eq_ignore_ascii_case("postmaster") || local.eq_ignore_ascii_case("abuse"))
}
