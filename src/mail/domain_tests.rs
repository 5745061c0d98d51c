use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<String, DomainError> {
    Domain::parse(text).map(|domain| domain.as_str().to_owned())
}

#[test]
fn a_domain_has_one_form() {
    for (text, form) in [
        ("woodgrovebank.example", "woodgrovebank.example"),
        ("WoodgroveBank.EXAMPLE", "woodgrovebank.example"),
        ("b\u{fc}cher.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("\u{ff45}xample.example", "example.example"),
        ("a\u{3002}example", "a.example"),
        ("_mta.example", "_mta.example"),
    ] {
        assert_eq!(parse(text).as_deref(), Ok(form), "{text}");
    }
}

#[test]
fn texts_that_are_no_domain() {
    let long_label = format!("{}.example", "a".repeat(64));
    let long = ["a".repeat(60).as_str(); 5].join(".");
    for text in [
        "",
        ".",
        "a.",
        "a..b",
        ".a",
        "-a.example",
        "a-.example",
        "a b.example",
        "a\0.example",
        "a\r\n.example",
        "xn--a.example",
        "a.example\u{3002}",
        &long_label,
        &long,
    ] {
        assert!(parse(text).is_err(), "{text:?}");
    }
    assert_eq!(parse("a."), Err(DomainError::TrailingDot));
    assert_eq!(Domain::parse_rooted("a.example.").unwrap().as_str(), "a.example");
    assert!(Domain::parse_rooted("a.example..").is_err());
}

#[test]
fn a_subdomain_is_another_domain_that_lies_below() {
    let domain = |text| Domain::parse(text).unwrap();
    assert!(domain("mail.b.example").is_below(&domain("b.example")));
    assert!(domain("x.mail.b.example").is_below(&domain("b.example")));
    assert!(!domain("b.example").is_below(&domain("b.example")));
    assert!(!domain("evilb.example").is_below(&domain("b.example")));
}

proptest! {
    #[test]
    fn the_form_is_stable_and_safe(text in "(\\PC|[a-zA-Z.-]){0,24}") {
        if let Ok(form) = parse(&text) {
            prop_assert!(form.len() <= 253);
            prop_assert!(form.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.')));
            prop_assert_eq!(parse(&form), Ok(form));
        }
    }
}
