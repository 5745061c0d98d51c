use proptest::prelude::*;

use super::*;
use crate::mail::Address;
use crate::mail::dsn::request::{EnvelopeId, Notify, OriginalRecipient, Return};
use crate::smtp::sasl::Mechanisms;
use crate::smtp::{Limits, SizeLimit};

fn offered() -> Extensions {
    Extensions {
        pipelining: true,
        size: SizeLimit::Limit(1000),
        eight_bit_mime: true,
        chunking: true,
        binary_mime: true,
        smtputf8: true,
        enhanced_status_codes: true,
        starttls: true,
        dsn: true,
        requiretls: true,
        limits: Limits::default(),
        auth: Mechanisms { plain: true, ..Mechanisms::default() },
    }
}

fn parse(line: &str) -> Result<Command, SyntaxError> {
    Command::parse(line.as_bytes(), &offered())
}

fn mail(path: &str, params: MailParams) -> Result<Command, SyntaxError> {
    let path = if path.is_empty() { ReversePath::Null } else { ReversePath::Address(address(path)) };
    Ok(Command::Mail { path, params })
}

fn rcpt(path: &str) -> Result<Command, SyntaxError> {
    Ok(Command::Rcpt { path: ForwardPath::Address(address(path)), dsn: RecipientRequest::default() })
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// The start of the reply to a line that must be refused.
fn refusal(line: &[u8]) -> String {
    let reply = Command::parse(line, &offered()).expect_err("the line must be refused").reply();
    format!("{} {}", reply.code, reply.enhanced.unwrap())
}

#[test]
fn what_is_said_to_authenticate_is_read_and_not_written() {
    for (line, initial) in
        [("AUTH plain", None), ("auth PLAIN =", Some("")), ("AUTH PLAIN AGEAYg==", Some("\0a\0b"))]
    {
        let initial = initial.map(Secret::new);
        let hidden = if initial.is_some() { " <authentication data>" } else { "" };
        let command = parse(line).unwrap();
        assert_eq!(command, Command::Auth { mechanism: "PLAIN".to_owned(), initial });
        assert_eq!(command.to_string(), format!("AUTH PLAIN{hidden}"));
        assert!(!format!("{command:?}").contains("AGEAYg"));
    }
    for known in ["AUTH=<>", "AUTH=a+2Bb@c.example"] {
        assert!(parse(&format!("MAIL FROM:<a@b.example> {known}")).is_ok(), "{known}");
    }
}

#[test]
fn every_command_in_any_case_and_with_blanks_at_its_end() {
    for (line, command) in [
        ("DATA", Command::Data),
        ("data  ", Command::Data),
        ("rSeT", Command::Rset),
        ("NOOP", Command::Noop),
        ("NOOP anything at all", Command::Noop),
        ("QUIT ", Command::Quit),
        ("VRFY user", Command::Vrfy),
        ("BDAT 0", Command::Bdat(Chunk { octets: 0, last: false })),
        ("bdat 00017 last ", Command::Bdat(Chunk { octets: 17, last: true })),
        ("BDAT 18446744073709551615 LAST", Command::Bdat(Chunk { octets: u64::MAX, last: true })),
        ("HELP", Command::Help),
        ("HELP mail", Command::Help),
        ("StartTls", Command::StartTls),
    ] {
        assert_eq!(parse(line), Ok(command), "{line}");
    }
}

#[test]
fn helo_names_that_are_taken() {
    for name in
        ["mx.example", "MX_1.example", "192.0.2.1", "[192.0.2.1]", "[IPv6:2001:db8::1]", "localhost", "a.b."]
    {
        assert_eq!(parse(&format!("EHLO {name}")), Ok(Command::Ehlo(HeloName(name.to_owned()))));
        assert_eq!(parse(&format!("helo {name} ")), Ok(Command::Helo(HeloName(name.to_owned()))));
    }
}

#[test]
fn paths_that_are_taken() {
    let none = MailParams::default;
    assert_eq!(parse("MAIL FROM:<>"), mail("", none()));
    assert_eq!(parse("mail from:<a@b.example>"), mail("a@b.example", none()));
    assert_eq!(parse("MAIL FROM: <a@b.example> "), mail("a@b.example", none()));
    assert_eq!(parse("MAIL FROM:<\"x y\"@b.example>"), mail("\"x y\"@b.example", none()));
    assert_eq!(parse("MAIL FROM:<\"a>b\\\"<c@d\"@b.example>"), mail("\"a>b\\\"<c@d\"@b.example", none()));
    assert_eq!(parse("MAIL FROM:<a@[IPv6:2001:db8::1]>"), mail("a@[IPv6:2001:db8::1]", none()));
    assert_eq!(parse("MAIL FROM:<@one.example,@two.example:a@b.example>"), mail("a@b.example", none()));
    assert_eq!(parse("MAIL FROM:<a@B\u{fc}cher.example>"), mail("a@xn--bcher-kva.example", none()));
    assert_eq!(parse("RCPT TO:<a@b.example>"), rcpt("a@b.example"));
    assert_eq!(parse("RCPT TO:<@relay.example:a@b.example>"), rcpt("a@b.example"));
    assert_eq!(
        parse("RCPT TO:<PostMaster>"),
        Ok(Command::Rcpt { path: ForwardPath::Postmaster, dsn: RecipientRequest::default() })
    );
    assert_eq!(parse("RCPT TO:<j\u{f6}rg@b.example>"), rcpt("j\u{f6}rg@b.example"));
}

#[test]
fn parameters_that_are_taken() {
    let params = MailParams {
        size: Some(12),
        body: BodyType::EightBitMime,
        smtputf8: true,
        requiretls: true,
        ..MailParams::default()
    };
    assert_eq!(
        parse("MAIL FROM:<a@b.example> SIZE=12 BODY=8BITMIME SMTPUTF8 REQUIRETLS"),
        mail("a@b.example", params.clone())
    );
    assert_eq!(
        parse("MAIL FROM:<a@b.example>  requiretls smtputf8 body=8bitmime  size=12"),
        mail("a@b.example", params)
    );
    assert_eq!(parse("MAIL FROM:<> BODY=7BIT"), mail("", MailParams::default()));
    let huge = MailParams { size: Some(u64::MAX), ..MailParams::default() };
    assert_eq!(parse("MAIL FROM:<> SIZE=99999999999999999999"), mail("", huge));
}

#[test]
fn what_a_sender_asks_to_hear_is_taken_in_any_case_and_as_long_as_it_may_be() {
    let Ok(Command::Mail { params, .. }) = parse("MAIL FROM:<a@b.example> ret=full EnvID=QQ+20314159") else {
        panic!("refused")
    };
    assert_eq!(params.dsn.returns, Some(Return::Full));
    assert_eq!(params.dsn.envelope_id.unwrap().decoded(), "QQ 314159");
    let line = "RCPT TO:<a@b.example> NOTIFY=delay,Success,SUCCESS ORCPT=RFC822;Bob+2Bx@B.example";
    let Ok(Command::Rcpt { dsn, .. }) = parse(line) else { panic!("refused") };
    assert_eq!(dsn.notify, Some(Notify { success: true, failure: false, delay: true }));
    assert_eq!(
        dsn.to_string(),
        " NOTIFY=SUCCESS,DELAY ORCPT=RFC822;Bob+2Bx@B.example",
        "not a letter of it changes"
    );
    for (parameter, longest) in [("MAIL FROM:<> ENVID=", 100), ("RCPT TO:<a@b.example> ORCPT=x;", 498)] {
        assert!(parse(&format!("{parameter}{}", "x".repeat(longest))).is_ok(), "{parameter}");
        assert!(parse(&format!("{parameter}{}", "x".repeat(longest + 1))).is_err(), "{parameter}");
    }
    for line in ["MAIL FROM:<> RET=FULL", "RCPT TO:<a@b.example> NOTIFY=NEVER"] {
        let refused = Command::parse(line.as_bytes(), &Extensions::default()).unwrap_err();
        assert_eq!(refused.reply().code, 555, "behind HELO there is no such parameter");
    }
}

#[test]
fn lines_that_are_refused_and_with_what() {
    let table: &[(&[u8], &str)] = &[
        (b"", "500 5.5.1"),
        (b" NOOP", "500 5.5.1"),
        (b"NOOPS", "500 5.5.1"),
        (b"MAIL\tFROM:<>", "500 5.5.1"),
        (b"GET / HTTP/1.1", "500 5.5.1"),
        (b"\x16\x03\x01\x02\x00\x01", "500 5.5.1"),
        (b"BDAT 99999999999999999999999 LAST", "501 5.5.4"),
        (b"BDAT", "501 5.5.4"),
        (b"BDAT ", "501 5.5.4"),
        (b"BDAT LAST", "501 5.5.4"),
        (b"BDAT 18446744073709551616", "501 5.5.4"),
        (b"BDAT -1", "501 5.5.4"),
        (b"BDAT +1 LAST", "501 5.5.4"),
        (b"BDAT 0x10", "501 5.5.4"),
        (b"BDAT 1 LAST LAST", "501 5.5.4"),
        (b"BDAT 1 FIRST", "501 5.5.4"),
        (b"BDAT  1", "501 5.5.4"),
        (b"BDAT 1\t", "501 5.5.4"),
        (b"BDAT \xd9\xa1", "501 5.5.4"),
        (b"BDAT \xff", "501 5.5.4"),
        (b"AUTH", "501 5.5.4"),
        (b"AUTH PL/AIN", "501 5.5.4"),
        (b"AUTH PLAIN AGEAYg== x", "501 5.5.4"),
        (b"AUTH PLAIN AGEAYg", "501 5.5.2"),
        (b"MAIL FROM:<a@b.example> AUTH=nobody", "501 5.5.4"),
        (b"MAIL FROM:<a@b.example> AUTH=<> AUTH=<>", "501 5.5.4"),
        (b"EXPN list", "502 5.5.1"),
        (b"MAIL FROM:<\xff@b.example>", "500 5.5.2"),
        (b"EHLO", "501 5.5.4"),
        (b"EHLO  ", "501 5.5.4"),
        (b"EHLO a b", "501 5.5.4"),
        (b"HELO a\x1b[2Jb", "501 5.5.4"),
        (b"EHLO (a)", "501 5.5.4"),
        (b"EHLO [1.2.3]", "501 5.5.4"),
        (b"EHLO [IPv6:zz::]", "501 5.5.4"),
        (b"DATA junk", "501 5.5.4"),
        (b"RSET x", "501 5.5.4"),
        (b"QUIT now", "501 5.5.4"),
        (b"STARTTLS x", "501 5.5.4"),
        (b"VRFY", "501 5.5.4"),
        (b"MAIL", "501 5.1.7"),
        (b"MAIL FROM", "501 5.1.7"),
        (b"MAIL TO:<a@b.example>", "501 5.1.7"),
        (b"MAIL FROM :<a@b.example>", "501 5.1.7"),
        (b"MAIL FROM:a@b.example", "501 5.1.7"),
        (b"MAIL FROM:<a@b.example", "501 5.1.7"),
        (b"MAIL FROM:<\"a@b.example>", "501 5.1.7"),
        (b"MAIL FROM:<nodomain>", "501 5.1.7"),
        (b"MAIL FROM:<@b.example>", "501 5.1.7"),
        (b"MAIL FROM:<a@>", "501 5.1.7"),
        (b"MAIL FROM:<a b@c.example>", "501 5.1.7"),
        (b"MAIL FROM:<a@b.example.>", "501 5.1.7"),
        (b"MAIL FROM:<a@b..example>", "501 5.1.7"),
        (b"MAIL FROM:<a@xn--a.example>", "501 5.1.7"),
        (b"MAIL FROM:<a@[300.1.1.1]>", "501 5.1.7"),
        (b"MAIL FROM:<@x,@y:a@b.example", "501 5.1.7"),
        (b"MAIL FROM:<@x,y:a@b.example>", "501 5.1.7"),
        (b"MAIL FROM:<a@b.example>SIZE=1", "501 5.1.7"),
        (b"RCPT TO:<a@b.example.>", "501 5.1.7"),
        (b"RCPT TO:<>", "501 5.1.3"),
        (b"RCPT TO:<nodomain>", "501 5.1.3"),
        (b"RCPT TO:a@b.example", "501 5.1.3"),
        (b"RCPT FROM:<a@b.example>", "501 5.1.3"),
        (b"RCPT TO:<a@b.example> RET=FULL", "555 5.5.4"),
        (b"RCPT TO:<a@b.example> NOTIFY", "501 5.5.4"),
        (b"RCPT TO:<a@b.example> NOTIFY=", "501 5.5.4"),
        (b"RCPT TO:<a@b.example> NOTIFY=ALWAYS", "501 5.5.4"),
        (b"RCPT TO:<a@b.example> NOTIFY=NEVER,FAILURE", "501 5.5.4"),
        (b"RCPT TO:<a@b.example> NOTIFY=SUCCESS,", "501 5.5.4"),
        (b"RCPT TO:<a@b.example> NOTIFY=NEVER notify=NEVER", "501 5.5.4"),
        (b"RCPT TO:<a@b.example> ORCPT=a@b", "501 5.5.4"),
        (b"RCPT TO:<a@b.example> ORCPT=;a@b", "501 5.5.4"),
        (b"RCPT TO:<a@b.example> ORCPT=rfc 822;a@b", "501 5.5.4"),
        (b"RCPT TO:<a@b.example> ORCPT=rfc822;a+0Ab", "501 5.5.4"),
        (b"RCPT TO:<a@b.example> ORCPT=rfc822;a+3db", "501 5.5.4"),
        (b"RCPT TO:<a@b.example> ORCPT=rfc822;\xc3\xbc@b", "501 5.5.4"),
        (b"RCPT TO:<a@b.example> ORCPT=utf-8;a+2Bb@c", "501 5.5.4"),
        (b"RCPT TO:<a@b.example> ORCPT=rfc822;a@b ORCPT=rfc822;a@b", "501 5.5.4"),
        (b"MAIL FROM:<> NOTIFY=NEVER", "555 5.5.4"),
        (b"MAIL FROM:<> RET", "501 5.5.4"),
        (b"MAIL FROM:<> RET=HEADERS", "501 5.5.4"),
        (b"MAIL FROM:<> RET=HDRS RET=HDRS", "501 5.5.4"),
        (b"MAIL FROM:<> ENVID=", "501 5.5.4"),
        (b"MAIL FROM:<> ENVID=a+0D+0AX", "501 5.5.4"),
        (b"MAIL FROM:<> ENVID=a+C3+BC", "501 5.5.4"),
        (b"MAIL FROM:<> ENVID=a ENVID=b", "501 5.5.4"),
        (b"MAIL FROM:<> SIZE=1 SIZE=2", "501 5.5.4"),
        (b"MAIL FROM:<> SMTPUTF8 smtputf8", "501 5.5.4"),
        (b"MAIL FROM:<> REQUIRETLS requiretls", "501 5.5.4"),
        (b"MAIL FROM:<> REQUIRETLS=yes", "501 5.5.4"),
        (b"MAIL FROM:<> BODY=7BIT BODY=7BIT", "501 5.5.4"),
        (b"MAIL FROM:<> SMTPUTF8=1", "501 5.5.4"),
        (b"MAIL FROM:<> SIZE", "501 5.5.4"),
        (b"MAIL FROM:<> SIZE=", "501 5.5.4"),
        (b"MAIL FROM:<> SIZE=-1", "501 5.5.4"),
        (b"MAIL FROM:<> SIZE=1=2", "501 5.5.4"),
        (b"MAIL FROM:<> SIZE=999999999999999999999", "501 5.5.4"),
        (b"MAIL FROM:<> =1", "501 5.5.4"),
        (b"MAIL FROM:<> -X=1", "501 5.5.4"),
        (b"MAIL FROM:<> BODY", "501 5.5.4"),
        (b"MAIL FROM:<> BODY=9BIT", "504 5.5.4"),
    ];
    for (line, reply) in table {
        assert_eq!(refusal(line), *reply, "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn parameters_of_extensions_that_are_not_in_force_are_unknown() {
    for parameter in ["SIZE=1", "BODY=8BITMIME", "BODY=BINARYMIME", "SMTPUTF8", "REQUIRETLS"] {
        let line = format!("MAIL FROM:<a@b.example> {parameter}");
        let error = Command::parse(line.as_bytes(), &Extensions::default()).unwrap_err();
        assert_eq!(error.reply().code, 555, "{parameter}");
    }
    let text_only = Extensions { binary_mime: false, ..offered() };
    let error = Command::parse(b"MAIL FROM:<> BODY=BINARYMIME", &text_only).unwrap_err();
    assert_eq!(error.reply().code, 504, "BODY is known, the value is not");
}

fn local_part() -> impl Strategy<Value = String> {
    let atom = "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]{1,8}";
    prop_oneof![
        atom,
        (atom, atom).prop_map(|(a, b)| format!("{a}.{b}")),
        r#"([ !#-\[\]-~]|\\[ -~]){0,10}"#.prop_map(|content: String| format!("\"{content}\"")),
        "[\u{e4}\u{f6}\u{fc}\u{4e00}]{1,6}",
    ]
}

fn mailbox() -> impl Strategy<Value = String> {
    let domain = "[a-z0-9]{1,9}(\\.[a-z][a-z0-9]{0,9}){1,3}";
    let host = prop_oneof![
        domain,
        any::<std::net::Ipv4Addr>().prop_map(|ip| format!("[{ip}]")),
        any::<std::net::Ipv6Addr>().prop_map(|ip| format!("[IPv6:{ip}]")),
    ];
    (local_part(), host).prop_map(|(local, host)| format!("{local}@{host}"))
}

fn params() -> impl Strategy<Value = MailParams> {
    let body =
        prop_oneof![Just(BodyType::SevenBit), Just(BodyType::EightBitMime), Just(BodyType::BinaryMime)];
    (any::<Option<u64>>(), any::<[bool; 2]>(), body).prop_map(|(size, [smtputf8, requiretls], body)| {
        MailParams { size, body, smtputf8, requiretls, ..MailParams::default() }
    })
}

/// What may stand behind MAIL and RCPT to ask for reports.
fn requests() -> impl Strategy<Value = (MessageRequest, RecipientRequest)> {
    let returns = prop_oneof![Just(None), Just(Some(Return::Full)), Just(Some(Return::Headers))];
    let text = "([!-*,-<>-~]|[+](09|20|2B|3D)){1,33}";
    let notify = any::<Option<[bool; 3]>>();
    (returns, proptest::option::of(text), notify, proptest::option::of((any::<bool>(), text))).prop_map(
        |(returns, id, notify, original)| {
            let envelope_id = id.map(|id| EnvelopeId::parse(&id).unwrap());
            let notify = notify.map(|[success, failure, delay]| Notify { success, failure, delay });
            let original = original.map(|(utf8, address)| {
                let address = format!("rfc822;{address}");
                let utf8 = utf8.then(|| "utf-8;j\u{f6}rg\\x{2B}@b.example".to_owned());
                OriginalRecipient::parse(&utf8.unwrap_or(address)).unwrap()
            });
            (MessageRequest { returns, envelope_id }, RecipientRequest { notify, original })
        },
    )
}

proptest! {
    #[test]
    fn no_line_makes_it_panic_and_a_refusal_is_one_clean_line(line: Vec<u8>) {
        if let Err(error) = Command::parse(&line, &offered()) {
            let wire = error.reply().to_wire();
            prop_assert!(wire.ends_with("\r\n") && wire.len() <= 512);
            prop_assert!(wire.trim_end().bytes().all(|b| (b' '..=b'~').contains(&b)));
        }
    }

    #[test]
    fn no_mail_line_makes_it_panic(argument in "(MAIL FROM:|RCPT TO:)[<>@\"\\\\:, a.=\\PC]{0,40}") {
        if let Ok(command) = parse(&argument) {
            prop_assert_eq!(parse(&command.to_string()), Ok(command));
        }
    }

    #[test]
    fn what_is_written_is_read_back(address in mailbox(), params in params(), asked in requests()) {
        let address = Address::parse(&address).unwrap();
        let (dsn, of_recipient) = asked;
        let params = MailParams { dsn, ..params };
        let mail = Command::Mail { path: ReversePath::Address(address.clone()), params };
        prop_assert_eq!(parse(&mail.to_string()), Ok(mail));
        let rcpt = Command::Rcpt { path: ForwardPath::Address(address), dsn: of_recipient };
        prop_assert_eq!(parse(&rcpt.to_string()), Ok(rcpt));
    }

    /// Another parser reads the same mailbox and parameters. It knows no IPv6 literals and
    /// takes the quotes off a local part, so those are left out.
    #[test]
    fn an_independent_parser_agrees(
        address in "[a-z0-9+]{1,8}(\\.[a-z]{1,5})?@[a-z0-9]{1,9}(\\.[a-z][a-z0-9]{0,9}){1,3}",
        size in 1u64..1 << 40,
    ) {
        let line = format!("MAIL FROM:<{address}> SIZE={size} BODY=8BITMIME");
        let Ok(Command::Mail { path: ReversePath::Address(ours), params }) = parse(&line) else {
            return Err(TestCaseError::fail("refused"));
        };
        let wire = format!("{line}\r\n");
        let Ok(smtp_proto::Request::Mail { from }) = smtp_proto::Request::parse(&mut wire.as_bytes().iter()) else {
            return Err(TestCaseError::fail("refused by the other parser"));
        };
        prop_assert_eq!(ours.to_string(), from.address.to_string());
        prop_assert_eq!(params.size, u64::try_from(from.size).ok());
    }
}
