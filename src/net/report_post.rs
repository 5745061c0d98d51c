//! Handing in a TLS report over https (RFC 8460 5.4): one POST to a URL that a stranger has published.
//! The server must prove the URL's host, redirects are not followed, and nothing is talked to that is
//! not public, unless the operator allows it.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Url};

use crate::trust::{RevocationSet, TrustPolicy};

use super::resolver::Resolver;
use super::web_server::{WebServerError, WebServers};

pub const MEDIA_TYPE: &str = "application/tlsrpt+gzip";
/// Look-up, connecting, TLS, request and the head of the answer together.
const POST_TIMEOUT: Duration = Duration::from_secs(60);
/// One of several addresses gets this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 16 << 10;
const HTTPS: u16 = 443;

/// Why a report was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    #[error("{0} is not a URL that we can post to")]
    BadUrl(String),
    #[error("port {0} is not 443; `[tls_reporting] allow_private_addresses` would allow it")]
    Port(u16),
    #[error(transparent)]
    Server(#[from] WebServerError),
    #[error("{host} broke off: {error}")]
    Broken { host: String, error: hyper::Error },
    #[error("the server answered {0}")]
    Status(StatusCode),
    #[error("no answer within {} s", POST_TIMEOUT.as_secs())]
    TimedOut,
}

/// How reports are posted.
pub struct Poster<'a> {
    pub resolver: &'a Resolver,
    /// By which the server is judged.
    pub trust: &'a Arc<TrustPolicy>,
    pub lists: &'a RevocationSet,
    pub allow_private_addresses: bool,
}

impl PostError {
    /// Whether another try can come to anything.
    pub fn is_permanent(&self) -> bool {
        match self {
            PostError::BadUrl(_) | PostError::Port(_) => true,
            PostError::Status(status) => {
                status.is_client_error()
                    && *status != StatusCode::TOO_MANY_REQUESTS
                    && *status != StatusCode::REQUEST_TIMEOUT
            }
            PostError::Server(_) | PostError::Broken { .. } | PostError::TimedOut => false,
        }
    }
}

impl Poster<'_> {
    /// Posts a gzipped report.
    ///
    /// # Errors
    /// Whatever stands between us and a 2xx.
    pub async fn post(&self, url: &Url, gzipped: &[u8], now: Timestamp) -> Result<(), PostError> {
        let posting = self.request(url, gzipped, now);
        let status = tokio::time::timeout(POST_TIMEOUT, posting).await.map_err(|_| PostError::TimedOut)??;
        if status.is_success() { Ok(()) } else { Err(PostError::Status(status)) }
    }

    async fn request(&self, url: &Url, gzipped: &[u8], now: Timestamp) -> Result<StatusCode, PostError> {
        let bad = || PostError::BadUrl(url.to_string());
        // A certificate proves a name; an address has none.
        let Some(Host::Domain(host)) = url.host() else { return Err(bad()) };
        let port = url.port().unwrap_or(HTTPS);
        if port != HTTPS && !self.allow_private_addresses {
            return Err(PostError::Port(port));
        }
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let request = Request::post(format!("{}{query}", url.path()))
            .header(header::HOST, authority)
            .header(header::USER_AGENT, concat!("Sealpost/", env!("CARGO_PKG_VERSION")))
            .header(header::CONTENT_TYPE, MEDIA_TYPE)
            .header(header::CONNECTION, "close")
            .body(Full::new(Bytes::copy_from_slice(gzipped)))
            .map_err(|_| bad())?;
        let stream = self.servers().open(host, port, now).await?;
        let broken = |error| PostError::Broken { host: host.to_owned(), error };
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // Ends with this request, however that ends.
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
        Ok(sender.send_request(request).await.map_err(broken)?.status())
    }

    fn servers(&self) -> WebServers<'_> {
        WebServers {
            resolver: self.resolver,
            trust: self.trust,
            lists: self.lists,
            allow_private_addresses: self.allow_private_addresses,
            allowed_by: "[tls_reporting] allow_private_addresses",
            connect_timeout: CONNECT_TIMEOUT,
            tls_timeout: POST_TIMEOUT,
        }
    }
}
