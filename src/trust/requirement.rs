//! What is demanded of a peer before mail passes.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use crate::mail::Domain;

use super::anchors::AnchorSet;
use super::evidence::TlsVersion;
use super::memory::JudgementMemory;
use super::ruling::RuledBy;
use super::signature::SignatureAlgorithm;
use super::tlsa::TlsaDemand;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Inbound,
    Outbound,
}

/// An ordered ladder: each level includes those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    None,
    EncryptionOnly,
    /// Encrypted, and the peer's chain leads to an anchor and is unrevoked.
    CertificateValidation,
    /// The chain is good and the certificate proves the domain.
    DomainValidation,
    /// Mutual: both sides proved themselves. The level of the secure lists.
    DomainSecure,
}

/// `mode` of a partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Enforce,
    Report,
}

/// `on_inbound_failure` and `on_outbound_failure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnFailure {
    Reject,
    Defer,
}

/// `extended_key_usage`: what must be allowed when a certificate authenticates a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UsagePolicy {
    Client,
    Server,
    Either,
    /// No usage check; only `certificate verify --usage any` asks for this.
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RevocationMode {
    HardFail,
    SoftFail,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RevocationDepth {
    Chain,
    EndEntity,
}

/// A member of `certificate_names`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NamePattern {
    Exact(Domain),
    /// `.x.example`: any host one or more labels below x.example.
    Below(Domain),
}

/// SHA-256 of the end-entity's SubjectPublicKeyInfo (DER).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpkiPin(pub [u8; 32]);

/// How certificates of one partner, or of everyone else, are judged.
#[derive(Clone, Debug)]
pub struct TrustPolicy {
    /// Empty only together with a pin, which then stands for chain and revocation.
    pub anchors: Arc<AnchorSet>,
    pub certificate_names: Vec<NamePattern>,
    pub pins: Vec<SpkiPin>,
    pub usage: UsagePolicy,
    pub revocation: RevocationMode,
    pub revocation_depth: RevocationDepth,
    pub minimum_tls: TlsVersion,
    pub require_client_certificate_request: bool,
    /// Certificates that a peer may have left out; used to find a path, never as anchors.
    pub intermediates: Arc<[CertificateDer<'static>]>,
    pub algorithms: AlgorithmPolicy,
    pub memory: JudgementMemory,
}

/// Which keys and signatures are strong enough, beyond what the library takes at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlgorithmPolicy {
    /// Of every certificate of the path and of the anchor.
    pub minimum_rsa_bits: usize,
    /// Signatures on the certificates below the anchor; empty: all that the library takes.
    pub signature_algorithms: Vec<SignatureAlgorithm>,
}

impl Default for AlgorithmPolicy {
    fn default() -> Self {
        Self { minimum_rsa_bits: 2048, signature_algorithms: Vec::new() }
    }
}

impl TrustPolicy {
    /// Everything at the defaults of the configuration but the anchors.
    pub fn of(anchors: Arc<AnchorSet>) -> Self {
        Self {
            anchors,
            certificate_names: Vec::new(),
            pins: Vec::new(),
            usage: UsagePolicy::Either,
            revocation: RevocationMode::HardFail,
            revocation_depth: RevocationDepth::Chain,
            minimum_tls: TlsVersion::Tls12,
            require_client_certificate_request: true,
            intermediates: Arc::new([]),
            algorithms: AlgorithmPolicy::default(),
            memory: JudgementMemory::default(),
        }
    }
}

/// What a certificate is to prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerProof {
    /// The domain, by its name or one of `certificate_names`.
    Domain,
    /// This mail host, which the domain's MTA-STS policy names (RFC 8461 4.2).
    Host(Domain),
    /// That it is the one which TLSA records name (RFC 7672 3).
    Tlsa(Arc<TlsaDemand>),
}

/// One demand, for one transaction.
#[derive(Clone, Debug)]
pub struct Requirement {
    /// Whose demand it is.
    pub ruled_by: RuledBy,
    pub proof: ServerProof,
    pub direction: Direction,
    /// The domain to be proved: of the reverse-path inbound, of the recipient outbound.
    pub domain: Domain,
    pub level: Level,
    pub mode: Mode,
    pub on_failure: OnFailure,
    pub policy: Arc<TrustPolicy>,
}

impl Requirement {
    /// What a certificate may be called to prove the domain; any one suffices.
    pub fn names(&self) -> Vec<NamePattern> {
        match &self.proof {
            ServerProof::Domain => {
                let own = std::iter::once(NamePattern::Exact(self.domain.clone()));
                own.chain(self.policy.certificate_names.iter().cloned()).collect()
            }
            ServerProof::Host(host) => vec![NamePattern::Exact(host.clone())],
            ServerProof::Tlsa(tlsa) => {
                std::iter::once(&tlsa.base).chain(&tlsa.names).cloned().map(NamePattern::Exact).collect()
            }
        }
    }

    /// The name for SNI, where it is not that of the host (RFC 7672 8.1).
    pub fn server_name(&self) -> Option<&Domain> {
        match &self.proof {
            ServerProof::Tlsa(tlsa) => Some(&tlsa.base),
            ServerProof::Domain | ServerProof::Host(_) => None,
        }
    }
}

impl std::fmt::Debug for SpkiPin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sha256/")?;
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}
