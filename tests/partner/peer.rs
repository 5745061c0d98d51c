//! A mail server that behaves as it is told, wrongly if need be, up to the first EHLO inside TLS. It
//! takes no mail, and says whether somebody tried.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use sealpost::cli::demo::pki::Identity;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Who is asked for a certificate.
pub enum Ask {
    Nobody,
    /// And taken only from this authority (a PEM file).
    Those(std::path::PathBuf),
}

/// How the server behaves.
pub struct Manner {
    pub banner: &'static str,
    /// The lines behind `250-`.
    pub extensions: Vec<String>,
    /// None: STARTTLS is not offered.
    pub tls: Option<ServerConfig>,
    /// What is said in place of the handshake.
    pub instead_of_handshake: Option<&'static [u8]>,
    /// Whoever sends a larger first flight is hung up on, as some middleboxes do.
    pub first_flight_max: Option<usize>,
}

pub struct Peer {
    /// MAIL was said.
    pub mail: Arc<AtomicBool>,
    _task: tokio::task::JoinHandle<()>,
}

impl Manner {
    /// A server that speaks TLS with this certificate.
    pub fn with(identity: &Identity, ask: &Ask) -> Self {
        Self::of_versions(identity, ask, &[&rustls::version::TLS13, &rustls::version::TLS12])
    }

    pub fn of_versions(
        identity: &Identity,
        ask: &Ask,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .unwrap();
        let builder = match ask {
            Ask::Nobody => builder.with_no_client_auth(),
            Ask::Those(root) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(roots(root), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let tls = builder.with_single_cert(identity.chain.clone(), identity.key()).unwrap();
        Self { tls: Some(tls), ..Self::clear() }
    }

    /// A server that knows no TLS.
    pub fn clear() -> Self {
        Self {
            banner: "220 mx.woodgrove.example ready",
            extensions: vec!["SIZE 1000000".to_owned()],
            tls: None,
            instead_of_handshake: None,
            first_flight_max: None,
        }
    }
}

fn roots(file: &Path) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(file).unwrap() {
        roots.add(root.unwrap()).unwrap();
    }
    Arc::new(roots)
}

impl Peer {
    pub async fn start(address: SocketAddr, manner: Manner) -> Self {
        let mail = Arc::new(AtomicBool::new(false));
        let listener = TcpListener::bind(address).await.unwrap();
        let manner = Arc::new(manner);
        let seen = Arc::clone(&mail);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&manner), Arc::clone(&seen)));
            }
        });
        Self { mail, _task: task }
    }

    pub fn was_sent_mail(&self) -> bool {
        self.mail.load(Ordering::SeqCst)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self._task.abort();
    }
}

async fn serve(mut stream: TcpStream, manner: Arc<Manner>, mail: Arc<AtomicBool>) {
    let started = converse(&mut stream, &manner, manner.tls.is_some(), Some(manner.banner), &mail).await;
    if !started {
        return;
    }
    if let Some(words) = manner.instead_of_handshake {
        let _ = stream.write_all(words).await;
        // Until the other side has read it and gone.
        tokio::time::sleep(Duration::from_millis(500)).await;
        return;
    }
    if let Some(most) = manner.first_flight_max
        && first_flight(&stream).await > most
    {
        return;
    }
    let Some(tls) = manner.tls.clone() else { return };
    if let Ok(mut tls) = TlsAcceptor::from(Arc::new(tls)).accept(stream).await {
        converse(&mut tls, &manner, false, None, &mail).await;
        let _ = tls.shutdown().await;
    }
}

/// What the head of the first TLS record says of its length.
async fn first_flight(stream: &TcpStream) -> usize {
    let mut head = [0; 5];
    while stream.peek(&mut head).await.unwrap() < head.len() {
        tokio::task::yield_now().await;
    }
    usize::from(u16::from_be_bytes([head[3], head[4]]))
}

/// Until QUIT, the end, or STARTTLS (then true).
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    manner: &Manner,
    offer: bool,
    banner: Option<&str>,
    mail: &AtomicBool,
) -> bool {
    let mut stream = BufReader::new(stream);
    if let Some(banner) = banner
        && stream.write_all(format!("{banner}\r\n").as_bytes()).await.is_err()
    {
        return false;
    }
    let mut line = String::new();
    loop {
        line.clear();
        if !matches!(stream.read_line(&mut line).await, Ok(1..)) {
            return false;
        }
        let verb = line.trim_end().to_ascii_uppercase();
        let answer = if verb.starts_with("EHLO") {
            let mut answer = String::from("250-mx.woodgrove.example\r\n");
            for extension in &manner.extensions {
                answer += &format!("250-{extension}\r\n");
            }
            if offer {
                answer += "250-STARTTLS\r\n";
            }
            answer + "250 8BITMIME\r\n"
        } else if verb == "STARTTLS" && offer {
            "220 go ahead\r\n".to_owned()
        } else if verb == "QUIT" {
            "221 bye\r\n".to_owned()
        } else {
            mail.fetch_or(verb.starts_with("MAIL"), Ordering::SeqCst);
            "502 no\r\n".to_owned()
        };
        if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return false;
        }
        match verb.as_str() {
            "STARTTLS" if offer => return true,
            "QUIT" => return false,
            _ => {}
        }
    }
}
