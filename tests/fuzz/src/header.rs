//! Header sections: no panic, the fields together are the section, the collector agrees with the
//! whole, and nothing forged passes the firewall.

use sealpost::mail::Domain;
use sealpost::mail::header::{Field, HeadCollector, HeadStatus, HeaderSection, split};
use sealpost::policy::header_firewall::{self, Ours};

pub fn run(input: &[u8]) {
    let (head, body) = split(input);
    let section = HeaderSection::new(head);
    let fields: Vec<u8> = section.fields().flat_map(|field| field.raw().to_vec()).collect();
    assert_eq!(fields, head);
    let _ = section.from_domains();
    assert!(section.received_count() <= section.fields().count());

    let hostname = Domain::parse("mx.contoso.example").expect("a domain");
    let passed = header_firewall::incoming(head, false, Ours { hostname: &hostname, signing: None });
    let passed = HeaderSection::new(&passed);
    assert!(passed.find("Domain-Secured").is_none());
    assert!(passed.fields().all(|field| {
        field.name() != "authentication-results" || !field.value().starts_with(b"mx.contoso.example;")
    }));
    assert!(!passed.fields().next().is_some_and(Field::is_orphan));

    let mut collector = HeadCollector::new(input.len());
    let mut consumed = 0;
    for piece in input.chunks(3) {
        match collector.push(piece) {
            HeadStatus::More => consumed += piece.len(),
            HeadStatus::Complete { consumed: of_piece } => {
                consumed += of_piece;
                break;
            }
            HeadStatus::TooLong => unreachable!("the limit is the whole input"),
        }
    }
    assert_eq!((consumed, &collector.finish().fields[..]), (body, head));
}
