//! SMTP service extensions: what a server announces in its reply to EHLO (RFC 5321 4.1.1.1).

use crate::mail::Domain;

use super::sasl::Mechanisms;
use super::{Limits, Reply};

/// The extensions in force in one session; empty after HELO and before any greeting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// RFC 2920
    pub pipelining: bool,
    /// RFC 1870
    pub size: SizeLimit,
    /// RFC 6152
    pub eight_bit_mime: bool,
    /// RFC 3030
    pub chunking: bool,
    /// RFC 3030; of use only with CHUNKING.
    pub binary_mime: bool,
    /// RFC 6531
    pub smtputf8: bool,
    /// RFC 2034
    pub enhanced_status_codes: bool,
    /// RFC 3207
    pub starttls: bool,
    /// RFC 3461
    pub dsn: bool,
    /// RFC 8689; of use, and announced, only inside TLS.
    pub requiretls: bool,
    /// RFC 9422
    pub limits: Limits,
    /// RFC 4954
    pub auth: Mechanisms,
}

/// The SIZE extension (RFC 1870).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SizeLimit {
    #[default]
    NotOffered,
    /// Offered without a number, or with 0.
    Unlimited,
    /// Octets.
    Limit(u64),
}

impl SizeLimit {
    /// Whether a message of `size` octets may be tried.
    pub fn admits(self, size: u64) -> bool {
        match self {
            SizeLimit::NotOffered | SizeLimit::Unlimited => true,
            SizeLimit::Limit(limit) => size <= limit,
        }
    }
}

impl Extensions {
    /// What a peer announced. The first line is its greeting; a keyword we do not know is skipped.
    pub fn parse_ehlo(reply: &Reply) -> Self {
        let mut extensions = Self::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "PIPELINING" => extensions.pipelining = true,
                "SIZE" => extensions.size = size_limit(words.next()),
                "8BITMIME" => extensions.eight_bit_mime = true,
                "CHUNKING" => extensions.chunking = true,
                "BINARYMIME" => extensions.binary_mime = true,
                "SMTPUTF8" => extensions.smtputf8 = true,
                "ENHANCEDSTATUSCODES" => extensions.enhanced_status_codes = true,
                "STARTTLS" => extensions.starttls = true,
                "DSN" => extensions.dsn = true,
                "REQUIRETLS" => extensions.requiretls = true,
                "LIMITS" => extensions.limits = Limits::parse(words),
                "AUTH" => extensions.auth = Mechanisms::parse(words),
                _ => {}
            }
        }
        extensions
    }

    /// Our reply to EHLO: our name with a greeting (such as `Hello [192.0.2.1]`), then one
    /// extension a line.
    pub fn ehlo_reply(&self, fqdn: &Domain, greeting: &str) -> Reply {
        let size = match self.size {
            SizeLimit::NotOffered => None,
            SizeLimit::Unlimited => Some("SIZE".to_owned()),
            SizeLimit::Limit(limit) => Some(format!("SIZE {limit}")),
        };
        let plain = |offered: bool, keyword: &str| offered.then(|| keyword.to_owned());
        let keywords = [
            size,
            plain(self.pipelining, "PIPELINING"),
            plain(self.dsn, "DSN"),
            plain(self.enhanced_status_codes, "ENHANCEDSTATUSCODES"),
            plain(self.starttls, "STARTTLS"),
            plain(self.requiretls, "REQUIRETLS"),
            (!self.auth.is_empty()).then(|| format!("AUTH {}", self.auth)),
            plain(self.eight_bit_mime, "8BITMIME"),
            plain(self.binary_mime, "BINARYMIME"),
            plain(self.chunking, "CHUNKING"),
            self.limits.is_any().then(|| format!("LIMITS{}", self.limits)),
            plain(self.smtputf8, "SMTPUTF8"),
        ];
        let first = format!("{fqdn} {greeting}").trim_end().to_owned();
        Reply::plain(250, std::iter::once(first).chain(keywords.into_iter().flatten()).collect())
    }
}

/// A number that no `u64` holds limits nothing.
fn size_limit(value: Option<&str>) -> SizeLimit {
    match value.and_then(|digits| digits.parse().ok()) {
        None | Some(0) => SizeLimit::Unlimited,
        Some(limit) => SizeLimit::Limit(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(lines: &[&str]) -> Extensions {
        Extensions::parse_ehlo(&Reply::plain(250, lines.iter().map(|&line| line.to_owned()).collect()))
    }

    #[test]
    fn keywords_are_read_in_any_case_and_strangers_skipped() {
        let extensions =
            parse(&["mx.example STARTTLS", "pipelining", "Size 1000", "8bitmime", "XEXCH50", "AUTH PLAIN"]);
        assert!(extensions.pipelining && extensions.eight_bit_mime);
        assert!(!extensions.starttls, "the greeting line announces nothing");
        assert_eq!(extensions.size, SizeLimit::Limit(1000));
        assert!(extensions.size.admits(1000) && !extensions.size.admits(1001));
    }

    #[test]
    fn a_size_without_a_usable_number_limits_nothing() {
        for line in ["SIZE", "SIZE 0", "SIZE x", "SIZE 99999999999999999999999"] {
            assert_eq!(parse(&["mx.example", line]).size, SizeLimit::Unlimited, "{line}");
        }
        assert_eq!(parse(&["mx.example"]).size, SizeLimit::NotOffered);
    }

    proptest! {
        #[test]
        fn what_we_announce_is_what_a_peer_reads(flags: [bool; 9], limit in proptest::option::of(0u64..1 << 40), rcpt_max in 0u32..1_000_000) {
            let [
                pipelining,
                eight_bit_mime,
                chunking,
                binary_mime,
                smtputf8,
                enhanced_status_codes,
                starttls,
                dsn,
                requiretls,
            ] = flags;
            let size = match limit {
                None => SizeLimit::NotOffered,
                Some(0) => SizeLimit::Unlimited,
                Some(limit) => SizeLimit::Limit(limit),
            };
            let ours = Extensions {
                pipelining,
                size,
                eight_bit_mime,
                chunking,
                binary_mime,
                smtputf8,
                enhanced_status_codes,
                starttls,
                dsn,
                requiretls,
                limits: Limits { rcpt_max: std::num::NonZeroU32::new(rcpt_max), ..Limits::default() },
                auth: Mechanisms { plain: dsn, external: starttls, scram_sha_256_plus: smtputf8, ..Mechanisms::default() },
            };
            let fqdn = Domain::parse("mail.contoso.example").unwrap();
            prop_assert_eq!(Extensions::parse_ehlo(&ours.ehlo_reply(&fqdn, "Hello [192.0.2.1]")), ours);
        }
    }
}
