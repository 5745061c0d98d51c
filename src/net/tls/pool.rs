//! The client configurations in use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::mail::Domain;
use crate::policy::OwnCertificate;

use super::{ClientTls, KeyExchange, TlsSetupError};

/// Configurations kept; renewals leave old ones behind, and beyond this all are made anew.
const CONFIGURATIONS_MAX: usize = 1024;

/// One `ClientTls` for each send connector, certificate presented and secure domain, so that what
/// one of them may resume never reaches another. Made anew at a reload.
#[derive(Default)]
pub struct ClientTlsPool {
    configurations: Mutex<HashMap<Key, Arc<ClientTls>>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    connector: String,
    thumbprint: Option<String>,
    tls_domain: Option<Domain>,
    key_exchange: KeyExchange,
}

impl ClientTlsPool {
    pub fn new() -> Self {
        Self::default()
    }

    /// The configuration of a send connector that presents `own`; `tls_domain` is the domain of the
    /// send list that the connection serves, if any.
    pub fn get(
        &self,
        connector: &str,
        own: Option<&OwnCertificate>,
        tls_domain: Option<&Domain>,
        key_exchange: KeyExchange,
    ) -> Result<Arc<ClientTls>, TlsSetupError> {
        let key = Key {
            connector: connector.to_owned(),
            thumbprint: own.map(|own| own.thumbprint.clone()),
            tls_domain: tls_domain.cloned(),
            key_exchange,
        };
        let mut configurations = self.configurations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = configurations.get(&key) {
            return Ok(Arc::clone(known));
        }
        if configurations.len() >= CONFIGURATIONS_MAX {
            configurations.clear();
        }
        let made = Arc::new(ClientTls::with_key_exchange(own, key_exchange)?);
        configurations.insert(key, Arc::clone(&made));
        Ok(made)
    }

    /// Forgets everything, sessions included: after changed settings or revocations.
    pub fn clear(&self) {
        self.configurations.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
