//! TLS as a send connector speaks it.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::{DnsName, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::net::stream::Stream;
use crate::policy::OwnCertificate;
use crate::session::send::OwnCertificate as Presented;
use crate::trust::TlsEvidence;

use super::ahead::ReadAhead;
use super::error::may_be_refusal;
use super::possession::ProofOfPossession;
use super::sessions::{CURRENT, Presentation, SessionMemory};
use super::{
    HandshakeError, KeyExchange, TlsSetupError, VERSIONS, channel_binding, evidence, promised, provider,
};

/// One configuration and session memory: for one send connector, certificate of ours and secure
/// domain (`ClientTlsPool`), never for one connection, which could resume nothing.
pub struct ClientTls {
    pub(super) connector: TlsConnector,
}

impl ClientTls {
    /// Speaks TLS 1.2 and 1.3 and sends `own`, if there is one, to whoever asks.
    pub fn new(own: Option<&OwnCertificate>) -> Result<Self, TlsSetupError> {
        Self::with_versions(own, &VERSIONS)
    }

    /// As `new`, with these key exchanges.
    pub fn with_key_exchange(
        own: Option<&OwnCertificate>,
        key_exchange: KeyExchange,
    ) -> Result<Self, TlsSetupError> {
        Self::build(own, &VERSIONS, key_exchange)
    }

    /// Speaks only these versions; `new` speaks both.
    pub fn with_versions(
        own: Option<&OwnCertificate>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Self, TlsSetupError> {
        Self::build(own, versions, KeyExchange::PostQuantum)
    }

    fn build(
        own: Option<&OwnCertificate>,
        versions: &[&'static SupportedProtocolVersion],
        key_exchange: KeyExchange,
    ) -> Result<Self, TlsSetupError> {
        let provider = provider(key_exchange);
        let name = own.map_or("none", |own| own.source.as_str());
        let setup_error =
            |error: rustls::Error| TlsSetupError { source_name: name.to_owned(), error: error.to_string() };
        let certified = |own: &OwnCertificate| {
            CertifiedKey::from_der(own.chain.clone(), own.key.clone_key(), &provider).map(Arc::new)
        };
        let certificate = own.map(certified).transpose().map_err(setup_error)?;
        let verifier = Arc::new(ProofOfPossession::new(&provider));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(setup_error)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(OneCertificate { certificate }));
        promised(config.fips(), name)?;
        config.resumption = Resumption::store(Arc::new(SessionMemory::default()));
        Ok(Self { connector: TlsConnector::from(Arc::new(config)) })
    }

    /// The handshake after the peer's 220 to STARTTLS, at most `timeout` long. `host` is the MX or
    /// smart-host name, which goes into SNI, or an address, bare or as a literal, which does not.
    ///
    /// What became of our certificate is `Sent` when it was asked for and sent with the proof that
    /// we hold its key, now or when the resumed session was made; `NotRequested` also when we have
    /// none, or were asked only for signature schemes its key does not have.
    ///
    /// In TLS 1.3 success does not mean that the peer took our certificate: its refusal comes with
    /// the first read (`is_certificate_refusal`).
    pub async fn connect<IO: AsyncRead + AsyncWrite + Unpin>(
        &self,
        io: IO,
        host: &str,
        timeout: Duration,
    ) -> Result<(Stream<IO>, TlsEvidence, Presented), HandshakeError> {
        let name = server_name(host)?;
        let presentation = Arc::new(Presentation::default());
        let handshake = CURRENT.scope(Arc::clone(&presentation), async {
            // Already the making of the connection looks for a session to resume.
            self.connector.connect(name, ReadAhead::new(io)).await
        });
        let tls = tokio::time::timeout(timeout, handshake)
            .await
            .map_err(|_| HandshakeError::timed_out(timeout))?
            .map_err(|error| {
                HandshakeError::new(&error, presentation.was_asked() && may_be_refusal(&error))
            })?;
        let mut evidence = evidence(tls.get_ref().1);
        let shown = presentation.settle(evidence.resumed);
        evidence.staple = shown.staple;
        evidence.channel_binding = channel_binding(tls.get_ref().1);
        Ok((Stream::Client(Box::new(ClientStream { tls, presentation })), evidence, shown.own))
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, HandshakeError> {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    let literal = literal.strip_prefix("IPv6:").unwrap_or(literal);
    if let Ok(address) = literal.parse::<IpAddr>() {
        return Ok(ServerName::IpAddress(address.into()));
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_owned();
    DnsName::try_from(name).map(ServerName::DnsName).map_err(|_| HandshakeError {
        error: format!("the host name {host:?} cannot be sent in TLS; correct the MX record"),
        certificate_refused: false,
        timed_out: false,
    })
}

/// A TLS connection that we opened. Tickets of TLS 1.3 arrive with reads, so the connection's
/// presentation stays with it.
pub struct ClientStream<IO> {
    tls: TlsStream<ReadAhead<IO>>,
    presentation: Arc<Presentation>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> ClientStream<IO> {
    pub(in crate::net) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let presentation = Arc::clone(&self.presentation);
        CURRENT.sync_scope(presentation, || Pin::new(&mut self.tls).poll_read(context, buffer))
    }

    /// The peer was not admitted: the next connection to it is to be a full handshake.
    pub(in crate::net) fn refuse_resumption(&self) {
        self.presentation.refuse();
    }

    pub(in crate::net) fn pinned(&mut self) -> Pin<&mut TlsStream<ReadAhead<IO>>> {
        Pin::new(&mut self.tls)
    }
}

/// Sends our certificate whatever authorities the server names: its hints are often incomplete,
/// and it judges for itself.
#[derive(Debug)]
struct OneCertificate {
    certificate: Option<Arc<CertifiedKey>>,
}

impl ResolvesClientCert for OneCertificate {
    fn resolve(&self, _hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let certificate = self.certificate.as_ref();
        let usable = certificate.filter(|certificate| certificate.key.choose_scheme(schemes).is_some());
        let presented = if usable.is_some() { Presented::Sent } else { Presented::NotRequested };
        let _ = CURRENT.try_with(|connection| connection.asked(presented));
        usable.cloned()
    }

    fn has_certs(&self) -> bool {
        self.certificate.is_some()
    }
}
