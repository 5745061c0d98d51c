//! Who uses which certificate of ours: the same choices that are made for each connection, told for
//! every connector and for each partner with a choice of its own.

use jiff::Timestamp;

use super::own_certificate::{Choice, NoCertificate, explain, explain_for_server};
use super::settings::Settings;

/// One user of a certificate.
#[derive(Debug)]
pub struct CertificateUse<'a> {
    pub user: CertificateUser<'a>,
    pub choice: Result<Choice<'a>, NoCertificate>,
}

/// Who presents it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateUser<'a> {
    /// A receive connector that offers STARTTLS.
    ReceiveConnector(&'a str),
    SendConnector(&'a str),
    /// A partner whose `certificate` is written, on every send connector.
    Partner(&'a str),
}

/// Every user, in the order of the configuration.
pub fn certificate_uses(settings: &Settings, now: Timestamp) -> Vec<CertificateUse<'_>> {
    let (certificates, hostname) = (&settings.certificates, &settings.hostname);
    let offering = settings.receive_connectors.iter().filter(|connector| connector.offer_starttls);
    let receive = offering.map(|connector| CertificateUse {
        user: CertificateUser::ReceiveConnector(&connector.name),
        choice: explain_for_server(certificates, &connector.fqdn, hostname, now),
    });
    let send = settings.send_connectors.iter().map(|connector| CertificateUse {
        user: CertificateUser::SendConnector(&connector.name),
        choice: explain(certificates, None, &connector.fqdn, hostname, now),
    });
    let partners = settings.partners.iter().filter_map(|partner| {
        let wanted = partner.certificate.as_deref()?;
        let choice = explain(certificates, Some(wanted), hostname, hostname, now);
        Some(CertificateUse { user: CertificateUser::Partner(&partner.name), choice })
    });
    receive.chain(send).chain(partners).collect()
}

impl CertificateUser<'_> {
    /// `receive_connector`, `send_connector` or `partner`, as the sections are called.
    pub fn section(&self) -> &'static str {
        match self {
            Self::ReceiveConnector(_) => "receive_connector",
            Self::SendConnector(_) => "send_connector",
            Self::Partner(_) => "partner",
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::ReceiveConnector(name) | Self::SendConnector(name) | Self::Partner(name) => name,
        }
    }
}

impl std::fmt::Display for CertificateUser<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.section(), self.name())
    }
}
