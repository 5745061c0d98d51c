//! TLS set-up for both directions (RFC 8446, RFC 5246, RFC 3207). The handshake proves one thing:
//! that the peer holds the key of the certificate it shows. Everything else is judged afterwards,
//! by `trust`, on the evidence gathered here, because a resumed session verifies nothing.

mod ahead;
mod client;
mod error;
mod pool;
mod possession;
mod server;
mod sessions;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::{CommonState, ConnectionCommon, HandshakeKind, ProtocolVersion, SupportedProtocolVersion};

use crate::trust::{TlsEvidence, TlsVersion};

pub use ahead::ReadAhead;
pub use client::{ClientStream, ClientTls};
pub use error::{HandshakeError, TlsSetupError, describe, is_certificate_refusal};
pub use pool::ClientTlsPool;
pub use server::ServerTls;

/// What we speak: RFC 8996 leaves these two.
static VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

/// `post_quantum_key_exchange` of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyExchange {
    /// X25519MLKEM768 first, then what everyone has.
    PostQuantum,
    /// Without it: its share makes the first flight too large for some middleboxes.
    Classical,
}

impl KeyExchange {
    pub fn of(post_quantum: bool) -> Self {
        if post_quantum { KeyExchange::PostQuantum } else { KeyExchange::Classical }
    }
}

/// Whether TLS uses nothing but the FIPS 140-3 module that the feature `fips` builds in, and the
/// module has passed its self-tests.
pub fn is_fips() -> bool {
    provider(KeyExchange::PostQuantum).fips() && provider(KeyExchange::Classical).fips()
}

/// A build that promises the module must not run without it.
fn promised(is_fips: bool, source_name: &str) -> Result<(), TlsSetupError> {
    if is_fips || !cfg!(feature = "fips") {
        return Ok(());
    }
    let error = "this build promises FIPS cryptography, and the module does not say that it is in FIPS mode";
    Err(TlsSetupError { source_name: source_name.to_owned(), error: error.to_owned() })
}

fn provider(key_exchange: KeyExchange) -> Arc<CryptoProvider> {
    use rustls::NamedGroup::{X25519, secp256r1, secp384r1, secp521r1};
    let mut provider = aws_lc_rs::default_provider();
    if key_exchange == KeyExchange::Classical {
        let classical = [X25519, secp256r1, secp384r1, secp521r1];
        provider.kx_groups.retain(|group| classical.contains(&group.name()));
    }
    Arc::new(provider)
}

/// The facts of a session whose handshake is done.
fn evidence(session: &CommonState) -> TlsEvidence {
    let chain = session.peer_certificates().unwrap_or_default();
    TlsEvidence {
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => TlsVersion::Tls13,
            // No other version is configured; an unknown one counts as the weaker.
            _ => TlsVersion::Tls12,
        },
        cipher_suite: session
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or("unknown")
            .to_owned(),
        key_exchange: session.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name())),
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        peer_chain: chain.iter().cloned().map(CertificateDer::into_owned).collect(),
        staple: None,
        channel_binding: None,
    }
}

/// `tls-exporter` (RFC 9266). In TLS 1.2 it would need the extended master secret, of which we do not
/// know whether it was used.
fn channel_binding<Data>(session: &ConnectionCommon<Data>) -> Option<[u8; 32]> {
    if session.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    session.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None).ok()
}

#[cfg(test)]
mod tests;
