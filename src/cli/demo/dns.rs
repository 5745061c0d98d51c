//! A small real DNS server on loopback (RFC 1035), UDP and TCP on one port of its own.
//!
//! It is authoritative for the root, so whatever it does not hold is `NXDOMAIN` and no question
//! ever leaves the machine. The demo and the tests point `[dns] servers` at it. It can play a
//! resolver that validates: answers about domains that are said to be signed carry the AD bit.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::NetError;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::rdata::tlsa::{CertUsage, Matching, Selector};
use hickory_server::proto::rr::rdata::{A, AAAA, CNAME, MX, SOA, TLSA, TXT};
use hickory_server::proto::rr::{LowerName, Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, MessageResponse, ZoneHandler, ZoneType};
use tokio::net::{TcpListener, UdpSocket};

/// Seconds; short, so that a changed zone is seen soon.
const TTL: u32 = 5;
const SERIAL: u32 = 1;
/// How often a UDP port whose TCP twin is taken is tried again with another.
const PORT_ATTEMPTS: usize = 16;
const TCP_IDLE: Duration = Duration::from_secs(10);
const TCP_RESPONSE_BYTES: usize = 4096;
/// Longest string of a TXT record; a longer text is several.
const TXT_STRING_BYTES: usize = 255;

/// The records to be served. Names may be written with or without the final dot.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    records: Vec<(String, Data)>,
    signed: Vec<String>,
    failing: Vec<String>,
}

#[derive(Clone, Debug)]
enum Data {
    Mx(u16, String),
    Address(IpAddr),
    Alias(String),
    Tlsa([u8; 3], Vec<u8>),
    Text(String),
}

/// A running server; it ends when this is dropped.
pub struct DnsServer {
    address: SocketAddr,
    _server: Server<Answerer>,
}

/// The catalog with what a validating resolver would add.
struct Answerer {
    catalog: Catalog,
    signed: Vec<LowerName>,
    failing: Vec<LowerName>,
    /// Owner and target.
    aliases: Vec<(LowerName, LowerName)>,
}

/// Sends answers on with these marks.
#[derive(Clone)]
struct Marked<R> {
    inner: R,
    authentic: bool,
    fails: bool,
}

impl DnsServer {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// A name that is none, or no port free for both UDP and TCP.
    pub async fn start(zone: &Zone) -> io::Result<Self> {
        let mut catalog = Catalog::new();
        let handler: Arc<dyn ZoneHandler> = Arc::new(zone.handler()?);
        catalog.upsert(LowerName::new(&Name::root()), vec![handler]);
        let (udp, tcp) = bind_both().await?;
        let address = udp.local_addr()?;
        let lower = |names: &[String]| {
            names.iter().map(|text| Ok(LowerName::new(&name(text)?))).collect::<io::Result<Vec<_>>>()
        };
        let answerer = Answerer {
            catalog,
            signed: lower(&zone.signed)?,
            failing: lower(&zone.failing)?,
            aliases: zone.aliases()?,
        };
        let mut server = Server::new(answerer);
        server.register_socket(udp);
        server.register_listener(tcp, TCP_IDLE, TCP_RESPONSE_BYTES);
        Ok(Self { address, _server: server })
    }

    /// For `[dns] servers`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Zone {
    /// Mail for `domain` goes to `host`.
    #[must_use]
    pub fn mx(mut self, domain: &str, preference: u16, host: &str) -> Self {
        self.records.push((domain.to_owned(), Data::Mx(preference, host.to_owned())));
        self
    }

    /// `domain` takes no mail (RFC 7505).
    #[must_use]
    pub fn null_mx(self, domain: &str) -> Self {
        self.mx(domain, 0, ".")
    }

    /// An A or AAAA record.
    #[must_use]
    pub fn address(mut self, host: &str, address: impl Into<IpAddr>) -> Self {
        self.records.push((host.to_owned(), Data::Address(address.into())));
        self
    }

    /// A CNAME record.
    #[must_use]
    pub fn alias(mut self, host: &str, target: &str) -> Self {
        self.records.push((host.to_owned(), Data::Alias(target.to_owned())));
        self
    }

    /// A TLSA record, such as `("_25._tcp.mx.x.example", [3, 1, 1], digest)`.
    #[must_use]
    pub fn tlsa(mut self, owner: &str, numbers: [u8; 3], data: &[u8]) -> Self {
        self.records.push((owner.to_owned(), Data::Tlsa(numbers, data.to_vec())));
        self
    }

    #[must_use]
    pub fn text(mut self, owner: &str, text: &str) -> Self {
        self.records.push((owner.to_owned(), Data::Text(text.to_owned())));
        self
    }

    /// Answers about `domain` and what is below it carry the AD bit.
    #[must_use]
    pub fn signed(mut self, domain: &str) -> Self {
        self.signed.push(domain.to_owned());
        self
    }

    /// Questions about `owner` are answered with SERVFAIL, as those whose signatures are wrong.
    #[must_use]
    pub fn failing(mut self, owner: &str) -> Self {
        self.failing.push(owner.to_owned());
        self
    }

    fn aliases(&self) -> io::Result<Vec<(LowerName, LowerName)>> {
        let aliases = self.records.iter().filter_map(|(owner, data)| match data {
            Data::Alias(target) => Some((owner, target)),
            _ => None,
        });
        aliases
            .map(|(owner, target)| Ok((LowerName::new(&name(owner)?), LowerName::new(&name(target)?))))
            .collect()
    }

    fn handler(&self) -> io::Result<InMemoryZoneHandler> {
        let mut handler = InMemoryZoneHandler::empty(Name::root(), ZoneType::Primary, AxfrPolicy::Deny);
        let soa = SOA::new(name("ns.invalid")?, name("postmaster.invalid")?, SERIAL, 60, 60, 600, TTL);
        let soa = Record::from_rdata(Name::root(), TTL, RData::SOA(soa));
        handler.upsert_mut(soa, SERIAL);
        for (owner, data) in &self.records {
            let record = Record::from_rdata(name(owner)?, TTL, data.rdata()?);
            handler.upsert_mut(record, SERIAL);
        }
        Ok(handler)
    }
}

impl Data {
    fn rdata(&self) -> io::Result<RData> {
        Ok(match self {
            Self::Mx(preference, host) => RData::MX(MX::new(*preference, name(host)?)),
            Self::Address(IpAddr::V4(address)) => RData::A(A(*address)),
            Self::Address(IpAddr::V6(address)) => RData::AAAA(AAAA(*address)),
            Self::Alias(target) => RData::CNAME(CNAME(name(target)?)),
            Self::Tlsa([usage, selector, matching], data) => RData::TLSA(TLSA::new(
                CertUsage::from(*usage),
                Selector::from(*selector),
                Matching::from(*matching),
                data.clone(),
            )),
            Self::Text(text) => {
                let strings = text.as_bytes().chunks(TXT_STRING_BYTES).map(String::from_utf8_lossy);
                RData::TXT(TXT::new(strings.map(String::from).collect()))
            }
        })
    }
}

impl Answerer {
    /// Whether every name on the way from `asked` lies in a signed zone; `itself` goes no way.
    fn is_signed(&self, asked: &LowerName, itself: bool) -> bool {
        let signed = |name: &LowerName| self.signed.iter().any(|zone| zone.zone_of(name));
        let mut name = asked;
        for _ in 0..=self.aliases.len() {
            let next = self.aliases.iter().find(|(owner, _)| owner == name);
            match next {
                _ if !signed(name) => return false,
                Some((_, target)) if !itself => name = target,
                Some(_) | None => return true,
            }
        }
        false
    }
}

fn is_about_alias(request: &Request) -> bool {
    request.request_info().is_ok_and(|info| info.query.query_type() == RecordType::CNAME)
}

#[async_trait::async_trait]
impl RequestHandler for Answerer {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, inner: R) -> ResponseInfo {
        let asked = request.request_info().ok().map(|info| info.query.name().clone());
        let authentic = request.metadata.authentic_data
            && asked.as_ref().is_some_and(|asked| self.is_signed(asked, is_about_alias(request)));
        let fails = asked.as_ref().is_some_and(|asked| self.failing.contains(asked));
        self.catalog.handle_request::<_, T>(request, Marked { inner, authentic, fails }).await
    }
}

#[async_trait::async_trait]
impl<R: ResponseHandler> ResponseHandler for Marked<R> {
    async fn send_response<'a>(
        &mut self,
        mut response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let metadata = response.metadata_mut();
        metadata.authentic_data = self.authentic;
        if self.fails {
            metadata.response_code = ResponseCode::ServFail;
            metadata.authentic_data = false;
        }
        self.inner.send_response(response).await
    }
}

fn name(text: &str) -> io::Result<Name> {
    // Octets that no host has a name of, but that an answer may hold all the same.
    let parsed = match text.chars().any(char::is_control) {
        true => Name::from_labels(text.split('.').map(str::as_bytes)),
        false => Name::from_str(text),
    };
    let mut name = parsed.map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{text:?} is no DNS name: {error}"))
    })?;
    name.set_fqdn(true);
    Ok(name)
}

/// A UDP socket and a TCP listener with the same port number.
async fn bind_both() -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = None;
    for _ in 0..PORT_ATTEMPTS {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::TokioResolver;
    use hickory_resolver::config::{NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use hickory_resolver::proto::op::ResponseCode;

    fn resolver(server: SocketAddr) -> TokioResolver {
        let mut config = NameServerConfig::udp_and_tcp(server.ip());
        for connection in &mut config.connections {
            connection.port = server.port();
        }
        let config = ResolverConfig::from_parts(None, vec![], vec![config]);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build().unwrap()
    }

    #[tokio::test]
    async fn answers_what_it_holds_and_denies_the_rest() {
        let zone = Zone::default()
            .mx("woodgrove.example", 10, "mx.woodgrove.example")
            .mx("woodgrove.example", 20, "mx2.woodgrove.example")
            .null_mx("no-mail.example")
            .address("mx.woodgrove.example", [127, 0, 2, 1]);
        let server = DnsServer::start(&zone).await.unwrap();
        let resolver = resolver(server.address());

        let answer = resolver.mx_lookup("woodgrove.example.").await.unwrap();
        let mut preferences: Vec<u16> = answer
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::MX(mx) => Some(mx.preference),
                _ => None,
            })
            .collect();
        preferences.sort_unstable();
        assert_eq!(preferences, [10, 20]);

        let addresses: Vec<IpAddr> =
            resolver.lookup_ip("mx.woodgrove.example.").await.unwrap().iter().collect();
        assert_eq!(addresses, [IpAddr::from([127, 0, 2, 1])]);

        let error = resolver.mx_lookup("nowhere.example.").await.unwrap_err();
        assert!(format!("{error:?}").contains(&format!("{:?}", ResponseCode::NXDomain)), "{error:?}");
    }

    #[tokio::test]
    async fn a_bad_name_is_refused() {
        let zone = Zone::default().address("two..dots", [127, 0, 0, 1]);
        assert!(DnsServer::start(&zone).await.is_err());
    }
}
