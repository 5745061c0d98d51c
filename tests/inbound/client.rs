//! A client that says exactly what it is told, in clear or over TLS 1.2 or 1.3, fresh or resumed.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConnection, ResolvesClientCert, WantsClientCert};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};

use socket2::{Domain, Socket, Type};

use super::pki::Card;

const PATIENCE: Duration = Duration::from_secs(20);

/// What a client keeps between connections: version, certificate, sessions to resume.
pub type Tls = Arc<ClientConfig>;

/// Presents this certificate, whatever the server says it would like.
pub fn tls(version: &'static SupportedProtocolVersion, card: Option<&Card>) -> Tls {
    match card {
        None => Arc::new(credulous(version).with_no_client_auth()),
        Some(card) => {
            let key = aws_lc_rs::sign::any_supported_type(&card.key).unwrap();
            tls_with(version, Arc::new(CertifiedKey::new(card.chain.clone(), key)))
        }
    }
}

/// The same with a key that may be none.
pub fn tls_with(version: &'static SupportedProtocolVersion, certified: Arc<CertifiedKey>) -> Tls {
    Arc::new(credulous(version).with_client_cert_resolver(Arc::new(Always(certified))))
}

fn credulous(version: &'static SupportedProtocolVersion) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
}

/// An open connection.
pub struct Smtp {
    wire: Wire,
    buffer: Vec<u8>,
}

enum Wire {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Smtp {
    /// Connected, banner not read.
    pub fn dial(server: SocketAddr) -> Self {
        Self::over(TcpStream::connect(server).unwrap())
    }

    /// The same from this address of ours.
    pub fn dial_from(own: IpAddr, server: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(own, 0).into()).unwrap();
        socket.connect(&server.into()).unwrap();
        Self::over(socket.into())
    }

    /// The same over a connection that is there.
    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { wire: Wire::Clear(stream), buffer: Vec::new() }
    }

    /// Greeted, in clear text.
    pub fn clear(server: SocketAddr) -> Self {
        let mut client = Self::dial(server);
        client.greet();
        client
    }

    pub fn greet(&mut self) {
        let banner = self.reply();
        assert!(banner.starts_with("220 "), "{banner}");
        self.ehlo();
    }

    /// Greeted, over TLS.
    pub fn secure(server: SocketAddr, tls: &Tls) -> Self {
        let mut client = Self::clear(server);
        client.start_tls(tls).unwrap();
        client.ehlo();
        client
    }

    pub fn ehlo(&mut self) -> String {
        let reply = self.say("EHLO client.litware.example");
        assert!(reply.starts_with("250"), "{reply}");
        reply
    }

    pub fn start_tls(&mut self, tls: &Tls) -> std::io::Result<()> {
        assert!(self.say("STARTTLS").starts_with("220 2.0.0"));
        self.handshake(tls)
    }

    pub fn handshake(&mut self, tls: &Tls) -> std::io::Result<()> {
        let Wire::Clear(stream) = &self.wire else { panic!("TLS twice") };
        let stream = stream.try_clone()?;
        let name = ServerName::try_from("mx.contoso.example").unwrap();
        let connection = ClientConnection::new(Arc::clone(tls), name).unwrap();
        let mut secured = StreamOwned::new(connection, stream);
        while secured.conn.is_handshaking() {
            secured.conn.complete_io(&mut secured.sock)?;
        }
        self.wire = Wire::Tls(Box::new(secured));
        Ok(())
    }

    pub fn is_resumed(&self) -> bool {
        match &self.wire {
            Wire::Tls(stream) => stream.conn.handshake_kind() == Some(HandshakeKind::Resumed),
            Wire::Clear(_) => false,
        }
    }

    /// What SCRAM-SHA-256-PLUS binds to.
    pub fn channel_binding(&self) -> [u8; 32] {
        let Wire::Tls(stream) = &self.wire else { panic!("no TLS") };
        stream.conn.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None).unwrap()
    }

    /// Writes these octets.
    pub fn write(&mut self, octets: &[u8]) {
        self.try_write(octets).unwrap();
    }

    pub fn try_write(&mut self, octets: &[u8]) -> std::io::Result<()> {
        match &mut self.wire {
            Wire::Clear(stream) => stream.write_all(octets),
            Wire::Tls(stream) => stream.write_all(octets).and_then(|()| stream.flush()),
        }
    }

    /// One line, and the whole reply to it, lines joined by `\n`.
    pub fn say(&mut self, line: &str) -> String {
        self.write(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    /// The next reply; empty when the server closed.
    pub fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let Some(line) = self.line() else { return reply };
            let last = line.as_bytes().get(3) != Some(&b'-');
            reply.push_str(&line);
            if last {
                return reply;
            }
            reply.push('\n');
        }
    }

    /// `None` at the end, however it came.
    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
                self.buffer.drain(..2);
                return Some(line);
            }
            let mut chunk = [0; 4096];
            let count = match &mut self.wire {
                Wire::Clear(stream) => stream.read(&mut chunk),
                Wire::Tls(stream) => stream.read(&mut chunk),
            };
            match count {
                Ok(0) => return None,
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no reply in time"),
                Err(_) => return None,
            }
        }
    }

    /// Whether the server has ended the conversation.
    pub fn is_over(&mut self) -> bool {
        self.line().is_none()
    }

    /// Every octet to the end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.buffer);
        // A reset is an end, too.
        let _ended = match &mut self.wire {
            Wire::Clear(stream) => stream.read_to_end(&mut rest),
            Wire::Tls(stream) => stream.read_to_end(&mut rest),
        };
        rest
    }

    pub fn mail(&mut self, from: &str) -> String {
        self.say(&format!("MAIL FROM:<{from}>"))
    }

    pub fn rcpt(&mut self, to: &str) -> String {
        self.say(&format!("RCPT TO:<{to}>"))
    }

    /// DATA, these octets as they are, the final dot; the answer to it.
    pub fn data(&mut self, octets: &[u8]) -> String {
        let go_on = self.say("DATA");
        assert!(go_on.starts_with("354 "), "{go_on}");
        self.write(octets);
        self.write(b".\r\n");
        self.reply()
    }

    /// A whole message; the first reply that refuses, or the last.
    pub fn send(&mut self, from: &str, to: &str, content: &str) -> String {
        for step in [format!("MAIL FROM:<{from}>"), format!("RCPT TO:<{to}>")] {
            let reply = self.say(&step);
            if !reply.starts_with('2') {
                return reply;
            }
        }
        self.data(content.as_bytes())
    }

    pub fn quit(mut self) {
        assert!(self.say("QUIT").starts_with("221 2.0.0 "));
        assert!(self.is_over());
    }
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesClientCert for Always {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Believes any server.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
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
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
