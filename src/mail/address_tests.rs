use proptest::prelude::*;

use super::*;

#[test]
fn mailboxes_that_are_read_and_written_back() {
    for text in [
        "a@b.example",
        "first.last+tag@b.example",
        "!#$%&'*+-/=?^_`{|}~@b.example",
        "\"\"@b.example",
        "\"x y\"@b.example",
        "\"a@c.example\"@b.example",
        "\"a\\\"b\\\\\"@b.example",
        "a@[192.0.2.1]",
        "a@[IPv6:2001:db8::1]",
        "j\u{f6}rg@b.example",
    ] {
        assert_eq!(Address::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn the_host_is_compared_in_one_form() {
    let address = Address::parse("a@B\u{dc}CHER.Example").unwrap();
    assert_eq!(address.domain().unwrap().as_str(), "xn--bcher-kva.example");
    assert!(!address.needs_smtputf8(), "an A-label needs nothing");
    assert_eq!(Address::parse("a@[ipv6:2001:DB8:0::1]").unwrap().to_string(), "a@[IPv6:2001:db8::1]");
    assert_eq!(Address::parse("\"a@c.example\"@b.example").unwrap().domain().unwrap().as_str(), "b.example");
}

#[test]
fn texts_that_are_no_mailbox() {
    let long = format!("{}@b.example", "a".repeat(65));
    for (text, error) in [
        ("", AddressError::NoAt),
        ("postmaster", AddressError::NoAt),
        ("@b.example", AddressError::BadLocalPart),
        (".a@b.example", AddressError::BadLocalPart),
        ("a.@b.example", AddressError::BadLocalPart),
        ("a..b@b.example", AddressError::BadLocalPart),
        ("a b@b.example", AddressError::BadLocalPart),
        ("a\r\n@b.example", AddressError::BadLocalPart),
        ("\"@b.example", AddressError::BadLocalPart),
        ("\"a\"b@b.example", AddressError::BadLocalPart),
        ("\"a\\\"@b.example", AddressError::BadLocalPart),
        ("\"a\r\nb\"@b.example", AddressError::BadLocalPart),
        ("\"a\0\"@b.example", AddressError::BadLocalPart),
        ("a@c.example@b.example", AddressError::BadLocalPart),
        (long.as_str(), AddressError::BadLocalPart),
        ("a@[192.0.2]", AddressError::BadLiteral),
        ("a@[192.0.2.1", AddressError::BadLiteral),
        ("a@[2001:db8::1]", AddressError::BadLiteral),
        ("a@[IPv6:192.0.2.1]", AddressError::BadLiteral),
        ("a@", AddressError::BadDomain(DomainError::Empty)),
        ("a@b.example.", AddressError::BadDomain(DomainError::TrailingDot)),
    ] {
        assert_eq!(Address::parse(text), Err(error), "{text:?}");
    }
}

proptest! {
    #[test]
    fn an_address_survives_being_written_and_holds_nothing_that_breaks_a_line(text in "\\PC{0,20}@[a-z.\\[\\]0-9:\u{fc}]{0,20}") {
        if let Ok(address) = Address::parse(&text) {
            let written = address.to_string();
            prop_assert!(!written.chars().any(char::is_control));
            prop_assert_eq!(Address::parse(&written), Ok(address));
        }
    }
}
