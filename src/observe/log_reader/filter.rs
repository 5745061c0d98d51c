//! Which sessions an operator means.

use ipnet::IpNet;
use jiff::Timestamp;

use super::facts::comparable_domain;
use super::{Facts, Outcome, Session};
use crate::trust::Direction;

/// All conditions must hold; an empty filter takes every session.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Session id, upper or lower case.
    pub session: Option<String>,
    /// Any of these is a sender's, a recipient's or the judged domain: `--domain`, or a partner's.
    pub domains: Vec<String>,
    pub address: Option<AddressFilter>,
    /// The connector's name, with or without Exchange's `SERVER\`.
    pub connector: Option<String>,
    /// A fault of docs/faults.md or an Exchange status, upper or lower case.
    pub fault: Option<String>,
    pub outcome: Option<Outcome>,
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

    fn matches(&self, session: &Session, facts: &Facts) -> bool {
        match self {
            AddressFilter::Remote(range) => {
                remote_address(&session.remote).is_some_and(|remote| range.contains(&remote))
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
        let Self { session, domains, address, connector, fault, outcome, message, direction, since, until } =
            self;
        session.is_none()
            && domains.is_empty()
            && address.is_none()
            && connector.is_none()
            && fault.is_none()
            && outcome.is_none()
            && message.is_none()
            && direction.is_none()
            && since.is_none()
            && until.is_none()
    }

    /// Whether all conditions hold of the session, as far as it is known.
    pub fn matches(&self, session: &Session) -> bool {
        self.matches_frame(session) && self.matches_text(session) && self.matches_facts(session)
    }

    fn matches_frame(&self, session: &Session) -> bool {
        self.session.as_ref().is_none_or(|id| session.id.eq_ignore_ascii_case(id))
            && self.connector.as_ref().is_none_or(|name| is_connector(&session.connector, name))
            && self.direction.is_none_or(|direction| session.direction == direction)
            && self.since.is_none_or(|since| session.last >= since)
            && self.until.is_none_or(|until| session.started <= until)
    }

    fn matches_text(&self, session: &Session) -> bool {
        self.message.as_ref().is_none_or(|text| {
            let text = text.to_lowercase();
            let holds = |field: &str| field.to_lowercase().contains(&text);
            session.lines.iter().any(|line| holds(&line.data) || holds(&line.context))
        })
    }

    fn matches_facts(&self, session: &Session) -> bool {
        if self.domains.is_empty() && self.address.is_none() && self.fault.is_none() && self.outcome.is_none()
        {
            return true;
        }
        let facts = session.facts();
        let wanted: Vec<String> = self.domains.iter().map(|domain| comparable_domain(domain)).collect();
        (wanted.is_empty() || facts.domains().any(|domain| wanted.contains(&domain)))
            && self.address.as_ref().is_none_or(|address| address.matches(session, &facts))
            && self
                .fault
                .as_ref()
                .is_none_or(|fault| facts.faults.iter().any(|one| one.eq_ignore_ascii_case(fault)))
            && self.outcome.is_none_or(|outcome| facts.outcomes.contains(&outcome))
    }
}

fn is_connector(connector: &str, name: &str) -> bool {
    let bare = connector.rsplit_once('\\').map_or(connector, |(_, bare)| bare);
    connector.eq_ignore_ascii_case(name) || bare.eq_ignore_ascii_case(name)
}
