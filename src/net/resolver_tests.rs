//! Against a real name server on a port of its own.

use crate::policy::Dnssec;
use std::net::SocketAddr;
use std::sync::Arc;

use hickory_server::Server;
use hickory_server::proto::rr::rdata::{A, AAAA, CNAME, MX, NULL, SOA};
use hickory_server::proto::rr::{LowerName, Record};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneHandler, ZoneType};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn mx(preference: u16, exchange: &str) -> RData {
    RData::MX(MX::new(preference, name(exchange)))
}

/// Serves the zone `example.`; other names are refused.
async fn serve(records: Vec<(String, RData)>) -> (SocketAddr, Server<Catalog>) {
    let mut zone = InMemoryZoneHandler::<TokioRuntimeProvider>::empty(
        name("example."),
        ZoneType::Primary,
        AxfrPolicy::Deny,
    );
    let soa = SOA::new(name("ns.example."), name("hostmaster.example."), 1, 60, 60, 600, 60);
    zone.upsert_mut(Record::from_rdata(name("example."), 60, RData::SOA(soa)), 1);
    for (owner, data) in records {
        zone.upsert_mut(Record::from_rdata(name(&owner), 60, data), 1);
    }
    let mut catalog = Catalog::new();
    let handler: Arc<dyn ZoneHandler> = Arc::new(zone);
    catalog.upsert(LowerName::new(&name("example.")), vec![handler]);
    let mut server = Server::new(catalog);
    let (udp, tcp) = sockets().await;
    let address = udp.local_addr().unwrap();
    server.register_socket(udp);
    server.register_listener(tcp, Duration::from_secs(10), 4096);
    (address, server)
}

/// A free port that is free on TCP as well.
async fn sockets() -> (UdpSocket, TcpListener) {
    for _ in 0..20 {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
    panic!("no port is free on UDP and TCP")
}

fn resolver(server: SocketAddr) -> Resolver {
    Resolver::new(&DnsSettings { servers: vec![server], dnssec: Dnssec::Off }).unwrap()
}

fn owned(records: &[(&str, RData)]) -> Vec<(String, RData)> {
    records.iter().map(|(owner, data)| ((*owner).to_owned(), data.clone())).collect()
}

#[tokio::test]
async fn every_kind_of_mx_answer_is_told_apart() {
    let (address, _server) = serve(owned(&[
        ("x.example.", mx(20, "MX2.x.example.")),
        ("x.example.", mx(10, "mx1.x.example.")),
        ("null.example.", mx(0, ".")),
        ("web.example.", RData::A(A::new(192, 0, 2, 1))),
        ("alias.example.", RData::CNAME(CNAME(name("x.example.")))),
        ("to-web.example.", RData::CNAME(CNAME(name("web.example.")))),
    ]))
    .await;
    let resolver = resolver(address);
    let sorted = |answer: MxAnswer| match answer {
        MxAnswer::Records(mut records) => {
            records.sort();
            MxAnswer::Records(records)
        }
        answer => answer,
    };
    let both = MxAnswer::Records(vec![(10, "mx1.x.example".into()), (20, "mx2.x.example".into())]);
    let table = [
        ("x.example", both.clone()),
        ("alias.example", both),
        ("null.example", MxAnswer::NullMx),
        ("web.example", MxAnswer::NoRecords),
        ("to-web.example", MxAnswer::NoRecords),
        ("absent.example", MxAnswer::NoSuchDomain),
    ];
    for (domain, expected) in table {
        assert_eq!(sorted(resolver.mx(&domain.parse().unwrap()).await), expected, "{domain}");
    }
    let refused = resolver.mx(&"elsewhere.test".parse().unwrap()).await;
    assert!(matches!(&refused, MxAnswer::Temporary(why) if why.contains("elsewhere.test")), "{refused:?}");
}

#[tokio::test]
async fn addresses_of_both_families_come_ipv4_first() {
    let (address, _server) = serve(owned(&[
        ("both.example.", RData::AAAA(AAAA("2001:db8::1".parse().unwrap()))),
        ("both.example.", RData::A(A::new(192, 0, 2, 1))),
        ("new.example.", RData::AAAA(AAAA("2001:db8::2".parse().unwrap()))),
        ("alias.example.", RData::CNAME(CNAME(name("both.example.")))),
        ("mail.example.", mx(0, ".")),
    ]))
    .await;
    let resolver = resolver(address);
    let both: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    let table = [
        ("both.example", AddressAnswer::Addresses(both.clone())),
        ("both.example.", AddressAnswer::Addresses(both.clone())),
        ("alias.example", AddressAnswer::Addresses(both)),
        ("new.example", AddressAnswer::Addresses(vec!["2001:db8::2".parse().unwrap()])),
        ("mail.example", AddressAnswer::None),
        ("absent.example", AddressAnswer::None),
        ("not..a..name", AddressAnswer::None),
    ];
    for (host, expected) in table {
        assert_eq!(resolver.addresses(host).await, expected, "{host}");
    }
    let refused = resolver.addresses("elsewhere.test").await;
    assert!(matches!(refused, AddressAnswer::Temporary(_)), "{refused:?}");
}

#[tokio::test]
async fn an_answer_too_long_for_udp_is_fetched_over_tcp() {
    let exchange = |i: usize| format!("a-rather-long-name-of-a-mail-exchanger-{i:03}.x.example.");
    let records = (0..60).map(|i| ("x.example.".to_owned(), mx(10, &exchange(i)))).collect();
    let (address, _server) = serve(records).await;
    let answer = resolver(address).mx(&"x.example".parse().unwrap()).await;
    let MxAnswer::Records(records) = answer else { panic!("{answer:?}") };
    assert_eq!(records.len(), 60);
}

#[tokio::test]
async fn more_addresses_than_are_tried_are_left_out() {
    let records = (0..40).map(|i| ("x.example.".to_owned(), RData::A(A::new(192, 0, 2, i)))).collect();
    let (address, _server) = serve(records).await;
    let answer = resolver(address).addresses("x.example").await;
    let AddressAnswer::Addresses(addresses) = answer else { panic!("{answer:?}") };
    assert_eq!(addresses.len(), ADDRESSES_TRIED_MAX);
}

#[tokio::test]
async fn a_server_that_never_answers_is_a_temporary_fault() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let settings = DnsSettings { servers: vec![silent.local_addr().unwrap()], dnssec: Dnssec::Off };
    let resolver = Resolver::with_timeout(&settings, Duration::from_millis(20)).unwrap();
    let answer = resolver.mx(&"x.example".parse().unwrap()).await;
    assert!(matches!(answer, MxAnswer::Temporary(_)), "{answer:?}");
}

#[tokio::test]
async fn a_zone_is_signed_when_its_parent_has_a_ds_record_for_it() {
    let (address, _server) = serve(vec![
        ("www.example.".to_owned(), RData::A(A::new(192, 0, 2, 1))),
        ("example.".to_owned(), ds()),
    ])
    .await;
    let resolver = resolver(address);
    let domain = |text| Domain::parse(text).unwrap();
    assert_eq!(resolver.signed(&domain("www.example")).await, Signed::Yes("example".to_owned()));
    let (address, _server) = serve(vec![("www.example.".to_owned(), RData::A(A::new(192, 0, 2, 1)))]).await;
    let resolver = self::resolver(address);
    assert_eq!(resolver.signed(&domain("www.example")).await, Signed::No("example".to_owned()));
    assert!(matches!(resolver.signed(&domain("www.elsewhere")).await, Signed::Unknown(_)));
}

/// Any digest does: whether it fits is not ours to say.
fn ds() -> RData {
    let data = [&[0x30, 0x39, 13, 2][..], &[0xab; 32]].concat();
    RData::Unknown { code: RecordType::DS, rdata: NULL::with(data) }
}
