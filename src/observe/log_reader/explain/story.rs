//! A session in sentences: who connected, what TLS came to, each message and its fate, the end.

use jiff::Timestamp;

use super::super::{Asked, Conversation, ReplyLine, Session, Turn};
use super::deciding::is_broken_end;
use super::transactions::{Fate, Transaction};
use super::{alerts, codes};
use crate::session::transcript::{Line, LineKind, QUEUE_ID};
use crate::trust::{Direction, Fault};

/// Refused recipients told of one message.
const RECIPIENTS_TOLD: usize = 5;
/// Queue ids told of one session.
const MESSAGES_TOLD: usize = 5;

pub(super) fn tell(session: &Session, transactions: &[Transaction], left_out: usize) -> Vec<String> {
    let mut story = vec![opening(session)];
    story.extend(made_for(session));
    story.extend(greeting(session));
    story.extend(certificate(session, "Sending certificate", "We showed"));
    story.extend(certificate(session, "Received certificate", "The other side showed"));
    story.extend(tls(session));
    story.extend(judgement(session));
    story.extend(transactions.iter().zip(1..).map(|(transaction, number)| message(number, transaction)));
    if transactions.is_empty() {
        story.push("No message was offered.".to_owned());
    }
    if left_out > 0 {
        story.push(format!("{left_out} more messages are not told."));
    }
    story.push(end(session));
    story
}

fn opening(session: &Session) -> String {
    let Session { connector, local, remote, started, .. } = session;
    let connected = session.lines.iter().any(|line| line.kind == LineKind::Connect);
    let to = if local.is_empty() { String::new() } else { format!(" from {local}") };
    match (session.direction, connected) {
        (Direction::Inbound, _) => {
            format!("At {} {remote} connected to {local}, receive connector {connector}.", time(*started))
        }
        (Direction::Outbound, true) => {
            format!("At {} send connector {connector} connected{to} to {remote}.", time(*started))
        }
        (Direction::Outbound, false) => {
            format!("At {} send connector {connector} tried to connect to {remote}.", time(*started))
        }
    }
}

/// The messages of the queue that a send session was about.
fn made_for(session: &Session) -> Option<String> {
    let ids = session.lines.iter().filter(|line| line.context == QUEUE_ID).map(|line| line.data.as_str());
    let ids: Vec<&str> = ids.take(MESSAGES_TOLD).collect();
    let plural = if ids.len() == 1 { "" } else { "s" };
    (!ids.is_empty()).then(|| format!("It was about the message{plural} {} of our queue.", ids.join(", ")))
}

/// To the second, for people; the lines have the rest.
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The banner and the names that were said.
fn greeting(session: &Session) -> Option<String> {
    let mut conversation = Conversation::new(session.direction);
    let hello = session.views().find_map(|line| match conversation.turn(&line) {
        Turn::Command(Asked::Hello(name)) if !name.is_empty() => Some(name),
        Turn::Command(_) | Turn::Reply(..) | Turn::None => None,
    })?;
    Some(match session.direction {
        Direction::Inbound => format!("It called itself {hello}."),
        Direction::Outbound => format!("We called ourselves {hello}."),
    })
}

fn tls(session: &Session) -> Option<String> {
    let fact =
        |what: &str| session.lines.iter().find(|line| line.context == what).map(|line| line.data.as_str());
    if let Some(version) = fact("TLS protocol") {
        let suite =
            fact("TLS cipher suite").map(|suite| format!(", cipher suite {suite}")).unwrap_or_default();
        let group =
            fact("TLS key exchange").map(|group| format!(", key exchange {group}")).unwrap_or_default();
        return Some(format!("{version} was agreed{suite}{group}."));
    }
    if let Some(line) = session.lines.iter().find(|line| line.context.starts_with("TLS protocol ")) {
        return Some(format!("{}.", windows_tls(&line.context)));
    }
    if let Some(error) = fact("TLS handshake failed") {
        let meant = alerts::alert(error).map(|word| format!(", which says that {}", word.meaning));
        return Some(format!("The TLS handshake failed: {error}{}.", meant.unwrap_or_default()));
    }
    if let Some(line) = session.lines.iter().find(|line| line.context.contains("TLS negotiation failed")) {
        let meant = alerts::windows(&line.context).map(|word| format!(": {}", word.meaning));
        return Some(format!("{}{}.", line.context.trim_end_matches('.'), meant.unwrap_or_default()));
    }
    if let Some(why) = fact("TLS not started") {
        return Some(format!("TLS was not started: {why}."));
    }
    let mut conversation = Conversation::new(session.direction);
    let asked = session.views().any(|line| conversation.turn(&line) == Turn::Command(Asked::StartTls));
    let said_hello = greeting(session).is_some();
    said_hello.then(|| match asked {
        true => "STARTTLS was asked for, and the log does not say what came of it.".to_owned(),
        false => "There was no TLS: STARTTLS was not asked for.".to_owned(),
    })
}

/// `TLS protocol SP_PROT_TLS1_2_SERVER negotiation succeeded using bulk encryption algorithm …`
fn windows_tls(context: &str) -> String {
    let behind = |words: &str| {
        let (_, rest) = context.split_once(words)?;
        rest.split_whitespace().next()
    };
    let version = behind("TLS protocol ").unwrap_or_default();
    let plain = version.trim_start_matches("SP_PROT_");
    let (number, _) = plain.rsplit_once('_').unwrap_or((plain, ""));
    let version = number.replace("TLS", "TLSv").replace('_', ".");
    let with =
        |label: &str, words: &str| behind(words).map(|name| format!(", {label} {name}")).unwrap_or_default();
    format!(
        "{version} was agreed{}{}{}",
        with("cipher", "bulk encryption algorithm "),
        with("MAC", "MAC hash algorithm "),
        with("key exchange", "key exchange algorithm "),
    )
}

/// The facts behind one heading: one a line, or, since Exchange 2016, all in one.
fn certificate(session: &Session, heading: &str, who: &str) -> Option<String> {
    let remote = if heading.starts_with("Received") { "Remote certificate" } else { heading };
    let joined = session.lines.iter().find(|line| {
        line.context.starts_with(&format!("{heading} Subject"))
            || line.context.starts_with(&format!("{remote} Subject"))
    });
    if let Some(line) = joined {
        return Some(format!("{who} the certificate {}.", line.data.trim()));
    }
    let start = session.lines.iter().position(|line| line.context == heading)?;
    let facts: Vec<&Line> = session.lines[start + 1..]
        .iter()
        .take_while(|line| line.context.starts_with("Certificate "))
        .collect();
    let fact = |what: &str| facts.iter().find(|line| line.context == what).map(|line| line.data.as_str());
    let subject = fact("Certificate subject").or_else(|| fact("Certificate thumbprint"))?;
    let issuer =
        fact("Certificate issuer name").map(|name| format!(", issued by {name}")).unwrap_or_default();
    let names = fact("Certificate alternate names").filter(|names| !names.is_empty());
    let names =
        names.map(|names| format!(", for the names {}", names.replace(';', ", "))).unwrap_or_default();
    let dates = fact("Certificate validity").map(|dates| format!(", valid from {dates}")).unwrap_or_default();
    Some(format!("{who} the certificate {subject}{issuer}{names}{dates}."))
}

/// Chain, verdicts, logins, and what else was looked at.
fn judgement(session: &Session) -> Vec<String> {
    let mut told = Vec::new();
    for line in session.lines.iter().filter(|line| line.kind == LineKind::Information) {
        let sentence = match line.context.as_str() {
            "Certificate chain validation status" => chain(&line.data),
            "Domain security verdict" | "Transport policy verdict" => verdict(line),
            "Authenticated user" => format!("{} logged in.", line.data),
            "authenticated" => format!("{} logged in.", line.data),
            "Authentication failed" => format!("A login failed: {}.", line.data),
            "Balancer" => format!("The connection came through the balancer {}.", line.data),
            "Stapled OCSP response" => format!("The stapled OCSP response: {}.", line.data),
            "Not sent" => format!("It was not sent: {}.", line.data),
            "Protocol error" => format!("The other side broke the protocol: {}.", line.data),
            other if other.contains("chain validation status: '") => match super::deciding::bad_status(other)
            {
                Some(fault) => format!("Of its certificate was found: {}.", fault.row().meaning),
                None => continue,
            },
            other if other.contains("failed because of ") => format!("{other}."),
            _ => continue,
        };
        if told.last() != Some(&sentence) {
            told.push(sentence);
        }
    }
    told
}

fn chain(status: &str) -> String {
    match status {
        "Valid" => "Its certificate chain is good.".to_owned(),
        "Pinned" => "Its key is one of those that were agreed on.".to_owned(),
        "NamedByTlsa" => "A TLSA record names its certificate.".to_owned(),
        "NotChecked" => "Its certificate chain was not looked at.".to_owned(),
        "EmptyCertificate" => "It showed no certificate.".to_owned(),
        other => match Fault::from_name(other) {
            Some(fault) => format!("Of its certificate chain was found: {}.", fault.row().meaning),
            None => format!("Of its certificate chain was found: {other}."),
        },
    }
}

/// `NameMismatch domain=… wanted=… got=…`, `Admitted domain=… level=… verified=… name=…`
fn verdict(line: &Line) -> String {
    let value = |name: &str| line.data.split_whitespace().find_map(|word| word.strip_prefix(name));
    let domain = value("domain=").unwrap_or("the domain");
    let policy = if line.context.starts_with("Transport") { "by the policy of " } else { "for " };
    let fault = line.data.split_whitespace().find_map(|word| Fault::all().find(|fault| fault.name() == word));
    match fault {
        Some(Fault::RefusedByPartner) => {
            format!("Then it refused us, so that the verdict for {domain} is {}.", Fault::RefusedByPartner)
        }
        Some(fault) => {
            format!("Judged {policy}{domain}, it was not admitted: {}: {}.", fault, fault.row().meaning)
        }
        None if line.data.contains("Admitted") => {
            let verified = value("verified=").filter(|checks| !checks.is_empty());
            let verified =
                verified.map(|checks| format!(" ({})", checks.replace('+', ", "))).unwrap_or_default();
            format!("Judged {policy}{domain}, it was admitted{verified}.")
        }
        None => format!("Judged {policy}{domain}: {}.", line.data),
    }
}

fn message(number: usize, transaction: &Transaction) -> String {
    let sender = if transaction.sender.is_empty() { "nobody (<>)" } else { &transaction.sender };
    let to = match transaction.recipients.as_slice() {
        [] => "no recipient".to_owned(),
        [one] => one.address.clone(),
        [first, rest @ ..] => format!("{} and {} more", first.address, rest.len()),
    };
    let reply = transaction.reply.as_ref().or(transaction.refused.as_ref());
    let reply = reply.map(|reply| format!(" with {}", explained(reply))).unwrap_or_default();
    let fate = match transaction.fate {
        Fate::Accepted => "was accepted",
        Fate::Refused => "was refused",
        Fate::Deferred => "was put off",
        Fate::Unfinished => "came to no end",
    };
    let mut sentence = format!("Message {number}, from {sender} to {to}, {fate}{reply}.");
    let refused = transaction.recipients.iter().filter_map(|one| Some((&one.address, one.refused.as_ref()?)));
    for (address, reply) in refused.clone().take(RECIPIENTS_TOLD) {
        sentence.push_str(&format!(" The recipient {address} was not taken: {}.", explained(reply)));
    }
    let more = refused.count().saturating_sub(RECIPIENTS_TOLD);
    if more > 0 {
        sentence.push_str(&format!(" {more} more recipients were not taken."));
    }
    sentence
}

/// A reply with what its enhanced code means.
fn explained(reply: &str) -> String {
    let said = ReplyLine { code: 0, text: reply.get(4..).unwrap_or_default() };
    let enhanced = said.enhanced().filter(|_| !reply.starts_with('2'));
    match enhanced.and_then(|(code, words)| codes::of_reply(code, words)) {
        Some((meaning, _)) => format!("\"{reply}\" ({meaning})"),
        None => format!("\"{reply}\""),
    }
}

fn end(session: &Session) -> String {
    let after = session.last.duration_since(session.started);
    let after = format!("{}.{:03} s", after.as_secs(), after.subsec_millis());
    let Some(last) = session.lines.iter().rev().find(|line| line.kind == LineKind::Disconnect) else {
        return format!(
            "There is no disconnect line: {after} after its beginning the log says no more of it."
        );
    };
    match (last.context.as_str(), is_broken_end(last)) {
        ("", _) => format!("After {after} the session ended."),
        (why, false) => format!("After {after} the session ended ({why})."),
        (why, true) => format!("After {after} the session broke off ({why})."),
    }
}
