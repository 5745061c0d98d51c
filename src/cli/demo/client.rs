//! A small SMTP client (RFC 5321, RFC 3207) that presents whatever certificate it is given and
//! believes any server: what an impostor would use. The demo and the tests send through it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::pki::Identity;

/// For each reply; a refusal that is tarpitted takes five seconds.
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest reply we read.
const REPLY_BYTES_MAX: usize = 64 << 10;

/// How a client shows itself.
#[derive(Clone, Copy)]
pub enum Disguise<'a> {
    /// Never says STARTTLS.
    Clear,
    /// STARTTLS, no certificate.
    Anonymous,
    /// STARTTLS with this certificate.
    Certificate(&'a Identity),
}

/// One message to be sent.
#[derive(Clone, Debug)]
pub struct Letter {
    pub from: String,
    pub to: String,
    /// Header and body, lines ending in CRLF.
    pub content: String,
}

/// A complete reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    /// Without code and separator; lines joined by a line feed.
    pub text: String,
}

/// An open SMTP session.
pub struct Client {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Sends one letter in a session of its own. The answer is the first reply that refuses, or the
/// one to the final dot.
///
/// # Errors
/// The connection or the handshake failed, or something that is not SMTP came back.
pub async fn send(server: SocketAddr, disguise: Disguise<'_>, letter: &Letter) -> io::Result<Reply> {
    let mut client = Client::connect(server, disguise).await?;
    let reply = client.send(letter).await?;
    client.quit().await;
    Ok(reply)
}

impl Letter {
    /// A short letter with the fields a mail reader expects.
    pub fn new(from: &str, to: &str, subject: &str) -> Self {
        let content = format!(
            "From: <{from}>\r\nTo: <{to}>\r\nSubject: {subject}\r\n\
             Date: Mon, 02 Nov 2026 09:00:00 +0000\r\nMessage-ID: <{:016x}@{}>\r\n\r\n{subject}\r\n",
            rand::random::<u64>(),
            from.rsplit('@').next().unwrap_or("invalid"),
        );
        Self { from: from.to_owned(), to: to.to_owned(), content }
    }

    /// Puts a header field in front.
    #[must_use]
    pub fn with_field(mut self, field: &str) -> Self {
        self.content.insert_str(0, &format!("{field}\r\n"));
        self
    }
}

impl Reply {
    /// 2xx or 3xx.
    pub fn is_positive(&self) -> bool {
        (200..400).contains(&self.code)
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.text.replace('\n', " "))
    }
}

impl Client {
    /// Connects, greets, and starts TLS as the disguise says. A server that does not offer or
    /// refuses STARTTLS is an error unless the disguise is `Clear`.
    pub async fn connect(server: SocketAddr, disguise: Disguise<'_>) -> io::Result<Self> {
        let tcp = within(TcpStream::connect(server)).await?;
        tcp.set_nodelay(true)?;
        let mut client = Self { stream: Box::new(tcp), buffer: Vec::new() };
        client.expect_positive().await?;
        client.ehlo().await?;
        let identity = match disguise {
            Disguise::Clear => return Ok(client),
            Disguise::Anonymous => None,
            Disguise::Certificate(identity) => Some(identity),
        };
        client.start_tls(identity).await?;
        client.ehlo().await?;
        Ok(client)
    }

    /// Sends one letter: `MAIL`, `RCPT`, `DATA`, content.
    pub async fn send(&mut self, letter: &Letter) -> io::Result<Reply> {
        let opening =
            [format!("MAIL FROM:<{}>", letter.from), format!("RCPT TO:<{}>", letter.to), "DATA".into()];
        for command in opening {
            let reply = self.command(&command).await?;
            if !reply.is_positive() {
                return Ok(reply);
            }
        }
        self.content(letter.content.as_bytes()).await
    }

    /// Writes one line and reads its reply.
    pub async fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.write(format!("{line}\r\n").as_bytes()).await?;
        self.reply().await
    }

    /// Writes content after a 354, dots stuffed, and the final dot.
    pub async fn content(&mut self, content: &[u8]) -> io::Result<Reply> {
        let mut wire = Vec::with_capacity(content.len() + 8);
        for line in content.split_inclusive(|&byte| byte == b'\n') {
            if line.starts_with(b".") {
                wire.push(b'.');
            }
            wire.extend_from_slice(line);
        }
        if !wire.ends_with(b"\r\n") {
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b".\r\n");
        self.write(&wire).await?;
        self.reply().await
    }

    /// Says goodbye; nobody minds if the server has already gone.
    pub async fn quit(mut self) {
        let _gone = self.command("QUIT").await;
    }

    async fn ehlo(&mut self) -> io::Result<()> {
        self.write(b"EHLO client.invalid\r\n").await?;
        self.expect_positive().await
    }

    async fn expect_positive(&mut self) -> io::Result<()> {
        let reply = self.reply().await?;
        if reply.is_positive() { Ok(()) } else { Err(io::Error::other(reply.to_string())) }
    }

    async fn start_tls(&mut self, identity: Option<&Identity>) -> io::Result<()> {
        self.write(b"STARTTLS\r\n").await?;
        self.expect_positive().await?;
        let config = client_config(identity).map_err(io::Error::other)?;
        let plain = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let name = ServerName::try_from("mail.invalid").map_err(io::Error::other)?;
        let tls = within(TlsConnector::from(Arc::new(config)).connect(name, plain)).await?;
        self.stream = Box::new(tls);
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        within(self.stream.write_all(bytes)).await?;
        within(self.stream.flush()).await
    }

    /// Reads one reply, all its lines (RFC 5321 4.2.1).
    pub async fn reply(&mut self) -> io::Result<Reply> {
        let mut text: Vec<String> = Vec::new();
        loop {
            let line = self.line().await?;
            let code = line.get(..3).and_then(|digits| digits.parse().ok());
            let code: u16 = code.ok_or_else(|| io::Error::other(format!("not a reply: {line:?}")))?;
            text.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, text: text.join("\n") });
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if self.buffer.len() > REPLY_BYTES_MAX {
                return Err(io::Error::other("endless reply"));
            }
            if within(self.stream.read_buf(&mut self.buffer)).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(REPLY_TIMEOUT, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// A TLS client that presents this identity and believes any server.
pub fn client_config(identity: Option<&Identity>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider)));
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some(identity) => builder.with_client_auth_cert(identity.chain.clone(), identity.key()),
    }
}

/// Believes any certificate whose key the server holds.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
