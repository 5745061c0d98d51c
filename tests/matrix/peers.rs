//! Peers that show whatever they are given, over rustls with none of its checks, and speak plain SMTP.

use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::authority::{DOMAIN, Shown};

pub fn client(shown: &Shown, version: &'static SupportedProtocolVersion) -> TlsConnector {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(Arc::clone(&provider))))
        .with_client_cert_resolver(Arc::new(Shows(certified(shown, &provider))));
    TlsConnector::from(Arc::new(config))
}

pub fn server(shown: &Shown, version: &'static SupportedProtocolVersion) -> TlsAcceptor {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(Arc::new(Anyone(Arc::clone(&provider))))
        .with_cert_resolver(Arc::new(Shows(certified(shown, &provider))));
    TlsAcceptor::from(Arc::new(config))
}

fn certified(shown: &Shown, provider: &CryptoProvider) -> Option<Arc<CertifiedKey>> {
    let key = provider.key_provider.load_private_key(shown.key.clone_key()).unwrap();
    let certified =
        CertifiedKey { ocsp: shown.staple.clone(), ..CertifiedKey::new(shown.chain.clone(), key) };
    (!shown.chain.is_empty()).then(|| Arc::new(certified))
}

/// Sends one message by the book and goes on as far as it is let. The replies to MAIL and to the
/// final dot, as far as they came.
pub async fn send(io: DuplexStream, tls: &TlsConnector) -> Vec<String> {
    let mut replies = Vec::new();
    let _ = try_to_send(io, tls, &mut replies).await;
    replies
}

async fn try_to_send(
    mut io: DuplexStream,
    tls: &TlsConnector,
    replies: &mut Vec<String>,
) -> std::io::Result<()> {
    reply(&mut io).await?;
    ask(&mut io, "EHLO mail.woodgrovebank.example").await?;
    ask(&mut io, "STARTTLS").await?;
    let name = ServerName::try_from("mail.contoso.example").unwrap();
    let mut io = tls.connect(name, io).await?;
    ask(&mut io, "EHLO mail.woodgrovebank.example").await?;
    replies.push(ask(&mut io, &format!("MAIL FROM:<kim@{DOMAIN}>")).await?);
    if replies[0].starts_with("250") {
        ask(&mut io, "RCPT TO:<adam@contoso.example>").await?;
        ask(&mut io, "DATA").await?;
        let message = format!("From: kim@{DOMAIN}\r\nSubject: matrix\r\n\r\nHello.\r\n.");
        replies.push(ask(&mut io, &message).await?);
    }
    ask(&mut io, "QUIT").await?;
    Ok(())
}

/// Takes whatever comes. How many MAIL commands came.
pub async fn receive(io: DuplexStream, tls: &TlsAcceptor) -> usize {
    let mut mails = 0;
    let _ = try_to_receive(io, tls, &mut mails).await;
    mails
}

async fn try_to_receive(mut io: DuplexStream, tls: &TlsAcceptor, mails: &mut usize) -> std::io::Result<()> {
    say(&mut io, "220 mx.woodgrovebank.example ESMTP").await?;
    line(&mut io).await?;
    say(&mut io, "250-mx.woodgrovebank.example\r\n250 STARTTLS").await?;
    line(&mut io).await?;
    say(&mut io, "220 2.0.0 go").await?;
    let mut io = tls.accept(io).await?;
    loop {
        let command = line(&mut io).await?.to_ascii_uppercase();
        match command.split([' ', ':']).next().unwrap_or_default() {
            "MAIL" => *mails += 1,
            "DATA" => {
                say(&mut io, "354 go").await?;
                while line(&mut io).await? != "." {}
            }
            "QUIT" => return say(&mut io, "221 2.0.0 bye").await,
            _ => {}
        }
        say(&mut io, "250 2.0.0 ok").await?;
    }
}

async fn say<IO: AsyncWrite + Unpin>(io: &mut IO, text: &str) -> std::io::Result<()> {
    io.write_all(format!("{text}\r\n").as_bytes()).await?;
    io.flush().await
}

async fn ask<IO: AsyncRead + AsyncWrite + Unpin>(io: &mut IO, command: &str) -> std::io::Result<String> {
    say(io, command).await?;
    reply(io).await
}

async fn reply<IO: AsyncRead + Unpin>(io: &mut IO) -> std::io::Result<String> {
    loop {
        let line = line(io).await?;
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(line);
        }
    }
}

async fn line<IO: AsyncRead + Unpin>(io: &mut IO) -> std::io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(io.read_u8().await?);
    }
    line.truncate(line.len() - 2);
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// Shows its certificate to everyone.
#[derive(Debug)]
struct Shows(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

impl ResolvesServerCert for Shows {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}

/// Takes any certificate.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Anyone {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
