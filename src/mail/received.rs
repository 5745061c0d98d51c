//! The `Received:` field we put before a message (RFC 5321 4.4; protocol names: RFC 3848, RFC
//! 6531 7.4).

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;

use super::{Address, Domain, Host, date};

/// How the client greeted, which decides the protocol's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    Helo,
    Ehlo,
}

/// The TLS session a message came over.
#[derive(Clone, Copy, Debug)]
pub struct TlsFacts<'a> {
    /// Such as `TLSv1.3`.
    pub version: &'a str,
    /// IANA name.
    pub cipher_suite: &'a str,
}

/// One hop. `Display` writes the whole field, folded, with its last CRLF.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The name the client gave, as `smtp::HeloName` has checked it.
    pub helo: &'a str,
    pub remote: IpAddr,
    /// Our name.
    pub by: &'a Domain,
    pub greeting: Greeting,
    /// The transaction declared SMTPUTF8.
    pub smtputf8: bool,
    pub tls: Option<TlsFacts<'a>>,
    /// The client has logged in.
    pub authenticated: bool,
    /// Queue id.
    pub id: &'a str,
    /// All recipients; only a single one is named, so that none learns of the others.
    pub recipients: &'a [Address],
    pub at: Timestamp,
}

impl Received<'_> {
    /// The registered name of the protocol the message came by.
    fn protocol(&self) -> &'static str {
        match (self.greeting, self.smtputf8, self.tls.is_some(), self.authenticated) {
            (Greeting::Helo, _, _, _) => "SMTP",
            (Greeting::Ehlo, false, false, false) => "ESMTP",
            (Greeting::Ehlo, false, false, true) => "ESMTPA",
            (Greeting::Ehlo, false, true, false) => "ESMTPS",
            (Greeting::Ehlo, false, true, true) => "ESMTPSA",
            (Greeting::Ehlo, true, false, false) => "UTF8SMTP",
            (Greeting::Ehlo, true, false, true) => "UTF8SMTPA",
            (Greeting::Ehlo, true, true, false) => "UTF8SMTPS",
            (Greeting::Ehlo, true, true, true) => "UTF8SMTPSA",
        }
    }
}

impl fmt::Display for Received<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remote = Host::Literal(self.remote.to_canonical());
        write!(f, "Received: from {} ({remote})\r\n", self.helo)?;
        write!(f, "\tby {} with {} id {}", self.by, self.protocol(), self.id)?;
        if let Some(TlsFacts { version, cipher_suite }) = self.tls {
            write!(f, "\r\n\t(using {} with cipher {})", token(version), token(cipher_suite))?;
        }
        if let [recipient] = self.recipients {
            write!(f, "\r\n\tfor <{recipient}>")?;
        }
        write!(f, ";\r\n\t{}\r\n", date::rfc5322(self.at))
    }
}

/// Nothing in a comment may end it.
fn token(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TLS: TlsFacts<'static> = TlsFacts { version: "TLSv1.3", cipher_suite: "TLS13_AES_256_GCM_SHA384" };

    fn received<'a>(by: &'a Domain, recipients: &'a [Address]) -> Received<'a> {
        Received {
            helo: "mail.woodgrovebank.example",
            remote: "192.0.2.1".parse().unwrap(),
            by,
            greeting: Greeting::Ehlo,
            smtputf8: false,
            tls: Some(TLS),
            authenticated: false,
            id: "0193A5",
            recipients,
            at: "2026-11-22T01:43:01Z".parse().unwrap(),
        }
    }

    #[test]
    fn one_recipient_over_tls() {
        let by = Domain::parse("mail1.contoso.example").unwrap();
        let recipients = [Address::parse("bob@contoso.example").unwrap()];
        assert_eq!(
            received(&by, &recipients).to_string(),
            "Received: from mail.woodgrovebank.example ([192.0.2.1])\r\n\
             \tby mail1.contoso.example with ESMTPS id 0193A5\r\n\
             \t(using TLSv1.3 with cipher TLS13_AES_256_GCM_SHA384)\r\n\
             \tfor <bob@contoso.example>;\r\n\
             \tSun, 22 Nov 2026 01:43:01 +0000\r\n"
        );
    }

    #[test]
    fn several_recipients_are_not_named_and_mapped_addresses_are_ipv4() {
        let by = Domain::parse("mail1.contoso.example").unwrap();
        let recipients = ["a@b.example", "c@d.example"].map(|text| Address::parse(text).unwrap());
        let remote = "::ffff:192.0.2.1".parse().unwrap();
        let field = Received { tls: None, remote, ..received(&by, &recipients) }.to_string();
        assert!(!field.contains("for <"));
        assert!(field.contains("([192.0.2.1])"));
    }

    #[test]
    fn every_protocol_has_its_registered_name() {
        let by = Domain::parse("mail1.contoso.example").unwrap();
        for (greeting, smtputf8, tls, name) in [
            (Greeting::Helo, false, None, "SMTP"),
            (Greeting::Helo, false, Some(TLS), "SMTP"),
            (Greeting::Ehlo, false, None, "ESMTP"),
            (Greeting::Ehlo, false, Some(TLS), "ESMTPS"),
            (Greeting::Ehlo, true, None, "UTF8SMTP"),
            (Greeting::Ehlo, true, Some(TLS), "UTF8SMTPS"),
        ] {
            let field = Received { greeting, smtputf8, tls, ..received(&by, &[]) }.to_string();
            assert!(field.contains(&format!(" with {name} id ")), "{field}");
            let known =
                Received { greeting, smtputf8, tls, authenticated: true, ..received(&by, &[]) }.to_string();
            let name = if greeting == Greeting::Helo { name.to_owned() } else { format!("{name}A") };
            assert!(known.contains(&format!(" with {name} id ")), "{known}");
        }
    }
}
