//! The other half of mutual trust: a partner's server that was good enough for us and does not take
//! us. All it says of it is a reply (RFC 3463 section 3.8), made a verdict here, so that it is seen
//! wherever a verdict is.

use crate::smtp::Reply;

use super::certificate::printable;
use super::fault::Fault;
use super::requirement::{Level, Requirement};
use super::ruling::TlsOutcome;
use super::verdict::{Fact, Verdict};

/// A reply by which a next hop refused us.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// The host that gave it.
    pub host: &'a str,
    /// What it answers: `connect`, `EHLO`, `MAIL` and so on.
    pub command: &'a str,
    pub reply: &'a Reply,
    /// The certificate of ours that such a host is shown, in words.
    pub own_certificate: Option<&'a str>,
    /// It was said inside TLS.
    pub in_tls: bool,
}

/// Whether a reply to `command` says no to us, rather than to a message, a mailbox or the hour: a
/// code of security or policy that is for good or names TLS. Of a message's content it never is.
/// Servers answer the client's certificate at RCPT as well, so a refusal of one mailbox by policy
/// looks like one of us; whoever asks knows whether others were taken.
pub fn is_of_us(command: &str, reply: &Reply) -> bool {
    // Lists (RFC 3463 3.8), priorities (RFC 6710), mailboxes that changed hands (RFC 7293), a wish of
    // one message (RFC 8689).
    const OF_ONE_MESSAGE: [u16; 6] = [2, 15, 16, 17, 18, 30];
    let lasting = reply.is_permanent() || reply.code == 454;
    match (command, reply.enhanced) {
        ("connect" | "EHLO" | "HELO" | "STARTTLS" | "MAIL" | "RCPT", Some(code)) if reply.code != 421 => {
            code.subject == 7 && (lasting || code.detail == 5) && !OF_ONE_MESSAGE.contains(&code.detail)
        }
        ("RCPT", None) => matches!(reply.code, 454 | 530),
        ("connect" | "EHLO" | "HELO" | "STARTTLS" | "MAIL", None) => {
            matches!(reply.code, 454 | 530 | 550 | 554)
        }
        _ => false,
    }
}

impl Verdict {
    /// On a partner's server that refused us; whatever it proved itself.
    pub fn refused_by_partner(requirement: &Requirement, refusal: &Refusal<'_>) -> Self {
        let Refusal { host, command, reply, own_certificate, in_tls } = *refusal;
        let words = printable(&reply.to_string());
        let own = own_certificate.map_or_else(
            || "We have no certificate to present there.".to_owned(),
            |own| format!("We present {own}."),
        );
        let fact = Fact {
            fault: Fault::RefusedByPartner,
            detail: format!("{} answered {command} with: {words}. {own}", printable(host)),
            wanted: "our mail taken".to_owned(),
            got: words,
        };
        Self {
            ruled_by: requirement.ruled_by,
            outcome: if in_tls { TlsOutcome::Success } else { TlsOutcome::StartTlsNotSupported },
            direction: requirement.direction,
            domain: requirement.domain.clone(),
            mode: requirement.mode,
            required: requirement.level,
            achieved: if in_tls { Level::DomainValidation } else { Level::None },
            facts: vec![fact],
            verified: Vec::new(),
            matched_name: None,
            missing_lists: Vec::new(),
            lists_used: Vec::new(),
            staple: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reply_about_security_is_a_refusal_of_us() {
        let of = |code: u16, enhanced: Option<(u8, u16, u16)>| match enhanced {
            Some(enhanced) => Reply::new(code, enhanced, "no"),
            None => Reply::plain(code, vec!["no".to_owned()]),
        };
        let table = [
            ("MAIL", of(550, Some((5, 7, 1))), true),
            ("MAIL", of(550, Some((5, 7, 5))), true),
            ("MAIL", of(530, Some((5, 7, 0))), true),
            ("MAIL", of(454, Some((4, 7, 1))), true),
            ("MAIL", of(451, Some((4, 7, 5))), true),
            ("RCPT", of(550, Some((5, 7, 1))), true),
            ("connect", of(554, Some((5, 7, 1))), true),
            ("connect", of(554, None), true),
            ("EHLO", of(550, None), true),
            ("MAIL", of(530, None), true),
            // Too many, too fast, greylisted, no such mailbox, the content, one message's own wish.
            ("connect", of(421, Some((4, 7, 0))), false),
            ("MAIL", of(450, Some((4, 7, 1))), false),
            ("RCPT", of(451, Some((4, 7, 1))), false),
            ("RCPT", of(550, Some((5, 1, 1))), false),
            ("RCPT", of(550, None), false),
            ("MAIL", of(552, Some((5, 3, 4))), false),
            ("MAIL", of(550, Some((5, 7, 30))), false),
            ("RCPT", of(550, Some((5, 7, 2))), false),
            ("RCPT", of(550, Some((5, 7, 17))), false),
            ("DATA", of(550, Some((5, 7, 1))), false),
            ("end of DATA", of(550, Some((5, 7, 1))), false),
        ];
        for (command, reply, expected) in table {
            assert_eq!(is_of_us(command, &reply), expected, "{command}: {reply}");
        }
    }
}
