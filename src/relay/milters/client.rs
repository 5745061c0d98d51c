//! What milters are told of a client and its session.

use std::net::SocketAddr;

use crate::mail::{Address, ReversePath};
use crate::milter::{Macros, names as n};
use crate::policy::Settings;
use crate::session::receive::Opening;
use crate::smtp::HeloName;
use crate::smtp::sasl::Mechanism;
use crate::trust::TlsEvidence;

/// The client as it is at MAIL.
pub struct Client {
    pub remote: SocketAddr,
    /// Its name, for want of one its address.
    pub host: String,
    pub helo: String,
    pub macros: Macros,
    /// Changes when HELO has to be told anew.
    pub greeting: String,
}

impl Client {
    pub fn new(
        settings: &Settings,
        opening: &Opening,
        evidence: Option<&TlsEvidence>,
        helo: &HeloName,
        proved: bool,
    ) -> Self {
        let ip = opening.remote.ip().to_canonical();
        let host = format!("[{ip}]");
        let mut macros = Macros::default();
        macros.set(n::HOST, settings.hostname.to_string());
        macros.set(n::PROGRAM, concat!("Sealpost ", env!("CARGO_PKG_VERSION")));
        macros.set(n::CLIENT, format!("unknown {host}"));
        macros.set(n::DAEMON_NAME, opening.connector.name.clone());
        macros.set(n::DAEMON_ADDRESS, opening.local.ip().to_canonical().to_string());
        macros.set(n::DAEMON_PORT, opening.local.port().to_string());
        macros.set(n::CLIENT_ADDRESS, ip.to_string());
        macros.set(n::CLIENT_NAME, "unknown");
        macros.set(n::CLIENT_PORT, opening.remote.port().to_string());
        if let Some(evidence) = evidence {
            macros.set(n::TLS_VERSION, evidence.version.as_str());
            macros.set(n::CIPHER, evidence.cipher_suite.clone());
            if let Some(facts) = evidence.end_entity() {
                macros.set(n::CERT_SUBJECT, facts.subject.clone());
                macros.set(n::CERT_ISSUER, facts.issuer.clone());
            }
        }
        if proved {
            macros.set(n::VERIFY, "OK");
        }
        let greeting = format!("{helo} {} {proved}", evidence.is_some());
        Self { remote: opening.remote, host, helo: helo.as_str().to_owned(), macros, greeting }
    }

    /// Whoever has logged in, and how.
    pub fn set_login(&mut self, login: Option<(Mechanism, String)>) {
        if let Some((mechanism, user)) = login {
            self.macros.set(n::AUTH_TYPE, mechanism.as_str());
            self.macros.set(n::AUTH_IDENTITY, user);
        }
    }

    /// Facts of the transaction.
    pub fn set_sender(&mut self, path: &ReversePath) {
        let host = path.domain().map(ToString::to_string).unwrap_or_default();
        self.macros.set(n::MAIL_ADDRESS, path.to_string());
        self.macros.set(n::MAIL_HOST, host);
        self.macros.set(n::MAIL_MAILER, "esmtp");
        self.macros.unset(n::QUEUE_ID);
    }

    pub fn set_recipient(&mut self, address: &Address) {
        self.macros.set(n::RCPT_ADDRESS, address.to_string());
        self.macros.set(n::RCPT_HOST, address.host().to_string());
        self.macros.set(n::RCPT_MAILER, "esmtp");
    }

    pub fn set_queue_id(&mut self, id: &str) {
        self.macros.set(n::QUEUE_ID, id);
    }
}
