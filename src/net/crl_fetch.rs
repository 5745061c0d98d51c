//! Getting a revocation list over http (RFC 5280 4.2.1.13, RFC 9110), from a URL that a stranger may
//! have chosen: redirects, size and time are limited, and no request goes to an address or port
//! that is not public unless the operator allows it. Every hop is looked up here and connected to
//! at exactly the address that was checked, so that a name cannot mean two things.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Url};

use crate::policy::routing::AddressAnswer;
use crate::policy::{CrlFetchSettings, HttpProxy, SmartHostName};
use crate::trust::printable;

use super::connect::connect;
use super::global;
use super::resolver::Resolver;

/// Largest list, in octets; lists of big public CAs stay below 10 MiB.
pub const LIST_BYTES_MAX: u64 = 20_000_000;
const REDIRECTS_MAX: usize = 5;
/// A response's header section.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// One of several addresses gets this long; the caller has a deadline for everything.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const PORTS: [u16; 2] = [80, 443];

/// What came back.
#[derive(Debug)]
pub enum Fetched {
    List {
        bytes: Vec<u8>,
        validators: Validators,
    },
    /// 304: it is still the one that the validators are of.
    Unchanged,
}

/// What a server gave with a list, to be asked later whether there is another (RFC 9110 8.8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{0} is not a URL that we can ask")]
    BadUrl(String),
    #[error("{0} is not http; the authority must publish its list over http")]
    NotHttp(String),
    #[error("port {0} is not one of 80 and 443; crl_allow_private_addresses would allow it")]
    Port(u16),
    #[error("{host} is at {address}, which is not public; crl_allow_private_addresses would allow it")]
    PrivateAddress { host: String, address: IpAddr },
    #[error("{host} has no address that we could use")]
    NoAddress { host: String },
    #[error("looking up {host} failed: {error}")]
    Lookup { host: String, error: String },
    #[error("cannot connect to {address}: {error}")]
    Connect { address: SocketAddr, error: io::Error },
    #[error("{host} broke off: {error}")]
    Broken { host: String, error: hyper::Error },
    #[error("the server answered {0}")]
    Status(StatusCode),
    #[error("more than {REDIRECTS_MAX} redirects")]
    TooManyRedirects,
    #[error("a redirect without a usable target")]
    BadRedirect,
    #[error("the answer is encoded as {0}, which we did not ask for")]
    Encoded(String),
    #[error("the answer has more than {} MB", LIST_BYTES_MAX / 1_000_000)]
    TooLarge,
}

/// How and by whom requests are made.
pub struct Client<'a> {
    pub resolver: &'a Resolver,
    pub settings: &'a CrlFetchSettings,
}

enum Answer {
    Final(Fetched),
    MovedTo(Url),
}

impl Client<'_> {
    /// Asks for `url`, following redirects. The caller sets the deadline by dropping this.
    ///
    /// # Errors
    /// Whatever stands between us and a complete 200 or 304.
    pub async fn fetch(&self, url: &str, validators: &Validators) -> Result<Fetched, FetchError> {
        let mut target = Url::parse(url).map_err(|_| FetchError::BadUrl(printable(url)))?;
        for _ in 0..=REDIRECTS_MAX {
            match self.ask(&target, validators).await? {
                Answer::Final(fetched) => return Ok(fetched),
                Answer::MovedTo(next) => target = next,
            }
        }
        Err(FetchError::TooManyRedirects)
    }

    async fn ask(&self, url: &Url, validators: &Validators) -> Result<Answer, FetchError> {
        let request = self.request(url, validators)?;
        let stream = self.connect(url).await?;
        let host = url.host_str().unwrap_or_default();
        let broken = |error| FetchError::Broken { host: host.to_owned(), error };
        let mut builder = http1::Builder::new();
        let (mut sender, connection) =
            builder.max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Ends with this request, however that ends.
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let response = sender.send_request(request).await.map_err(broken)?;
        match response.status() {
            StatusCode::OK => read_list(response, host).await.map(Answer::Final),
            StatusCode::NOT_MODIFIED if *validators != Validators::default() => {
                Ok(Answer::Final(Fetched::Unchanged))
            }
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT => {
                let location = text(response.headers(), header::LOCATION).ok_or(FetchError::BadRedirect)?;
                url.join(&location).map(Answer::MovedTo).map_err(|_| FetchError::BadRedirect)
            }
            other => Err(FetchError::Status(other)),
        }
    }

    /// Refuses what must not be asked at all.
    fn request(&self, url: &Url, validators: &Validators) -> Result<Request<Empty<Bytes>>, FetchError> {
        let shown = || printable(url.as_str());
        if url.scheme() != "http" {
            return Err(FetchError::NotHttp(shown()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::BadUrl(shown()));
        }
        let port = port_of(url);
        if !self.settings.allow_private_addresses && !PORTS.contains(&port) {
            return Err(FetchError::Port(port));
        }
        let host = url.host_str().ok_or_else(|| FetchError::BadUrl(shown()))?;
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("{}{query}", url.path());
        let target = match self.settings.proxy {
            Some(_) => format!("http://{authority}{path}"),
            None => path,
        };
        let mut request = Request::get(target)
            .header(header::HOST, authority)
            .header(header::USER_AGENT, concat!("Sealpost/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "application/pkix-crl, */*")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::CONNECTION, "close");
        if let Some(etag) = &validators.etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        if let Some(date) = &validators.last_modified {
            request = request.header(header::IF_MODIFIED_SINCE, date);
        }
        request.body(Empty::new()).map_err(|_| FetchError::BadUrl(shown()))
    }

    async fn connect(&self, url: &Url) -> Result<TcpStream, FetchError> {
        let bad = || FetchError::BadUrl(printable(url.as_str()));
        let host = url.host().ok_or_else(bad)?;
        match &self.settings.proxy {
            Some(proxy) => {
                // The proxy looks names up; what is an address already we can still judge.
                if let Some(ip) = literal(&host) {
                    self.check(url.host_str().unwrap_or_default(), ip)?;
                }
                connect_any(&self.proxy_addresses(proxy).await?, proxy.port).await
            }
            None => {
                let addresses = match (literal(&host), host) {
                    (Some(ip), _) => vec![ip],
                    (None, Host::Domain(name)) => self.look_up(name).await?,
                    (None, Host::Ipv4(_) | Host::Ipv6(_)) => return Err(bad()),
                };
                let name = url.host_str().unwrap_or_default();
                connect_any(&self.permitted(name, addresses)?, port_of(url)).await
            }
        }
    }

    /// Those of a name's addresses that may be connected to. One that may not is no reason to
    /// mistrust the others, as each is connected to as it was checked.
    fn permitted(&self, host: &str, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, FetchError> {
        let mut refused = None;
        let mut permitted = Vec::new();
        for address in addresses {
            match self.check(host, address) {
                Ok(()) => permitted.push(address),
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            Some(error) if permitted.is_empty() => Err(error),
            Some(_) | None => Ok(permitted),
        }
    }

    fn check(&self, host: &str, address: IpAddr) -> Result<(), FetchError> {
        if !global::is_host(address) {
            Err(FetchError::NoAddress { host: host.to_owned() })
        } else if !self.settings.allow_private_addresses && !global::is_global(address) {
            Err(FetchError::PrivateAddress { host: host.to_owned(), address })
        } else {
            Ok(())
        }
    }

    /// The operator's own choice, wherever it is.
    async fn proxy_addresses(&self, proxy: &HttpProxy) -> Result<Vec<IpAddr>, FetchError> {
        match &proxy.host {
            SmartHostName::Address(ip) => Ok(vec![*ip]),
            SmartHostName::Name(name) => self.look_up(name.as_str()).await,
        }
    }

    async fn look_up(&self, host: &str) -> Result<Vec<IpAddr>, FetchError> {
        let host = host.trim_end_matches('.');
        match self.resolver.addresses(host).await {
            AddressAnswer::Addresses(addresses) => Ok(addresses),
            AddressAnswer::None => Err(FetchError::NoAddress { host: host.to_owned() }),
            AddressAnswer::Temporary(error) => Err(FetchError::Lookup { host: host.to_owned(), error }),
        }
    }
}

async fn connect_any(addresses: &[IpAddr], port: u16) -> Result<TcpStream, FetchError> {
    let mut last = FetchError::NoAddress { host: "the name".to_owned() };
    for &ip in addresses {
        let address = SocketAddr::new(ip, port);
        match connect(address, &[], CONNECT_TIMEOUT).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = FetchError::Connect { address, error },
        }
    }
    Err(last)
}

/// The whole body of a 200, within the limit.
async fn read_list(response: Response<Incoming>, host: &str) -> Result<Fetched, FetchError> {
    let headers = response.headers();
    if let Some(encoding) = text(headers, header::CONTENT_ENCODING)
        && !encoding.eq_ignore_ascii_case("identity")
    {
        return Err(FetchError::Encoded(printable(&encoding)));
    }
    let announced = text(headers, header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > LIST_BYTES_MAX) {
        return Err(FetchError::TooLarge);
    }
    let validators =
        Validators { etag: text(headers, header::ETAG), last_modified: text(headers, header::LAST_MODIFIED) };
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| FetchError::Broken { host: host.to_owned(), error })?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() as u64 + data.len() as u64 > LIST_BYTES_MAX {
            return Err(FetchError::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Fetched::List { bytes, validators })
}

fn literal(host: &Host<&str>) -> Option<IpAddr> {
    match host {
        Host::Ipv4(ip) => Some(IpAddr::V4(*ip)),
        Host::Ipv6(ip) => Some(IpAddr::V6(*ip)),
        Host::Domain(_) => None,
    }
}

fn port_of(url: &Url) -> u16 {
    url.port_or_known_default().unwrap_or(PORTS[0])
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
#[path = "crl_fetch_tests.rs"]
mod tests;
