//! Against a name server that says of some zones that it has validated them.

use super::*;
use crate::cli::demo::dns::{DnsServer, Zone};
use crate::policy::{DnsSettings, Dnssec};
use crate::trust::tlsa::TlsaRecord;

const DIGEST: [u8; 32] = [7; 32];

fn zone() -> Zone {
    Zone::default()
        .signed("signed.example")
        .mx("signed.example", 10, "mx.signed.example")
        .mx("plain.example", 10, "mx.signed.example")
        .address("mx.signed.example", [192, 0, 2, 1])
        .tlsa("_25._tcp.mx.signed.example", [3, 1, 1], &DIGEST)
        .address("bare.signed.example", [192, 0, 2, 1])
        .address("bogus.signed.example", [192, 0, 2, 1])
        .failing("_25._tcp.bogus.signed.example")
        // Records in a zone that nobody signed count as none.
        .address("mx.plain.example", [192, 0, 2, 1])
        .tlsa("_25._tcp.mx.plain.example", [3, 1, 1], &DIGEST)
        // An alias, the whole way secure; one whose end is not; one whose own name has the records.
        .alias("alias.signed.example", "mx.signed.example")
        .alias("out.signed.example", "mx.plain.example")
        .tlsa("_25._tcp.out.signed.example", [3, 0, 1], &DIGEST)
        .alias("own.signed.example", "bare.signed.example")
        .tlsa("_25._tcp.own.signed.example", [2, 0, 1], &DIGEST)
        .alias("alias.plain.example", "mx.signed.example")
}

async fn found(resolver: &Resolver, host: &str) -> TlsaAnswer {
    let answer = resolver.host(host).await;
    look_up(resolver, host, 25, &answer, &[]).await
}

fn records(base: &str, numbers: [u8; 3]) -> TlsaAnswer {
    let [usage, selector, matching] = numbers;
    let record = TlsaRecord { usage, selector, matching, data: DIGEST.to_vec() };
    TlsaAnswer::Records { base: Domain::parse(base).unwrap(), names: Vec::new(), records: vec![record] }
}

async fn resolver(dnssec: Dnssec) -> (Resolver, DnsServer) {
    let dns = DnsServer::start(&zone()).await.unwrap();
    (Resolver::new(&DnsSettings { servers: vec![dns.address()], dnssec }).unwrap(), dns)
}

#[tokio::test]
async fn records_count_only_behind_answers_that_are_secure() {
    // The name server is on loopback, so its word counts by itself.
    let (resolver, _dns) = resolver(Dnssec::Auto).await;
    let table = [
        ("mx.signed.example", records("mx.signed.example", [3, 1, 1])),
        ("bare.signed.example", TlsaAnswer::None),
        ("mx.plain.example", TlsaAnswer::NotApplicable),
        ("own.signed.example", records("own.signed.example", [2, 0, 1])),
    ];
    for (host, expected) in table {
        assert_eq!(found(&resolver, host).await, expected, "{host}");
    }
    let bogus = found(&resolver, "bogus.signed.example").await;
    assert!(matches!(bogus, TlsaAnswer::Failed(_)), "{bogus:?}");
}

#[tokio::test]
async fn a_host_that_is_an_alias_has_the_records_of_its_end_or_its_own() {
    let (resolver, _dns) = resolver(Dnssec::Auto).await;
    let at_the_end = found(&resolver, "alias.signed.example").await;
    assert_eq!(at_the_end, records("mx.signed.example", [3, 1, 1]));
    // Its end lies in a zone that nobody signed: the host's own records are all there is.
    let its_own = found(&resolver, "out.signed.example").await;
    assert_eq!(its_own, records("out.signed.example", [3, 0, 1]));
    // Not even the alias can be believed.
    assert_eq!(found(&resolver, "alias.plain.example").await, TlsaAnswer::NotApplicable);
}

#[tokio::test]
async fn whose_word_counts_is_a_setting() {
    for (dnssec, had) in [(Dnssec::Off, false), (Dnssec::TrustedResolver, true), (Dnssec::Auto, true)] {
        let (resolver, _dns) = resolver(dnssec).await;
        assert_eq!(resolver.has_dnssec(), had, "{dnssec:?}");
        let signed = resolver.exchangers(&Domain::parse("signed.example").unwrap()).await;
        assert_eq!(signed.secure, had, "{dnssec:?}");
        // Asked again, from the memory.
        let signed = resolver.exchangers(&Domain::parse("signed.example").unwrap()).await;
        assert_eq!(signed.secure, had, "{dnssec:?}");
        let plain = resolver.exchangers(&Domain::parse("plain.example").unwrap()).await;
        assert!(!plain.secure, "an MX that is not secure leads to no DANE, {dnssec:?}");
    }
    let far = DnsSettings { servers: vec!["192.0.2.53:53".parse().unwrap()], dnssec: Dnssec::Auto };
    assert!(!Resolver::new(&far).unwrap().has_dnssec(), "on the way from there anybody may write");
}
