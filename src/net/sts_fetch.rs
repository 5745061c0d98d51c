//! Fetching an MTA-STS policy: the TXT record, then the policy over https (RFC 8461 3). The server
//! must prove `mta-sts.` and the domain; redirects are not followed; nothing is talked to that is
//! not public.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio_util::task::AbortOnDropHandle;

use crate::mail::Domain;
use crate::policy::MtaStsSettings;
use crate::policy::limits::STS_POLICY_BYTES_MAX;
use crate::policy::mta_sts::{StsPolicy, StsPolicyError, policy_id};
use crate::trust::{RevocationSet, TlsOutcome, printable};

use super::resolver::{Resolver, TxtAnswer};
use super::web_server::{WebServerError, WebServers};

/// Mail waits for this look-up; a name server that drops questions for TXT must not hold it up.
const TXT_TIMEOUT: Duration = Duration::from_secs(3);
/// Look-up of the address, connecting, TLS and the answer together.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// One of several addresses gets this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
const HEAD_BYTES_MAX: usize = 16 << 10;
const PATH: &str = "/.well-known/mta-sts.txt";

/// What the TXT record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announced {
    /// A policy with this `id`.
    Policy(String),
    None,
    /// Nothing is known for now.
    Unknown(String),
}

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum StsFetchError {
    #[error(transparent)]
    Server(#[from] WebServerError),
    #[error("{host} broke off: {error}")]
    Broken { host: String, error: hyper::Error },
    #[error("the server answered {0}, and only 200 is a policy")]
    Status(StatusCode),
    #[error("the answer is {0}, not text/plain")]
    NotPlainText(String),
    #[error("the answer has more than {} KiB", STS_POLICY_BYTES_MAX >> 10)]
    TooLarge,
    #[error("no complete answer within {} s", FETCH_TIMEOUT.as_secs())]
    TimedOut,
    #[error("the policy cannot be read: {0}")]
    Policy(#[from] StsPolicyError),
}

/// How and by what policies are fetched.
#[derive(Clone, Copy)]
pub struct Fetcher<'a> {
    pub resolver: &'a Resolver,
    pub settings: &'a MtaStsSettings,
    /// To judge the https server by.
    pub lists: &'a RevocationSet,
}

impl StsFetchError {
    /// In the words of TLS reporting.
    pub fn outcome(&self) -> TlsOutcome {
        match self {
            StsFetchError::Server(WebServerError::Tls { .. } | WebServerError::Untrusted { .. }) => {
                TlsOutcome::StsWebpkiInvalid
            }
            StsFetchError::Policy(_) | StsFetchError::NotPlainText(_) | StsFetchError::TooLarge => {
                TlsOutcome::StsPolicyInvalid
            }
            StsFetchError::Server(
                WebServerError::Lookup { .. }
                | WebServerError::NoAddress { .. }
                | WebServerError::PrivateAddress { .. }
                | WebServerError::Connect { .. },
            )
            | StsFetchError::Broken { .. }
            | StsFetchError::Status(_)
            | StsFetchError::TimedOut => TlsOutcome::StsPolicyFetchError,
        }
    }
}

impl Fetcher<'_> {
    /// Whether the domain announces a policy, within seconds.
    pub async fn announced(&self, domain: &Domain) -> Announced {
        let name = format!("_mta-sts.{domain}");
        match tokio::time::timeout(TXT_TIMEOUT, self.resolver.txt(&name)).await {
            Ok(TxtAnswer::Records(records)) => match policy_id(&records) {
                Some(id) => Announced::Policy(id.to_owned()),
                None => Announced::None,
            },
            Ok(TxtAnswer::None) => Announced::None,
            Ok(TxtAnswer::Temporary(why)) => Announced::Unknown(why),
            Err(_) => Announced::Unknown(format!("no answer for {name} within {} s", TXT_TIMEOUT.as_secs())),
        }
    }

    /// The policy that the domain serves now.
    ///
    /// # Errors
    /// Whatever stands between us and a policy.
    pub async fn fetch(&self, domain: &Domain, now: Timestamp) -> Result<StsPolicy, StsFetchError> {
        let asking = self.ask(domain, now);
        let octets =
            tokio::time::timeout(FETCH_TIMEOUT, asking).await.map_err(|_| StsFetchError::TimedOut)??;
        Ok(StsPolicy::parse(&octets)?)
    }

    async fn ask(&self, domain: &Domain, now: Timestamp) -> Result<Vec<u8>, StsFetchError> {
        let host = format!("mta-sts.{domain}");
        let stream = self.servers().open(&host, self.settings.port, now).await?;
        let broken = |error| StsFetchError::Broken { host: host.clone(), error };
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // Ends with this request, however that ends.
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let authority = match self.settings.port {
            443 => host.clone(),
            port => format!("{host}:{port}"),
        };
        let request = Request::get(PATH)
            .header(header::HOST, authority)
            .header(header::USER_AGENT, concat!("Sealpost/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "text/plain")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new());
        // Only a host name could make it unfit, and this one was looked up.
        let Ok(request) = request else { return Err(WebServerError::NoAddress { host }.into()) };
        let response = sender.send_request(request).await.map_err(broken)?;
        body(response, &host).await
    }

    fn servers(&self) -> WebServers<'_> {
        WebServers {
            resolver: self.resolver,
            trust: &self.settings.trust,
            lists: self.lists,
            allow_private_addresses: self.settings.allow_private_addresses,
            allowed_by: "[mta_sts] allow_private_addresses",
            connect_timeout: CONNECT_TIMEOUT,
            tls_timeout: FETCH_TIMEOUT,
        }
    }
}

/// The whole body of a 200 in plain text, within the limit.
async fn body(response: Response<Incoming>, host: &str) -> Result<Vec<u8>, StsFetchError> {
    if response.status() != StatusCode::OK {
        return Err(StsFetchError::Status(response.status()));
    }
    let kind = response.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("of no known type");
    let media = kind.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("text/plain") {
        return Err(StsFetchError::NotPlainText(printable(kind)));
    }
    let mut body = response.into_body();
    let mut octets = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| StsFetchError::Broken { host: host.to_owned(), error })?;
        let Ok(data) = frame.into_data() else { continue };
        if octets.len() + data.len() > STS_POLICY_BYTES_MAX {
            return Err(StsFetchError::TooLarge);
        }
        octets.extend_from_slice(&data);
    }
    Ok(octets)
}

#[cfg(test)]
#[path = "sts_fetch_tests.rs"]
mod tests;
