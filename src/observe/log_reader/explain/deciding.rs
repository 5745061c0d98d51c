//! The line that decided how a session went, what it means, what to do and who must.

use serde::Serialize;

use super::super::{Asked, Conversation, Session, Turn};
use super::{alerts, codes};
use crate::session::transcript::{Line, LineKind};
use crate::trust::{Direction, Fault};

use alerts::Act;

/// What decided, in words for whoever is on duty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deciding {
    /// Of the line.
    pub sequence: u32,
    /// `> 550 5.7.1 …`, as the log has it.
    pub line: String,
    /// The fault of docs/faults.md that it comes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<&'static str>,
    pub meaning: String,
    pub remedy: String,
    /// Who must act.
    pub who: String,
}

/// `None`: nothing went wrong.
pub(super) fn of(session: &Session) -> Option<Deciding> {
    let refusal = last_refusal(session);
    let verdict = || session.lines.iter().rev().find(|line| is_bad_verdict(line));
    let status = || session.lines.iter().rev().find_map(|line| Some((line, bad_status(&line.context)?)));
    let stopped = refusal.is_some() || !sent_anything(session);
    if let Some(line) = verdict().filter(|_| stopped) {
        return Some(by_fault(line, fault_in(&line.data)?, session.direction));
    }
    if let Some((line, word)) = handshake(session) {
        return Some(by_word(session, line, word));
    }
    if let Some(line) = session.lines.iter().find(|line| line.context == "TLS not started") {
        return Some(by_fault(line, Fault::StartTlsNotOffered, session.direction));
    }
    if let Some((line, fault)) =
        status().filter(|_| refusal.as_ref().is_some_and(|(line, _)| is_about_tls(line)))
    {
        return Some(by_fault(line, fault, session.direction));
    }
    if let Some((line, asked)) = refusal {
        return Some(by_reply(session, line, &asked));
    }
    broken_off(session)
}

fn is_bad_verdict(line: &Line) -> bool {
    let verdict = matches!(line.context.as_str(), "Domain security verdict" | "Transport policy verdict");
    verdict && fault_in(&line.data).is_some()
}

/// The first word that is a name of a fault.
fn fault_in(text: &str) -> Option<Fault> {
    text.split_whitespace().find_map(|word| Fault::all().find(|fault| fault.name() == word))
}

/// What Exchange says of a certificate that it did not take, as a fault of ours.
pub(super) fn bad_status(context: &str) -> Option<Fault> {
    let (_, rest) =
        context.split_once("validation status: '").or_else(|| context.split_once("; Status='"))?;
    Some(match rest.split_once('\'')?.0 {
        "EmptyCertificate" | "NoRemoteCertificate" => Fault::NoCertificate,
        "SubjectMismatch" => Fault::NameMismatch,
        "SignatureFailure" => Fault::SignatureFailure,
        "UntrustedRoot" | "UntrustedTestRoot" => Fault::UntrustedRoot,
        "InternalChainFailure" | "ValidityPeriodNesting" => Fault::InvalidChain,
        "WrongUsage" | "PurposeError" => Fault::WrongUsage,
        "CertificateExpired" => Fault::Expired,
        "CertificateRevoked" | "Revoked" => Fault::Revoked,
        "RevocationOffline" | "NoRevocationCheck" => Fault::RevocationUnknown,
        _ => return None,
    })
}

/// The handshake's last word, if it failed.
fn handshake(session: &Session) -> Option<(&Line, Option<&'static alerts::Word>)> {
    session.lines.iter().find_map(|line| {
        if line.kind == LineKind::Information && line.context == "TLS handshake failed" {
            return Some((line, alerts::alert(&line.data)));
        }
        let of_exchange = line.context.contains("TLS negotiation failed with error");
        of_exchange.then(|| (line, alerts::windows(&line.context)))
    })
}

/// The last 5xx, else the last 4xx, that stood in the way of something, with what it answers. Where a
/// command was refused, 503 (bad sequence) to those that were sent along with it decides nothing.
fn last_refusal(session: &Session) -> Option<(&Line, Asked)> {
    let mut conversation = Conversation::new(session.direction);
    let (mut permanent, mut temporary) = (None, None);
    for (line, view) in session.lines.iter().zip(session.views()) {
        let Turn::Reply(asked, reply) = conversation.turn(&view) else { continue };
        match reply.code / 100 {
            5 if reply.code == 503 && (permanent.is_some() || temporary.is_some()) => {}
            5 => permanent = Some((line, asked)),
            4 => temporary = Some((line, asked)),
            _ => {}
        }
    }
    permanent.or(temporary)
}

fn sent_anything(session: &Session) -> bool {
    session.facts().accepted > 0
}

fn is_about_tls(line: &Line) -> bool {
    ["5.7.", "4.7.", "certificate", "Certificate", "TLS"].iter().any(|word| line.data.contains(word))
}

/// The table of faults is written for whoever judged: us. In an Exchange log that is the other
/// server, and its words for the two sides are the same.
fn by_fault(line: &Line, fault: Fault, direction: Direction) -> Deciding {
    let row = fault.row();
    let peer = match direction {
        Direction::Inbound => "the sending side",
        Direction::Outbound => "the receiving side",
    };
    let who = row.mended_by.replace("the peer", peer);
    let details = ["wanted=", "got="].map(|name| line.data.split_once(name).map(|(_, value)| value));
    let meaning = match details {
        [Some(wanted), Some(got)] => {
            let wanted = wanted.split_once(" got=").map_or(wanted, |(wanted, _)| wanted);
            format!("{}; wanted: {wanted}; got: {got}", row.meaning)
        }
        _ => row.meaning.to_owned(),
    };
    let line = told(line);
    Deciding { fault: Some(fault.name()), meaning, remedy: row.remedy.to_owned(), who, ..line }
}

fn by_word(session: &Session, line: &Line, word: Option<&alerts::Word>) -> Deciding {
    let Some(word) = word else { return by_fault(line, Fault::HandshakeFailed, session.direction) };
    let from_us = line.context.contains("negotiation failed");
    let who = match (word.act, from_us) {
        (Act::Both, _) => "both sides together",
        // An alert is the peer's, so that whoever got it is us; Windows' words are its own server's.
        (Act::Receiver, _) => "we",
        (Act::Sender, _) => "the other side",
    };
    let said = if from_us { "Windows says" } else { "the other side says by a TLS alert" };
    Deciding {
        fault: Some(Fault::HandshakeFailed.name()),
        meaning: format!("the TLS handshake failed; {said} {}: {}", word.name, word.meaning),
        remedy: word.remedy.to_owned(),
        who: who.to_owned(),
        ..told(line)
    }
}

fn by_reply(session: &Session, line: &Line, asked: &Asked) -> Deciding {
    if let Some(fault) = fault_in_reply(session, line) {
        return by_fault(line, fault, session.direction);
    }
    let digits = line.data.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0);
    let text = line.data.get(4..).unwrap_or_default();
    let reply = super::super::ReplyLine { code: digits, text };
    let enhanced = reply.enhanced();
    let known = enhanced.and_then(|(code, words)| codes::of_reply(code, words));
    let known = known.or_else(|| codes::of_basic(digits));
    let code = enhanced.map_or_else(|| digits.to_string(), |(code, _)| format!("{digits} {code}"));
    let by = match session.direction {
        Direction::Inbound => "we refused",
        Direction::Outbound => "the other side refused",
    };
    let verb = if digits < 500 { by.replace("refused", "put off") } else { by.to_owned() };
    let (meaning, remedy) = known
        .unwrap_or(("its code says no more", "read the words of the reply, and ask the side that gave it"));
    Deciding {
        fault: None,
        meaning: format!("{verb} {}; {code} means: {meaning}", what(asked)),
        remedy: remedy.to_owned(),
        who: who_acts(remedy, session.direction).to_owned(),
        ..told(line)
    }
}

/// A name of a fault in a reply of ours; a peer's words name none.
fn fault_in_reply(session: &Session, line: &Line) -> Option<Fault> {
    let words = line.data.split(|c: char| !c.is_ascii_alphanumeric());
    let named = words.into_iter().find_map(|word| Fault::all().find(|fault| fault.name() == word));
    named.filter(|_| session.direction == Direction::Inbound)
}

fn what(asked: &Asked) -> String {
    match asked {
        Asked::Mail(sender) if sender.is_empty() => "a message without a sender".to_owned(),
        Asked::Mail(sender) => format!("the sender {sender}"),
        Asked::Recipient(recipient) => format!("the recipient {recipient}"),
        Asked::Data => "to take the content".to_owned(),
        Asked::Content | Asked::Chunk => "the message after its content".to_owned(),
        Asked::StartTls => "STARTTLS".to_owned(),
        Asked::Hello(name) => format!("the greeting of {name}"),
        Asked::Authenticate => "the login".to_owned(),
        Asked::Reset | Asked::Other => "a command".to_owned(),
        Asked::Quit | Asked::Nothing => "the connection".to_owned(),
    }
}

/// Who the remedy speaks to.
fn who_acts(remedy: &str, direction: Direction) -> &'static str {
    let to = |words: &[&str]| words.iter().any(|word| remedy.contains(word));
    let we_send = direction == Direction::Outbound;
    match () {
        () if to(&["let the sender", "let the sending", "let the client", "send less", "send without"]) => {
            if we_send {
                "the sender, on our side"
            } else {
                "the sending side"
            }
        }
        () if to(&["let the recipient", "let the receiving"]) => {
            if we_send {
                "the receiving side"
            } else {
                "we"
            }
        }
        () => "both sides: first whoever reads this",
    }
}

/// The end of a session in which nothing was refused and yet nothing came of it.
fn broken_off(session: &Session) -> Option<Deciding> {
    let line = session.lines.last()?;
    let told = |meaning: &str, remedy: &str, who: &str| Deciding {
        meaning: meaning.to_owned(),
        remedy: remedy.to_owned(),
        who: who.to_owned(),
        ..told(line)
    };
    if session.ended && !is_broken_end(line) {
        return None;
    }
    if session.ended {
        return Some(told(
            "the connection ended before the conversation did",
            "look for the same session in the other side's log; a firewall or an idle limit between the two is the usual reason",
            "both sides: first whoever reads this",
        ));
    }
    let connecting = line.kind == LineKind::Information && line.context.contains("attempting to connect");
    if connecting && session.lines.iter().all(|line| line.kind != LineKind::Connect) {
        return Some(told(
            "no connection came about",
            "see whether the host answers on this port, and whether a firewall lets us out",
            "both sides: first whoever reads this",
        ));
    }
    None
}

/// Whether the disconnect line tells of more than a farewell.
pub(super) fn is_broken_end(line: &Line) -> bool {
    let why = line.context.as_str();
    let broken =
        ["Remote(", "timed out", "closed by the peer ", "SocketError", "TimedOut", "ConnectionReset"];
    line.kind == LineKind::Disconnect && broken.iter().any(|word| why.contains(word))
}

/// Only the line itself.
fn told(line: &Line) -> Deciding {
    Deciding {
        sequence: line.sequence,
        line: line.to_string(),
        fault: None,
        meaning: String::new(),
        remedy: String::new(),
        who: String::new(),
    }
}
