//! Asking name servers whether they validated an answer (RFC 6840 5.7: a question with the AD bit
//! asks for an answer with it), and when their word counts.

use std::net::IpAddr;
use std::pin::Pin;

use hickory_resolver::config::{ConnectionConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::xfer::DnsHandle;
use hickory_resolver::proto::op::DnsRequest;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::{ConnectionProvider, PoolContext};

use crate::policy::Dnssec;

/// Whether the AD bit of these servers is believed. Between us and a resolver on this host nobody
/// else writes; on any other way everybody may.
pub fn is_believed(dnssec: Dnssec, config: &ResolverConfig) -> bool {
    match dnssec {
        Dnssec::Off => false,
        Dnssec::TrustedResolver => true,
        Dnssec::Auto => {
            let servers = config.name_servers();
            !servers.is_empty() && servers.iter().all(|server| server.ip.to_canonical().is_loopback())
        }
    }
}

/// Whether the AD bit of an answer is about the whole of it: where the server answered with an alias
/// alone and the resolver asked on, the bit is only about the last question.
pub fn is_whole(lookup: &Lookup, asked: &Name) -> bool {
    let message = lookup.message();
    message.metadata.authentic_data && message.queries.first().is_some_and(|query| query.name() == asked)
}

/// Connections whose questions carry the AD bit.
#[derive(Clone)]
pub struct Asking<P> {
    pub connections: P,
    pub authentic: bool,
}

/// One of them.
#[derive(Clone)]
pub struct AskingConnection<H> {
    connection: H,
    authentic: bool,
}

impl<P: ConnectionProvider> ConnectionProvider for Asking<P> {
    type Conn = AskingConnection<P::Conn>;
    type FutureConn = Pin<Box<dyn Future<Output = Result<Self::Conn, NetError>> + Send>>;
    type RuntimeProvider = P::RuntimeProvider;

    fn new_connection(
        &self,
        ip: IpAddr,
        config: &ConnectionConfig,
        context: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let made = self.connections.new_connection(ip, config, context)?;
        let authentic = self.authentic;
        Ok(Box::pin(async move { Ok(AskingConnection { connection: made.await?, authentic }) }))
    }

    fn runtime_provider(&self) -> &Self::RuntimeProvider {
        self.connections.runtime_provider()
    }
}

impl<H: DnsHandle> DnsHandle for AskingConnection<H> {
    type Response = H::Response;
    type Runtime = H::Runtime;

    fn is_using_edns(&self) -> bool {
        self.connection.is_using_edns()
    }

    fn send(&self, mut request: DnsRequest) -> Self::Response {
        request.metadata.authentic_data = self.authentic;
        self.connection.send(request)
    }
}
