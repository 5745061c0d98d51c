//! What the lines of a session say: who, to whom, over what, with which outcome.

use crate::mail::Domain;
use crate::session::transcript::LineKind;
use crate::trust::{Direction, Fault};

use super::{LogLine, Session};

/// Addresses and faults kept of one session.
const MEMBERS_MAX: usize = 1000;

/// How a session went; several may hold of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A message got its 250 after the final dot.
    Accepted,
    /// A command or message got a 5xx.
    Refused,
    /// A command or message got a 4xx.
    Deferred,
    /// No disconnect line: still open, or cut off with the server.
    Unfinished,
    /// None of these: nothing was sent.
    Idle,
}

/// Read from the lines; empty where they say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Facts {
    /// Reverse-paths; empty text is the null one.
    pub senders: Vec<String>,
    pub recipients: Vec<String>,
    pub tls: Option<String>,
    /// Of the certificate that the peer sent.
    pub peer_subject: Option<String>,
    /// The last verdict line.
    pub verdict: Option<String>,
    /// Names as in docs/faults.md, or what an Exchange status line says.
    pub faults: Vec<String>,
    /// Messages, and replies to commands or messages.
    pub accepted: u32,
    pub deferred: u32,
    pub refused: u32,
    pub outcomes: Vec<Outcome>,
}

/// Where a walk through the lines stands.
#[derive(Default)]
struct Walk {
    facts: Facts,
    /// The next reply answers the content.
    content_sent: bool,
    /// The certificate lines that follow are the peer's.
    of_peer: bool,
}

impl Facts {
    pub(super) fn of(session: &Session) -> Self {
        let mut walk = Walk::default();
        for line in &session.lines {
            walk.line(line);
        }
        let mut facts = walk.facts;
        facts.outcomes = outcomes(&facts, session.ended);
        facts
    }

    /// Domains of senders, of recipients and of the verdict, in lower case.
    pub fn domains(&self) -> impl Iterator<Item = String> + '_ {
        let addresses = self.senders.iter().chain(&self.recipients);
        let of_addresses = addresses.filter_map(|address| address.rsplit_once('@')).map(|(_, domain)| domain);
        let of_verdict =
            self.verdict.as_deref().into_iter().flat_map(|verdict| {
                verdict.split_whitespace().filter_map(|word| word.strip_prefix("domain="))
            });
        of_addresses.chain(of_verdict).map(comparable_domain)
    }
}

/// A domain as it is compared: A-labels where it is one.
pub(super) fn comparable_domain(domain: &str) -> String {
    match Domain::parse_rooted(domain) {
        Ok(domain) => domain.to_string(),
        Err(_) => domain.to_lowercase(),
    }
}

fn outcomes(facts: &Facts, ended: bool) -> Vec<Outcome> {
    let conditions = [
        (facts.accepted > 0, Outcome::Accepted),
        (facts.refused > 0, Outcome::Refused),
        (facts.deferred > 0, Outcome::Deferred),
        (!ended, Outcome::Unfinished),
    ];
    let mut outcomes: Vec<Outcome> =
        conditions.into_iter().filter_map(|(holds, outcome)| holds.then_some(outcome)).collect();
    if outcomes.is_empty() {
        outcomes.push(Outcome::Idle);
    }
    outcomes
}

impl Walk {
    fn line(&mut self, line: &LogLine) {
        match (line.kind, line.direction) {
            (LineKind::Received, Direction::Inbound) | (LineKind::Sent, Direction::Outbound) => {
                self.command(&line.data);
            }
            (LineKind::Sent, Direction::Inbound) => {
                self.reply(&line.data);
                self.faults(&line.data);
            }
            // A peer's words name no fault of ours.
            (LineKind::Received, Direction::Outbound) => self.reply(&line.data),
            (LineKind::Information, _) => self.information(line),
            (LineKind::Connect | LineKind::Disconnect, _) => {}
        }
    }

    fn command(&mut self, data: &str) {
        if let Some(path) = argument(data, "MAIL FROM:") {
            push(&mut self.facts.senders, path);
        } else if let Some(path) = argument(data, "RCPT TO:") {
            push(&mut self.facts.recipients, path);
        }
    }

    /// Counts the last line of a reply; `250-…` goes on.
    fn reply(&mut self, data: &str) {
        let Some(code) = data.get(..3).filter(|code| code.bytes().all(|b| b.is_ascii_digit())) else {
            return;
        };
        if data.as_bytes().get(3) == Some(&b'-') {
            return;
        }
        let content = std::mem::replace(&mut self.content_sent, code == "354");
        match code.as_bytes()[0] {
            b'2' if content => self.facts.accepted += 1,
            b'4' => self.facts.deferred += 1,
            b'5' => self.facts.refused += 1,
            _ => {}
        }
    }

    fn information(&mut self, line: &LogLine) {
        let LogLine { data, context, .. } = line;
        match context.as_str() {
            "Sending certificate" => self.of_peer = false,
            "Received certificate" => self.of_peer = true,
            "Certificate subject" if self.of_peer => self.facts.peer_subject = Some(data.clone()),
            "TLS protocol" => self.facts.tls = Some(data.clone()),
            "Domain security verdict" => self.facts.verdict = Some(data.clone()),
            _ => {
                // Exchange: TLS protocol SP_PROT_TLS1_2_SERVER negotiation succeeded …
                if let Some(words) = context.strip_prefix("TLS protocol ") {
                    self.facts.tls = words.split_whitespace().next().map(str::to_owned);
                }
            }
        }
        self.faults(data);
        self.faults(context);
        self.exchange_status(context);
    }

    /// Our own names of faults, wherever they stand as a word; "has been revoked" is prose.
    fn faults(&mut self, text: &str) {
        for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
            if Fault::from_name(word).is_some_and(|fault| fault.name() == word) {
                push(&mut self.facts.faults, word.to_owned());
            }
        }
    }

    /// Exchange: `Client certificate chain validation status: 'EmptyCertificate'`.
    fn exchange_status(&mut self, context: &str) {
        let Some((_, status)) = context.split_once("validation status: '") else { return };
        let Some((status, _)) = status.split_once('\'') else { return };
        if !matches!(status, "Valid" | "ValidSelfSigned" | "None" | "") {
            push(&mut self.facts.faults, status.to_owned());
        }
    }
}

fn push(list: &mut Vec<String>, member: String) {
    if list.len() < MEMBERS_MAX && !list.contains(&member) {
        list.push(member);
    }
}

/// The path of `MAIL FROM:<…>`, without its brackets and parameters.
fn argument(data: &str, verb: &str) -> Option<String> {
    let head = data.get(..verb.len())?;
    if !head.eq_ignore_ascii_case(verb) {
        return None;
    }
    let rest = data[verb.len()..].trim_start();
    let path = match rest.strip_prefix('<') {
        Some(path) => path.rsplit_once('>').map_or(path, |(path, _)| path),
        None => rest.split_whitespace().next().unwrap_or_default(),
    };
    Some(path.to_owned())
}
