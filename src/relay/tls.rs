//! The TLS side of the receive connectors: which certificate each offers, renewed on reload.

use std::collections::HashMap;
use std::sync::Arc;

use crate::net::tls::{KeyExchange, ServerTls, TlsSetupError};
use crate::observe::Event;
use crate::policy::{Settings, own_certificate};

use super::partners::radar;
use super::shared::{ListenerTls, Shared};

/// Builds the TLS side of every connector that offers STARTTLS. Connectors whose certificate did
/// not change keep theirs, and with it their sessions to be resumed.
pub fn listeners(
    settings: &Settings,
    present: &HashMap<String, ListenerTls>,
) -> Result<HashMap<String, ListenerTls>, TlsSetupError> {
    let now = Shared::now().wall;
    let mut listeners = HashMap::new();
    for connector in settings.receive_connectors.iter().filter(|connector| connector.offer_starttls) {
        let chosen = own_certificate::choose_for_server(
            &settings.certificates,
            &connector.fqdn,
            &settings.hostname,
            now,
        );
        // The settings check refuses a connector without one, at start and at reload.
        let Ok(certificate) = chosen else { continue };
        let key_exchange = KeyExchange::of(connector.post_quantum_key_exchange);
        let kept = present
            .get(&connector.name)
            .filter(|kept| kept.certificate.chain == certificate.chain && kept.key_exchange == key_exchange)
            .cloned();
        let listener = match kept {
            Some(kept) => kept,
            None => ListenerTls {
                tls: Arc::new(ServerTls::with_key_exchange(certificate, key_exchange)?),
                certificate: Arc::clone(certificate),
                key_exchange,
            },
        };
        listeners.insert(connector.name.clone(), listener);
    }
    Ok(listeners)
}

/// Offers what is best now, where another certificate has become valid or the one in use has run
/// out since the settings were read.
pub fn choose_again(shared: &Shared) {
    let Ok(_one_at_a_time) = shared.reloading.try_lock() else { return };
    let present = shared.server_tls.load();
    match listeners(&shared.settings.load(), &present) {
        Ok(new) => {
            let same = |name: &String, listener: &ListenerTls| {
                present.get(name).is_some_and(|old| Arc::ptr_eq(&old.tls, &listener.tls))
            };
            let changed: Vec<_> = new.iter().filter(|(name, listener)| !same(name, listener)).collect();
            for (connector, listener) in &changed {
                shared.observer.event(Event::CertificateOffered {
                    connector: (*connector).clone(),
                    certificate: listener.certificate.source.clone(),
                });
            }
            if !changed.is_empty() {
                shared.server_tls.store(Arc::new(new));
                radar::show(shared);
            }
        }
        Err(error) => {
            shared.observer.event(Event::CertificateNotOffered { error: error.to_string() });
        }
    }
}

/// An error event for each connector whose certificate has run out: STARTTLS is still offered with
/// it, for those to whom encryption is enough.
pub fn remind_of_expired(shared: &Shared) {
    let now = Shared::now().wall;
    for (connector, listener) in shared.server_tls.load().iter() {
        let certificate = &listener.certificate;
        if !certificate.is_valid_at(now) {
            shared.observer.event(Event::CertificateExpired {
                subject: certificate.subject.clone(),
                not_after: certificate.not_after,
                connector: connector.clone(),
            });
        }
    }
}
