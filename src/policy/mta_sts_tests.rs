use proptest::prelude::*;

use super::*;

const GOOD: &str =
    "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.com\r\nmx: *.mx.example.net\r\nmax_age: 604800\r\n";

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

#[test]
fn a_policy_is_read_as_the_rfc_writes_it() {
    let policy = StsPolicy::parse(GOOD.as_bytes()).unwrap();
    assert_eq!(policy.mode, StsMode::Enforce);
    assert_eq!(policy.max_age, Duration::from_secs(604_800));
    assert_eq!(policy.hosts(), "mx1.example.com, *.mx.example.net");
    // Bare line feeds, blanks, keys of later versions, another order, the first of two.
    let odd = "max_age: 86400\n\nfuture: anything: at all\nmx : mx.example.com.\nmode:testing\nmode: none\nversion: STSv1";
    let policy = StsPolicy::parse(odd.as_bytes()).unwrap();
    assert_eq!((policy.mode, policy.hosts().as_str()), (StsMode::Testing, "mx.example.com"));
    let retired = StsPolicy::parse(b"version: STSv1\nmode: none\nmax_age: 86400\n").unwrap();
    assert_eq!(retired.mode, StsMode::None);
    let forever = StsPolicy::parse(b"version: STSv1\nmode: none\nmax_age: 9999999999\n").unwrap();
    assert_eq!(forever.max_age, Duration::from_secs(31_557_600));
}

#[test]
fn what_is_no_policy_says_why() {
    let with = |from: &str, to: &str| StsPolicy::parse(GOOD.replace(from, to).as_bytes());
    assert_eq!(with("STSv1", "STSv2"), Err(StsPolicyError::Version));
    assert_eq!(with("version: STSv1\r\n", ""), Err(StsPolicyError::Version));
    assert_eq!(with("enforce", "Enforce"), Err(StsPolicyError::Mode));
    assert_eq!(with("mode: enforce", "colour: blue"), Err(StsPolicyError::Mode));
    assert_eq!(with("604800", "one week"), Err(StsPolicyError::MaxAge));
    assert_eq!(with("604800", "-1"), Err(StsPolicyError::MaxAge));
    assert_eq!(with("604800", "12345678901"), Err(StsPolicyError::MaxAge));
    assert_eq!(with("*.mx.", "mx.*."), Err(StsPolicyError::Mx));
    assert_eq!(with("mx1.example.com", ""), Err(StsPolicyError::Mx));
    assert_eq!(with("mx: ", "nx: "), Err(StsPolicyError::NoMx));
    assert_eq!(with("mode: enforce", "<html>"), Err(StsPolicyError::BadLine(2)));
    assert_eq!(StsPolicy::parse(b"\xff"), Err(StsPolicyError::NotText));
    let flood = format!("{GOOD}{}", "mx: a.example\n".repeat(STS_MX_PATTERNS_MAX));
    assert_eq!(StsPolicy::parse(flood.as_bytes()), Err(StsPolicyError::TooManyMx));
}

#[test]
fn a_host_is_named_whole_or_by_its_first_label() {
    let policy = StsPolicy::parse(GOOD.as_bytes()).unwrap();
    for (host, named) in [
        ("mx1.example.com", true),
        ("MX1.example.COM", true),
        ("mx2.example.com", false),
        ("a.mx1.example.com", false),
        ("a.mx.example.net", true),
        ("b.a.mx.example.net", false),
        ("mx.example.net", false),
        ("amx.example.net", false),
        ("xn--bcher-kva.mx.example.net", true),
        ("bücher.mx.example.net", true),
    ] {
        assert_eq!(policy.names(&domain(host)), named, "{host}");
    }
}

#[test]
fn the_txt_record_gives_the_id_or_nothing() {
    let table: &[(&[&str], Option<&str>)] = &[
        (&["v=STSv1; id=20160831085700Z;"], Some("20160831085700Z")),
        (&["v=STSv1;id=1"], Some("1")),
        (&["v=STSv1 ; extra=2; id=abc ;"], Some("abc")),
        (&["v=spf1 -all", "v=STSv1; id=2"], Some("2")),
        (&["v=STSv1; id=1", "v=STSv1; id=2"], None),
        (&["v=STSv1; id="], None),
        (&["v=STSv1"], None),
        (&["v=STSv12; id=1"], None),
        (&["V=stsv1; id=1"], None),
        (&["v=STSv1; id=not-alphanumeric"], None),
        (&["v=STSv1; id=123456789012345678901234567890123"], None),
        (&["something"], None),
        (&[], None),
    ];
    for (records, id) in table {
        let records: Vec<String> = records.iter().map(|&record| record.to_owned()).collect();
        assert_eq!(policy_id(&records), *id, "{records:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_a_server_sends_is_read_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(policy) = StsPolicy::parse(&octets) {
            prop_assert!(policy.mode == StsMode::None || !policy.mx.is_empty());
        }
    }

    #[test]
    fn lines_of_known_keys_are_read_or_refused(
        lines in proptest::collection::vec(("(version|mode|mx|max_age|x)?", ":? ?", "[ -~]{0,20}"), 0..12),
    ) {
        let text: String = lines.iter().map(|(key, colon, value)| format!("{key}{colon}{value}\n")).collect();
        let _ = StsPolicy::parse(text.as_bytes());
        let _ = policy_id(&[text]);
    }

    /// What is kept on disk is the same policy when it is read again.
    #[test]
    fn a_policy_survives_being_written_down(
        mode in prop_oneof![Just("enforce"), Just("testing"), Just("none")],
        hosts in proptest::collection::vec("(\\*\\.)?[a-z]{1,8}\\.[a-z]{2,8}", 1..5),
        max_age in 0u64..40_000_000,
    ) {
        let mx: String = hosts.iter().map(|host| format!("mx: {host}\n")).collect();
        let text = format!("version: STSv1\nmode: {mode}\n{mx}max_age: {max_age}\n");
        let policy = StsPolicy::parse(text.as_bytes()).unwrap();
        let written = policy.lines().join("\n");
        prop_assert_eq!(StsPolicy::parse(written.as_bytes()).unwrap(), policy);
    }
}
