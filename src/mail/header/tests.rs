use proptest::prelude::*;

use super::*;
use crate::mail::Domain;

const HEAD: &[u8] =
    b"Received: from a\r\n\tby b\r\nSubject : x\r\n y\r\nRECEIVED:c\r\nno field\r\nFrom: <a@b.example>\r\n";

fn from(value: &str) -> FromDomains {
    let head = format!("From: {value}\r\n");
    HeaderSection::new(head.as_bytes()).from_domains()
}

fn domains(names: &[&str]) -> Vec<Domain> {
    names.iter().map(|name| Domain::parse(name).unwrap()).collect()
}

#[test]
fn only_an_empty_line_ends_the_section() {
    assert_eq!(split(b"A: b\r\n\r\nbody"), (&b"A: b\r\n"[..], 8));
    assert_eq!(split(b"\r\nbody"), (&b""[..], 2));
    assert_eq!(split(b"A: b\r\n"), (&b"A: b\r\n"[..], 6));
    assert_eq!(split(b"A: b\r\njunk\r\n \r\nC: d\r\n\r\n\r\n"), (&b"A: b\r\njunk\r\n \r\nC: d\r\n"[..], 23));
}

#[test]
fn fields_names_and_values() {
    let section = HeaderSection::new(HEAD);
    let names: Vec<String> = section.fields().map(Field::name).collect();
    assert_eq!(names, ["received", "subject", "received", "", "from"]);
    assert_eq!(section.find("SUBJECT").unwrap().value(), b"x y");
    assert_eq!(section.find("Received").unwrap().raw(), b"Received: from a\r\n\tby b\r\n");
    assert_eq!(section.received_count(), 2);
    assert!(section.find("Date").is_none());
}

#[test]
fn a_name_is_found_through_blanks_and_folds() {
    for head in
        ["X-Y: z\r\n", "x-y:z\r\n", "X-Y : z\r\n", "X-Y\t \t: z\r\n", "X-Y\r\n : z\r\n", "X-\r\n\tY: z\r\n"]
    {
        let section = HeaderSection::new(head.as_bytes());
        assert!(section.find("X-Y").is_some(), "{head:?}");
    }
}

#[test]
fn a_folded_line_at_the_start_belongs_to_no_field() {
    let mut fields = HeaderSection::new(b" From: a@b.example\r\nA: b\r\n").fields();
    let orphan = fields.next().unwrap();
    assert!(orphan.is_orphan());
    assert_eq!(orphan.name(), "");
    assert_eq!(fields.next().unwrap().name(), "a");
}

#[test]
fn removing_fields_leaves_the_others_as_they_are() {
    let kept = HeaderSection::new(HEAD).without(|name| name == "received");
    assert_eq!(kept, b"Subject : x\r\n y\r\nno field\r\nFrom: <a@b.example>\r\n");
}

#[test]
fn the_domains_of_from() {
    for (value, expected) in [
        ("a@B.Example", &["b.example"][..]),
        ("Ann <a@b.example>", &["b.example"]),
        ("<a@b.example>, c@d.example, a2@b.example", &["b.example", "d.example"]),
        ("\"ceo@woodgrove.example\" <a@b.example>", &["b.example"]),
        ("\"x, y\" <a@b.example>", &["b.example"]),
        ("=?utf-8?q?ceo=40woodgrove.example?= <a@b.example>", &["b.example"]),
        ("(ceo@woodgrove.example (nested)) a@b.example (x\\)y)", &["b.example"]),
        ("\"a@c.example\"@b.example", &["b.example"]),
        ("a @ b . example", &["b.example"]),
        ("<@relay.example,@two.example:a@b.example>", &["b.example"]),
        ("Group: a@b.example, C <c@d.example>; , e@f.example", &["b.example", "d.example", "f.example"]),
        ("undisclosed:;", &[]),
        ("a@[192.0.2.1]", &[]),
        ("a@b.example.", &["b.example"]),
        ("J\u{f6}rg <j@b\u{fc}cher.example>", &["xn--bcher-kva.example"]),
        ("a@b.example,", &["b.example"]),
    ] {
        assert_eq!(from(value), FromDomains { domains: domains(expected), unparsable: false }, "{value}");
    }
}

#[test]
fn what_cannot_be_read_is_flagged_and_the_rest_still_found() {
    for (value, expected) in [
        ("", &[][..]),
        ("nobody", &[]),
        ("=?utf-8?q?a=40b.example?=", &[]),
        ("a@", &[]),
        ("\"a@b.example", &[]),
        ("(a@b.example", &[]),
        ("<a@b.example", &["b.example"]),
        ("@b.example", &["b.example"]),
        ("ceo@woodgrove.example <a@b.example>", &["woodgrove.example", "b.example"]),
        ("a@b.example junk, c@d.example", &["b.example", "d.example"]),
        ("<a@b.example> junk", &["b.example"]),
        ("<a@b.example> <c@d.example>", &["b.example", "d.example"]),
        ("a@woodgrove.example@b.example", &["b.example"]),
        ("<a@b.example:c@d.example>", &["d.example"]),
        ("junk, c@d.example", &["d.example"]),
        ("a@b..example, c@d.example", &["d.example"]),
    ] {
        let found = from(value);
        assert_eq!(found.domains, domains(expected), "{value}");
        assert!(found.unparsable, "{value}");
    }
}

#[test]
fn all_from_fields_count() {
    let head = b"From: a@b.example\r\nfrom\t: c@d.example\r\n";
    assert_eq!(HeaderSection::new(head).from_domains().domains, domains(&["b.example", "d.example"]));
    assert_eq!(HeaderSection::new(b"To: a@b.example\r\n").from_domains(), FromDomains::default());
}

#[test]
fn only_one_plain_no_waives_tls() {
    for (head, waives) in [
        ("TLS-Required: No\r\n", true),
        ("tls-required:\r\n no\r\n", true),
        ("TLS-Required: Yes\r\n", false),
        ("TLS-Required:\r\n", false),
        ("TLS-Required: No, really\r\n", false),
        ("TLS-Required: No\r\nTLS-Required: No\r\n", false),
        ("X-TLS-Required: No\r\n", false),
        ("", false),
    ] {
        assert_eq!(HeaderSection::new(head.as_bytes()).waives_tls(), waives, "{head:?}");
    }
}

#[test]
fn deeply_nested_comments_end_the_reading() {
    assert!(from(&"(".repeat(100_000)).unparsable);
}

#[test]
fn a_section_is_collected_up_to_its_limit() {
    let mut collector = HeadCollector::new(6);
    assert_eq!(collector.push(b"A: b\r\n\r\nbody"), HeadStatus::Complete { consumed: 8 });
    assert_eq!(collector.finish(), CollectedHead { fields: b"A: b\r\n".to_vec(), empty_line: true });
    assert_eq!(HeadCollector::new(5).push(b"A: b\r\n\r\nbody"), HeadStatus::TooLong);
    let mut endless = HeadCollector::new(1000);
    assert!((0..1000).any(|_| endless.push(b"X: y\r\n") == HeadStatus::TooLong));
    assert_eq!(endless.push(b"\r\n"), HeadStatus::TooLong);
}

#[test]
fn a_message_of_fields_alone_is_all_section() {
    let mut collector = HeadCollector::new(100);
    assert_eq!(collector.push(b"A: b\r\n"), HeadStatus::More);
    assert_eq!(collector.finish(), CollectedHead { fields: b"A: b\r\n".to_vec(), empty_line: false });
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just("\r\n".to_owned()),
        Just("\r\n\r\n".to_owned()),
        "[A-Z]{1,3} ?: ?[a-z@.<>,\"()]{0,8}\r\n",
        "[ \t][a-z:]{0,5}\r\n",
        "[a-z\r\n]{0,4}",
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #[test]
    fn the_fields_together_are_the_section(content in octets()) {
        let (head, body) = split(&content);
        let fields: Vec<u8> = HeaderSection::new(head).fields().flat_map(|field| field.raw().to_vec()).collect();
        prop_assert_eq!(&fields, head);
        prop_assert_eq!(HeaderSection::new(head).without(|_| false), head);
        prop_assert!(body <= content.len());
    }

    #[test]
    fn no_from_makes_it_panic(value: Vec<u8>, text in "[a-z@.<>,;:\"()\\\\ \\[\\]]{0,40}") {
        let mut found = FromDomains::default();
        found.read(&value);
        found.read(text.as_bytes());
    }

    #[test]
    fn the_collector_agrees_with_split_however_the_content_is_cut(
        content in octets(),
        cuts in proptest::collection::vec(1usize..5, 0..60),
        limit in 0usize..60,
    ) {
        let (head, body) = split(&content);
        let mut collector = HeadCollector::new(limit);
        let (mut consumed, mut rest) = (0, &content[..]);
        let mut status = HeadStatus::More;
        for cut in cuts.into_iter().chain([content.len()]) {
            let (piece, tail) = rest.split_at(cut.min(rest.len()));
            status = collector.push(piece);
            match status {
                HeadStatus::More => consumed += piece.len(),
                HeadStatus::Complete { consumed: of_piece } => consumed += of_piece,
                HeadStatus::TooLong => {}
            }
            if status != HeadStatus::More {
                break;
            }
            rest = tail;
        }
        if status == HeadStatus::TooLong {
            prop_assert!(head.len() > limit);
        } else {
            prop_assert_eq!(consumed, body);
            prop_assert_eq!(collector.finish().fields, head);
        }
    }
}
