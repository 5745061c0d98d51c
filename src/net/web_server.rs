//! A TLS connection to a web server whose name somebody else has chosen: at a public address, unless
//! the operator allows others, and proved by its certificate before a word is said.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::TcpStream;

use crate::mail::Domain;
use crate::policy::routing::AddressAnswer;
use crate::trust::{
    CertificateDemand, NamePattern, RevocationSet, TrustPolicy, UsagePolicy, judge_certificates,
};

use super::connect::connect;
use super::global;
use super::resolver::Resolver;
use super::stream::Stream;
use super::tls::ClientTls;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum WebServerError {
    #[error("looking up {host} failed: {error}")]
    Lookup { host: String, error: String },
    #[error("{host} has no address that we could use")]
    NoAddress { host: String },
    #[error("{host} is at {address}, which is not public; `{allowed_by}` would allow it")]
    PrivateAddress { host: String, address: IpAddr, allowed_by: &'static str },
    #[error("cannot connect to {address}: {error}")]
    Connect { address: SocketAddr, error: io::Error },
    #[error("TLS with {host} failed: {error}")]
    Tls { host: String, error: String },
    #[error("the certificate of {host} does not prove it: {detail}")]
    Untrusted { host: String, detail: String },
}

/// How web servers are reached and judged.
pub struct WebServers<'a> {
    pub resolver: &'a Resolver,
    pub trust: &'a TrustPolicy,
    pub lists: &'a RevocationSet,
    pub allow_private_addresses: bool,
    /// The setting that says so.
    pub allowed_by: &'static str,
    /// One of several addresses gets this long.
    pub connect_timeout: Duration,
    /// The handshake gets this long.
    pub tls_timeout: Duration,
}

impl WebServers<'_> {
    /// Connects to a server that proves to be `host`.
    ///
    /// # Errors
    /// Whatever stands between us and such a server; of several addresses the last.
    pub async fn open(&self, host: &str, port: u16, now: Timestamp) -> Result<Stream, WebServerError> {
        let failed = |error: String| WebServerError::Tls { host: host.to_owned(), error };
        let name = Domain::parse_rooted(host).map_err(|error| failed(error.to_string()))?;
        let plain = self.connect(host, port).await?;
        let tls = ClientTls::new(None).map_err(|error| failed(error.to_string()))?;
        let (stream, evidence, _) =
            tls.connect(plain, host, self.tls_timeout).await.map_err(|error| failed(error.error))?;
        let names = vec![NamePattern::Exact(name)];
        let demand = CertificateDemand { policy: self.trust, usage: UsagePolicy::Server, names };
        let staple = evidence.staple.as_deref();
        let found = judge_certificates(&demand, &evidence.peer_chain, staple, self.lists, now);
        match found.facts.into_iter().next() {
            None => Ok(stream),
            Some(fact) => {
                let detail = format!("{}, wanted {}, got {}", fact.fault, fact.wanted, fact.got);
                Err(WebServerError::Untrusted { host: host.to_owned(), detail })
            }
        }
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, WebServerError> {
        let mut last = WebServerError::NoAddress { host: host.to_owned() };
        let addresses = match self.resolver.addresses(host.trim_end_matches('.')).await {
            AddressAnswer::Addresses(addresses) => addresses,
            AddressAnswer::None => Vec::new(),
            AddressAnswer::Temporary(error) => {
                return Err(WebServerError::Lookup { host: host.to_owned(), error });
            }
        };
        for ip in addresses.into_iter().filter(|ip| global::is_host(*ip)) {
            if !self.allow_private_addresses && !global::is_global(ip) {
                let (host, allowed_by) = (host.to_owned(), self.allowed_by);
                last = WebServerError::PrivateAddress { host, address: ip, allowed_by };
                continue;
            }
            let address = SocketAddr::new(ip, port);
            match connect(address, &[], self.connect_timeout).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = WebServerError::Connect { address, error },
            }
        }
        Err(last)
    }
}
