//! Whose certificates the gauges of expiry tell of.

/// Whose certificate it is and what for; label `role`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateRole {
    /// Ours, offered by receive connectors.
    Server,
    /// Ours, presented by send connectors.
    Client,
    /// A partner's, as last seen.
    Partner,
    /// A trust anchor in use.
    Anchor,
}

impl CertificateRole {
    /// As the label writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            CertificateRole::Server => "server",
            CertificateRole::Client => "client",
            CertificateRole::Partner => "partner",
            CertificateRole::Anchor => "anchor",
        }
    }
}
