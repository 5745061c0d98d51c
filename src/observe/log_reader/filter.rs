//! Which sessions an operator means.

use std::borrow::Cow;
use std::collections::BTreeSet;

use ipnet::IpNet;
use jiff::Timestamp;

use super::facts::comparable_domain;
use super::{Facts, Frame, LineView, Outcome, Session, VerdictIs};
use crate::trust::Direction;

/// All conditions must hold; an empty filter takes every session.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Session ids in upper case; none is every session.
    pub sessions: BTreeSet<String>,
    /// Any of these is a sender's, a recipient's or the judged domain: `--domain`, or a partner's.
    pub domains: Vec<String>,
    pub address: Option<AddressFilter>,
    /// The connector's name, with or without Exchange's `SERVER\`.
    pub connector: Option<String>,
    /// A fault of docs/faults.md or an Exchange status, upper or lower case.
    pub fault: Option<String>,
    pub outcome: Option<Outcome>,
    pub verdict: Option<VerdictIs>,
    /// A queue id, message id or any other text of a line.
    pub message: Option<String>,
    pub direction: Option<Direction>,
    /// The session's last line is not before, its first not after.
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// `--address`: who connected or was connected to, or a mail address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressFilter {
    Remote(IpNet),
    Mail(String),
}

impl AddressFilter {
    /// An IP address, a range such as `192.0.2.0/24`, or a mail address.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(range) = text.parse::<IpNet>() {
            return Ok(Self::Remote(range));
        }
        if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>() {
            return Ok(Self::Remote(IpNet::from(address)));
        }
        if text.contains('@') {
            return Ok(Self::Mail(text.to_lowercase()));
        }
        Err(format!("{text} is no IP address, no range and no mail address; write one of these"))
    }

    fn matches(&self, remote: &str, facts: &Facts) -> bool {
        match self {
            AddressFilter::Remote(range) => {
                remote_address(remote).is_some_and(|remote| range.contains(&remote))
            }
            AddressFilter::Mail(address) => {
                facts.senders.iter().chain(&facts.recipients).any(|one| one.to_lowercase() == *address)
            }
        }
    }
}

/// The address of `192.0.2.1:25` or `[2001:db8::1]:25`.
fn remote_address(endpoint: &str) -> Option<std::net::IpAddr> {
    let (address, _) = endpoint.rsplit_once(':')?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    address.parse::<std::net::IpAddr>().ok().map(|address| address.to_canonical())
}

impl Filter {
    /// Whether there is no condition at all.
    pub fn is_empty(&self) -> bool {
        let Self {
            sessions,
            domains,
            address,
            connector,
            fault,
            outcome,
            verdict,
            message,
            direction,
            since,
            until,
        } = self;
        sessions.is_empty()
            && domains.is_empty()
            && address.is_none()
            && connector.is_none()
            && fault.is_none()
            && outcome.is_none()
            && verdict.is_none()
            && message.is_none()
            && direction.is_none()
            && since.is_none()
            && until.is_none()
    }

    /// Whether all conditions hold of the session, as far as it is known.
    pub fn matches(&self, session: &Session) -> bool {
        self.judge(&session.frame(), || session.views()).is_some()
    }

    /// Whether a session of this name can match at all.
    pub(super) fn may_match(&self, direction: Direction, connector: &str, id: &str) -> bool {
        (self.sessions.is_empty() || self.sessions.contains(id) || self.sessions.contains(upper(id).as_ref()))
            && self.direction.is_none_or(|wanted| direction == wanted)
            && self.connector.as_ref().is_none_or(|name| is_connector(connector, name))
    }

    /// What the lines say, if all conditions hold.
    pub(super) fn judge<'a, I>(&self, frame: &Frame<'_>, lines: impl Fn() -> I) -> Option<Facts>
    where
        I: Iterator<Item = LineView<'a>>,
    {
        if !self.may_match(frame.direction, frame.connector, frame.id)
            || self.since.is_some_and(|since| frame.last < since)
            || self.until.is_some_and(|until| frame.started > until)
            || !self.matches_text(lines())
        {
            return None;
        }
        let facts = Facts::of(frame.direction, frame.ended, lines());
        self.matches_facts(frame.remote, &facts).then_some(facts)
    }

    fn matches_text<'a>(&self, mut lines: impl Iterator<Item = LineView<'a>>) -> bool {
        self.message.as_ref().is_none_or(|text| {
            lines.any(|line| {
                contains_ignoring_case(line.data, text) || contains_ignoring_case(line.context, text)
            })
        })
    }

    fn matches_facts(&self, remote: &str, facts: &Facts) -> bool {
        (self.domains.is_empty() || self.concerns_domain(facts))
            && self.address.as_ref().is_none_or(|address| address.matches(remote, facts))
            && self
                .fault
                .as_ref()
                .is_none_or(|fault| facts.faults.iter().any(|one| one.eq_ignore_ascii_case(fault)))
            && self.outcome.is_none_or(|outcome| facts.outcomes.contains(&outcome))
            && self.verdict.is_none_or(|verdict| facts.verdict_is() == verdict)
    }

    fn concerns_domain(&self, facts: &Facts) -> bool {
        let wanted: Vec<Cow<'_, str>> = self.domains.iter().map(|domain| comparable_domain(domain)).collect();
        facts.domains().any(|domain| wanted.contains(&domain))
    }
}

fn upper(id: &str) -> Cow<'_, str> {
    if id.bytes().any(|byte| byte.is_ascii_lowercase()) { id.to_ascii_uppercase().into() } else { id.into() }
}

/// Letters of ASCII in either case; others as they are, unless `text` itself has some.
fn contains_ignoring_case(field: &str, text: &str) -> bool {
    let Some((first, _)) = text.as_bytes().split_first() else { return true };
    if !text.is_ascii() {
        return field.to_lowercase().contains(&text.to_lowercase());
    }
    let field = field.as_bytes();
    memchr::memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), field).any(|at| {
        field.get(at..at + text.len()).is_some_and(|part| part.eq_ignore_ascii_case(text.as_bytes()))
    })
}

fn is_connector(connector: &str, name: &str) -> bool {
    let bare = connector.rsplit_once('\\').map_or(connector, |(_, bare)| bare);
    connector.eq_ignore_ascii_case(name) || bare.eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_in_either_case() {
        for (field, text, found) in [
            ("250 2.6.0 <ABC@x> queued", "<abc@X>", true),
            ("aab", "ab", true),
            ("ab", "abc", false),
            ("", "", true),
            ("GR\u{d6}SSE", "gr\u{f6}sse", true),
        ] {
            assert_eq!(contains_ignoring_case(field, text), found, "{field} {text}");
        }
    }
}
