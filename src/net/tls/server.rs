//! TLS as a receive connector speaks it.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::ServerSessionMemoryCache;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::net::stream::Stream;
use crate::policy::OwnCertificate;
use crate::trust::TlsEvidence;

use super::ahead::ReadAhead;
use super::possession::ProofOfPossession;
use super::{
    HandshakeError, KeyExchange, TlsSetupError, VERSIONS, channel_binding, evidence, promised, provider,
};

/// Sessions kept for resumption, with the client's chain some 5 KB each.
const SESSIONS_MAX: usize = 2048;

/// The TLS side of one receive connector. Made anew at a reload and when the certificate is
/// renewed, which forgets all sessions that could be resumed.
pub struct ServerTls {
    acceptor: TlsAcceptor,
}

impl ServerTls {
    /// Offers TLS 1.2 and 1.3 with this certificate, and asks every client for one.
    pub fn new(certificate: &OwnCertificate) -> Result<Self, TlsSetupError> {
        Self::with_key_exchange(certificate, KeyExchange::PostQuantum)
    }

    /// As `new`, with these key exchanges.
    pub fn with_key_exchange(
        certificate: &OwnCertificate,
        key_exchange: KeyExchange,
    ) -> Result<Self, TlsSetupError> {
        let provider = provider(key_exchange);
        let verifier = Arc::new(ProofOfPossession::new(&provider));
        let setup_error = |error: rustls::Error| TlsSetupError {
            source_name: certificate.source.clone(),
            error: error.to_string(),
        };
        // The first random octets take the library a tenth of a second to gather: at the start, not
        // while the first peer waits for its handshake.
        let random = provider.secure_random.fill(&mut [0]);
        random.map_err(|_| setup_error(rustls::Error::FailedToGetRandomBytes))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&VERSIONS)
            .map_err(setup_error)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificate.chain.clone(), certificate.key.clone_key())
            .map_err(setup_error)?;
        // Kept by us, not sealed into the ticket: a ticket that carries the client's chain is so
        // large that some senders break, and it would outlive a reload.
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
        config.send_tls13_tickets = 1;
        promised(config.fips(), &certificate.source)?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// The handshake behind `220` to STARTTLS, at most `timeout` long. After an error an alert has
    /// been sent where there was one to send, and the connection is closed.
    pub async fn accept<IO: AsyncRead + AsyncWrite + Unpin>(
        &self,
        io: IO,
        timeout: Duration,
    ) -> Result<(Stream<IO>, TlsEvidence), HandshakeError> {
        let accepted = tokio::time::timeout(timeout, self.acceptor.accept(ReadAhead::new(io))).await;
        let tls = accepted
            .map_err(|_| HandshakeError::timed_out(timeout))?
            .map_err(|error| HandshakeError::new(&error, false))?;
        let mut evidence = evidence(tls.get_ref().1);
        evidence.channel_binding = channel_binding(tls.get_ref().1);
        Ok((Stream::Server(Box::new(tls)), evidence))
    }
}
