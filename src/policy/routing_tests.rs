//! Ways to a domain as DNS can describe them.

use proptest::prelude::*;

use super::*;

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn records(list: &[(u16, &str)]) -> MxAnswer {
    MxAnswer::Records(list.iter().map(|(preference, name)| (*preference, (*name).to_owned())).collect())
}

/// Hosts, or the reply's codes, for x.example; we are mail.contoso.example and mx9.x.example.
fn planned(answer: MxAnswer) -> String {
    let own = [domain("mail.contoso.example"), domain("mx9.x.example")];
    match plan(&domain("x.example"), answer, 25, &own, <[HostTarget]>::reverse) {
        Plan::Hosts(hosts) => hosts.iter().map(HostTarget::to_string).collect::<Vec<_>>().join(" "),
        Plan::Bounce(reply) => format!("bounce {} {}", reply.code, reply.enhanced.unwrap()),
        Plan::Defer(reply) => format!("defer {} {}", reply.code, reply.enhanced.unwrap()),
    }
}

#[test]
fn every_answer_of_dns_has_its_plan() {
    let table = [
        (records(&[(20, "b.x.example"), (10, "a.x.example")]), "a.x.example:25 b.x.example:25"),
        // Equal preference goes through the shuffle, which here reverses.
        (
            records(&[(10, "a.x.example"), (10, "b.x.example"), (20, "c.x.example")]),
            "b.x.example:25 a.x.example:25 c.x.example:25",
        ),
        (records(&[(10, "A.x.example."), (10, "a.X.example")]), "a.x.example:25"),
        // A host of another script has one name, whichever way DNS writes it.
        (records(&[(10, "xn--bcher-kva.x.example")]), "xn--bcher-kva.x.example:25"),
        (records(&[(10, "XN--BCHER-KVA.x.example"), (20, "bücher.x.example")]), "xn--bcher-kva.x.example:25"),
        // Null MX means nothing beside others (RFC 7505 3).
        (records(&[(0, ""), (10, "a.x.example")]), "a.x.example:25"),
        (MxAnswer::NoRecords, "x.example:25"),
        (MxAnswer::NullMx, "bounce 556 5.1.10"),
        (MxAnswer::NoSuchDomain, "bounce 550 5.1.2"),
        (MxAnswer::Temporary("timeout".into()), "defer 451 4.4.3"),
        // Addresses, the root and nonsense are no hosts.
        (records(&[(5, "192.0.2.1"), (6, "2001:db8::1"), (7, ""), (8, "a.x.example")]), "a.x.example:25"),
        (records(&[(5, "192.0.2.1."), (6, "-bad-.example")]), "bounce 550 5.4.4"),
        (MxAnswer::Records(Vec::new()), "bounce 550 5.4.4"),
        // Ourselves: only better exchanges remain.
        (
            records(&[(10, "a.x.example"), (20, "MX9.x.example"), (20, "b.x.example"), (30, "c.x.example")]),
            "a.x.example:25",
        ),
        (records(&[(10, "mx9.x.example"), (20, "b.x.example")]), "bounce 554 5.4.6"),
    ];
    for (answer, expected) in table {
        let shown = format!("{answer:?}");
        assert_eq!(planned(answer), expected, "{shown}");
    }
}

#[test]
fn a_domain_without_mx_that_is_our_own_host_name_loops() {
    let own = [domain("mail.contoso.example")];
    let planned = plan(&own[0], MxAnswer::NoRecords, 25, &own, |_| ());
    let Plan::Bounce(reply) = planned else { panic!("{planned:?}") };
    assert_eq!(reply.enhanced.unwrap().to_string(), "5.4.6");
}

#[test]
fn of_many_records_the_best_are_kept() {
    let many = (0..500).rev().map(|i| (i, format!("mx{i}.x.example"))).collect();
    let Plan::Hosts(hosts) = plan(&domain("x.example"), MxAnswer::Records(many), 25, &[], |_| ()) else {
        panic!("no hosts")
    };
    assert_eq!(hosts.len(), MX_RECORDS_MAX);
    assert_eq!(hosts[0].name, "mx0.x.example");
}

#[test]
fn literals_keep_their_address() {
    for address in ["192.0.2.1", "2001:db8::1"] {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(HostTarget::literal(address, 25).as_literal(), Some(address));
    }
    assert_eq!(HostTarget::literal("2001:db8::1".parse().unwrap(), 25).name, "[IPv6:2001:db8::1]");
    assert_eq!(HostTarget { name: "mx.x.example".into(), port: 25 }.as_literal(), None);
}

#[test]
fn we_are_never_our_own_next_hop() {
    const OURSELVES: Option<&str> = Some("5.4.6");
    const UNREACHABLE: Option<&str> = Some("5.4.4");
    let table = [
        // Target, bindings, from DNS, refused with.
        ("192.0.2.9:25", "0.0.0.0:25", true, None),
        ("192.0.2.1:25", "0.0.0.0:25", true, OURSELVES),
        ("192.0.2.1:25", "0.0.0.0:25", false, OURSELVES),
        ("192.0.2.1:587", "0.0.0.0:25", true, None),
        ("127.0.0.1:25", "0.0.0.0:25", true, OURSELVES),
        ("127.0.0.1:10025", "0.0.0.0:25", true, UNREACHABLE),
        ("127.0.0.1:10025", "0.0.0.0:25", false, None),
        ("0.0.0.0:10025", "192.0.2.1:25", true, UNREACHABLE),
        ("0.0.0.0:25", "127.0.0.1:25", true, OURSELVES),
        ("[::ffff:192.0.2.1]:25", "0.0.0.0:25", true, OURSELVES),
        ("[::ffff:127.0.0.1]:10025", "0.0.0.0:25", true, UNREACHABLE),
        ("[::]:25", "[::1]:25", true, OURSELVES),
        ("[2001:db8::1]:25", "[::]:25", true, OURSELVES),
        // IPv6 bindings are v6-only.
        ("192.0.2.1:25", "[::]:25", true, None),
        ("[2001:db8::1]:25", "0.0.0.0:25", true, None),
        // All on loopback, as in a demonstration: other ports are other servers.
        ("127.0.0.1:2526", "127.0.0.1:2525", true, None),
        ("127.0.0.2:2525", "127.0.0.1:2525", true, None),
        ("127.0.0.1:2525", "127.0.0.1:2525", true, OURSELVES),
    ];
    let local = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    for (target, binding, from_dns, expected) in table {
        let bindings = [binding.parse().unwrap()];
        let refused = refuse_target(target.parse().unwrap(), &bindings, &local, from_dns);
        let code = refused.map(|reply| reply.enhanced.unwrap().to_string());
        assert_eq!(code.as_deref(), expected, "{target} with {binding}");
    }
}

proptest! {
    #[test]
    fn hosts_stand_by_preference_and_ourselves_never_among_them(
        list in proptest::collection::vec((0u16..5, "[a-e]|mx9"), 0..20)
    ) {
        let rank = |host: &str| list.iter().filter(|(_, name)| format!("{name}.x.example") == host)
            .map(|(preference, _)| *preference).min();
        let answer = list.iter().map(|(preference, name)| (*preference, format!("{name}.x.example"))).collect();
        let own = [domain("mx9.x.example")];
        let limit = rank("mx9.x.example").unwrap_or(u16::MAX);
        if let Plan::Hosts(hosts) = plan(&domain("x.example"), MxAnswer::Records(answer), 25, &own, |_| ()) {
            let ranks: Vec<_> = hosts.iter().map(|host| rank(&host.name).unwrap()).collect();
            prop_assert!(ranks.is_sorted());
            prop_assert!(ranks.iter().all(|rank| *rank < limit));
        }
    }
}

#[test]
fn the_families_of_one_host_take_turns() {
    let ips = |text: &str| text.split_whitespace().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
    let table = [
        ("", ""),
        ("192.0.2.1 192.0.2.2", "192.0.2.1 192.0.2.2"),
        ("192.0.2.1 192.0.2.2 192.0.2.3 ::1 ::2", "192.0.2.1 ::1 192.0.2.2 ::2 192.0.2.3"),
        ("::1 ::2 192.0.2.1", "::1 192.0.2.1 ::2"),
    ];
    for (given, expected) in table {
        assert_eq!(by_turns(&ips(given)), ips(expected), "{given}");
    }
}
