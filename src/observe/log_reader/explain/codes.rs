//! What enhanced status codes mean (RFC 3463, and the registry that RFC 5248 made), and who can
//! mend what they tell of.

/// What a code means, and what to do, by the subject and detail that follow its class.
const DETAILS: &[(&str, &str, &str)] = &[
    ("1.0", "something is wrong with an address", ADDRESS),
    ("1.1", "there is no such mailbox", ADDRESS),
    ("1.2", "the domain of the address takes no mail or is not known", ADDRESS),
    ("1.3", "the address is written in a way that is not valid", ADDRESS),
    ("1.4", "the address means more than one mailbox", ADDRESS),
    ("1.6", "the mailbox has moved and left no address behind", ADDRESS),
    (
        "1.7",
        "the sender's address is written in a way that is not valid",
        "let the sender correct its address",
    ),
    (
        "1.8",
        "the domain of the sender's address is not known",
        "let the sending side see whether its domain has MX or address records",
    ),
    ("1.10", "the domain takes no mail at all: it has a null MX (RFC 7505)", ADDRESS),
    ("2.0", "something is wrong with the mailbox", MAILBOX),
    ("2.1", "the mailbox is disabled", MAILBOX),
    ("2.2", "the mailbox is full", MAILBOX),
    (
        "2.3",
        "the message is longer than this mailbox takes",
        "send less, or let the recipient's side allow more",
    ),
    ("2.4", "a mailing list could not be expanded", MAILBOX),
    ("3.0", "something is wrong with the receiving system", SYSTEM),
    ("3.1", "the receiving system has no space left", SYSTEM),
    ("3.2", "the receiving system takes no mail at present", SYSTEM),
    ("3.3", "the receiving system lacks what the message needs", SYSTEM),
    (
        "3.4",
        "the message is larger than the receiving system takes",
        "send less, or agree on a larger limit: ours is `max_message_size` of the connector",
    ),
    ("3.5", "the receiving system is set up wrongly", SYSTEM),
    ("4.0", "something on the way is wrong", NETWORK),
    ("4.1", "no host answered", NETWORK),
    ("4.2", "the connection broke or timed out", NETWORK),
    ("4.3", "a name server or directory gave no answer", "look at name servers and at the domain's records"),
    (
        "4.4",
        "no route to the domain is known",
        "look at the domain's MX records, and at the address spaces of the send connectors",
    ),
    (
        "4.5",
        "the receiving system has too much to do",
        "wait; if it lasts, let the receiving side look at its load",
    ),
    (
        "4.6",
        "the message goes round in a loop",
        "see in the Received fields which two systems hand it to each other",
    ),
    (
        "4.7",
        "the message was too old before it could be delivered",
        "see why it waited: `sealpost queue why` and the sessions before this one",
    ),
    ("5.0", "the two sides misunderstood each other in SMTP", PROTOCOL),
    ("5.1", "a command is not known, or came out of turn", PROTOCOL),
    ("5.2", "a command is written in a way that is not valid", PROTOCOL),
    (
        "5.3",
        "the message has too many recipients",
        "let the sending side send it in several parts; ours is `max_recipients_per_message`",
    ),
    ("5.4", "a command has parameters that are not valid", PROTOCOL),
    ("5.5", "the two sides have other versions of a protocol", PROTOCOL),
    ("5.6", "a line of the login is too long", PROTOCOL),
    ("6.0", "something is wrong with the content of the message", CONTENT),
    ("6.1", "content of this type is not taken", CONTENT),
    ("6.2", "the content would have to be converted, and must not be", CONTENT),
    ("6.3", "the content would have to be converted, and cannot be", CONTENT),
    ("6.7", "an address beyond ASCII cannot be passed on (RFC 6531)", CONTENT),
    ("7.0", "a rule of security or of protection against abuse", POLICY),
    ("7.1", "the sender is not allowed to send this here", POLICY),
    ("7.2", "the sender may not send to this mailing list", POLICY),
    (
        "7.3",
        "TLS is demanded and was not used, or could not be converted",
        "let the sending server use STARTTLS, and look for a middlebox that takes it out of the EHLO reply",
    ),
    ("7.4", "a security feature is not supported", "compare what both sides offer in EHLO"),
    (
        "7.5",
        "TLS or a certificate did not prove what was demanded",
        "read the verdict and the TLS facts of this session",
    ),
    ("7.7", "the message was changed on its way", POLICY),
    ("7.8", "name or password is wrong", "check the credentials of whoever logs in"),
    ("7.9", "this way to log in is too weak, or not allowed", "compare the AUTH mechanisms of both sides"),
    ("7.11", "this way to log in needs TLS", "let the client use STARTTLS first"),
    ("7.13", "the user is disabled", POLICY),
    ("7.20", "no DKIM signature passed (RFC 7372)", AUTHENTICITY),
    ("7.21", "no acceptable DKIM signature passed (RFC 7372)", AUTHENTICITY),
    ("7.22", "the DKIM signature is not the author's (RFC 7372)", AUTHENTICITY),
    ("7.23", "SPF says that this host may not send for the domain (RFC 7372)", AUTHENTICITY),
    ("7.24", "the domain's SPF record could not be evaluated (RFC 7372)", AUTHENTICITY),
    (
        "7.25",
        "the host's address has no name that leads back to it (RFC 7372)",
        "let the sending side give its address a PTR record",
    ),
    ("7.26", "several checks of authenticity failed (RFC 7372)", AUTHENTICITY),
    ("7.27", "the sender's domain has a null MX (RFC 7505)", "let the sender use an address that takes mail"),
    ("7.28", "too much mail came from there", "let the sending side slow down"),
    (
        "7.30",
        "REQUIRETLS is asked for and the next host does not support it (RFC 8689)",
        "send without REQUIRETLS, or let the receiving side support it",
    ),
];

const ADDRESS: &str = "let the sender see whether the address is right; if it is, ask the recipient's side";
const MAILBOX: &str = "let the recipient's side see to the mailbox";
const SYSTEM: &str = "let the receiving side see to its server";
const NETWORK: &str = "see whether the host answers: `sealpost partner probe` walks the whole way";
const PROTOCOL: &str =
    "look at the command before the reply; a middlebox that changes commands is the usual reason";
const CONTENT: &str = "let the sender send it in another form";
const POLICY: &str = "ask the side that refused which rule it was; its reply says more than its code";
const AUTHENTICITY: &str = "let the sending side mend its SPF, DKIM or DMARC records";

/// What a code such as `5.7.1` means, and what to do about it; of a detail that is not in the
/// registry, what its subject means.
pub(super) fn meaning(code: &str) -> Option<(&'static str, &'static str)> {
    let (_, rest) = code.split_once('.')?;
    let find = |wanted: &str| {
        DETAILS
            .iter()
            .find(|(detail, _, _)| *detail == wanted)
            .map(|(_, meaning, remedy)| (*meaning, *remedy))
    };
    find(rest).or_else(|| find(&format!("{}.0", rest.split('.').next()?)))
}

/// The same with the words behind the code: Exchange says 5.1.10 of a recipient that it does not
/// know, which the registry has for something else.
pub(super) fn of_reply(code: &str, text: &str) -> Option<(&'static str, &'static str)> {
    let unknown =
        ["RESOLVER.ADR.RecipientNotFound", "RESOLVER.ADR.RecipNotFound", "RESOLVER.ADR.ExRecipNotFound"];
    if unknown.iter().any(|word| text.starts_with(word)) { meaning("5.1.1") } else { meaning(code) }
}

/// The same of a reply without an enhanced code (RFC 5321 section 4.2.3).
pub(super) fn of_basic(code: u16) -> Option<(&'static str, &'static str)> {
    let enhanced = match code {
        421 => "4.3.2",
        450 | 550 => "5.2.0",
        451 => "4.3.0",
        452 => "4.3.1",
        454 => "4.7.5",
        500 | 501 => "5.5.2",
        502..=504 => "5.5.1",
        521 => "5.3.2",
        530 => "5.7.0",
        535 => "5.7.8",
        551 | 553 => "5.1.0",
        552 => "5.3.4",
        554 => "5.7.0",
        555 => "5.5.4",
        556 => "5.1.10",
        _ => return None,
    };
    meaning(enhanced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_known_by_its_detail_or_its_subject() {
        assert_eq!(
            meaning("5.1.10").unwrap().0,
            "the domain takes no mail at all: it has a null MX (RFC 7505)"
        );
        assert_eq!(meaning("4.7.5"), meaning("5.7.5"));
        assert_eq!(meaning("5.7.705"), meaning("5.7.0"));
        assert_eq!(meaning("5.9.9"), None);
        assert_eq!(of_basic(552), meaning("5.3.4"));
        assert_eq!(of_basic(250), None);
        assert_eq!(of_reply("5.1.10", "RESOLVER.ADR.RecipientNotFound; Recipient x"), meaning("5.1.1"));
        assert_eq!(of_reply("5.1.10", "null MX"), meaning("5.1.10"));
    }
}
