//! What the lines of a session say: who, to whom, over what, with which outcome.

use std::borrow::Cow;

use crate::mail::Domain;
use crate::session::transcript::LineKind;
use crate::trust::{Direction, Fault};

use super::LineView;
use super::conversation::{Asked, Conversation, Turn};

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

/// What the last verdict on domain security in a session was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictIs {
    Admitted,
    Refused,
    /// Nothing was judged: no secure domain took part, or the log is another server's.
    None,
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
struct Walk {
    facts: Facts,
    conversation: Conversation,
    direction: Direction,
    /// The certificate lines that follow are the peer's.
    of_peer: bool,
}

impl Facts {
    pub(super) fn of<'a>(
        direction: Direction,
        ended: bool,
        lines: impl Iterator<Item = LineView<'a>>,
    ) -> Self {
        let conversation = Conversation::new(direction);
        let mut walk = Walk { facts: Facts::default(), conversation, direction, of_peer: false };
        lines.for_each(|line| walk.line(&line));
        let mut facts = walk.facts;
        facts.outcomes = outcomes(&facts, ended);
        facts
    }

    /// Memory that they hold, about.
    pub(super) fn octets(&self) -> usize {
        let lists = [&self.senders, &self.recipients, &self.faults];
        let texts =
            lists.into_iter().flatten().chain(&self.tls).chain(&self.peer_subject).chain(&self.verdict);
        size_of::<Self>() + texts.map(|text| size_of::<String>() + text.len()).sum::<usize>()
    }

    pub fn verdict_is(&self) -> VerdictIs {
        match &self.verdict {
            Some(verdict) if verdict.starts_with("Admitted") => VerdictIs::Admitted,
            Some(_) => VerdictIs::Refused,
            None => VerdictIs::None,
        }
    }

    /// Domains of senders, of recipients and of the verdict, as they are compared.
    pub fn domains(&self) -> impl Iterator<Item = Cow<'_, str>> {
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
pub(super) fn comparable_domain(domain: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    if domain.bytes().all(plain) && !domain.ends_with('.') {
        return Cow::Borrowed(domain);
    }
    match Domain::parse_rooted(domain) {
        Ok(domain) => domain.to_string().into(),
        Err(_) => domain.to_lowercase().into(),
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
    fn line(&mut self, line: &LineView<'_>) {
        match self.conversation.turn(line) {
            Turn::Command(Asked::Mail(path)) => push(&mut self.facts.senders, path),
            Turn::Command(Asked::Recipient(path)) => push(&mut self.facts.recipients, path),
            Turn::Command(_) => {}
            Turn::Reply(asked, reply) => match reply.code / 100 {
                2 if asked == Asked::Content => self.facts.accepted += 1,
                4 => self.facts.deferred += 1,
                5 => self.facts.refused += 1,
                _ => {}
            },
            Turn::None => {}
        }
        match line.kind {
            // A peer's words name no fault of ours.
            LineKind::Sent if self.direction == Direction::Inbound => self.faults(line.data),
            LineKind::Information => self.information(line),
            LineKind::Sent | LineKind::Received | LineKind::Connect | LineKind::Disconnect => {}
        }
    }

    fn information(&mut self, line: &LineView<'_>) {
        let LineView { data, context, .. } = *line;
        match context {
            "Sending certificate" => self.of_peer = false,
            "Received certificate" => self.of_peer = true,
            "Certificate subject" if self.of_peer => self.facts.peer_subject = Some(data.to_owned()),
            "TLS protocol" => self.facts.tls = Some(data.to_owned()),
            "Domain security verdict" => self.facts.verdict = Some(data.to_owned()),
            _ => {
                // Exchange: TLS protocol SP_PROT_TLS1_2_SERVER negotiation succeeded …
                if let Some(words) = context.strip_prefix("TLS protocol ") {
                    self.facts.tls = words.split_whitespace().next().map(str::to_owned);
                } else if let Some(subject) = joined_subject(data, context) {
                    self.facts.peer_subject = Some(subject.to_owned());
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
            if word.len() >= FAULT_NAME_MIN
                && word.as_bytes()[0].is_ascii_uppercase()
                && Fault::all().any(|fault| fault.name() == word)
            {
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

/// The shortest names are `Expired` and `Revoked`.
const FAULT_NAME_MIN: usize = 7;

/// The subject in the one line that Exchange 2016 and later write of a peer's certificate: its
/// parts are joined by blanks, and the issuer begins with the next attribute of the first kind.
fn joined_subject<'a>(data: &'a str, context: &str) -> Option<&'a str> {
    let peers = ["Remote certificate Subject", "Received certificate Subject"];
    if !peers.iter().any(|peer| context.starts_with(peer)) {
        return None;
    }
    let data = data.trim_start();
    let (kind, _) = data.split_once('=')?;
    let again = data[kind.len()..].find(&format!(" {kind}="))?;
    Some(&data[..kind.len() + again])
}

fn push(list: &mut Vec<String>, member: String) {
    if list.len() < MEMBERS_MAX && !list.contains(&member) {
        list.push(member);
    }
}
