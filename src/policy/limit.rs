//! The limits that a client can reach, by the names that events, counters and the protocol log
//! give them, and whose limit it was.

use std::fmt;

/// What there was too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Open at one time.
    Connections,
    ConnectionRate,
    MessageRate,
    RecipientRate,
    ByteRate,
    ProtocolErrorRate,
    /// Handshakes at one time.
    Handshakes,
    /// A handshake took too long.
    HandshakeTime,
    /// Of one session.
    ProtocolErrors,
    /// A command was not complete, or content did not go on, within `connection_inactivity_timeout`.
    CommandTime,
    /// No transaction was completed within `connection_timeout`.
    ConnectionTime,
    SessionTime,
    /// Content came more slowly than `minimum_data_rate`.
    DataRate,
    /// More was sent ahead of our replies than is kept.
    InputAhead,
    MessageSize,
    HeaderSize,
    RecipientsPerMessage,
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// All clients of the connector.
    Connector,
    /// One address, of IPv6 one /64.
    Source,
    /// A /24, of IPv6 a /48.
    Subnet,
    /// All sessions in which a partner proved itself.
    Partner,
    Session,
}

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reached {
    pub limit: Limit,
    pub scope: Scope,
}

impl Limit {
    /// As label, event and protocol log write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Limit::Connections => "connections",
            Limit::ConnectionRate => "connection-rate",
            Limit::MessageRate => "message-rate",
            Limit::RecipientRate => "recipient-rate",
            Limit::ByteRate => "byte-rate",
            Limit::ProtocolErrorRate => "protocol-error-rate",
            Limit::Handshakes => "handshakes",
            Limit::HandshakeTime => "handshake-time",
            Limit::ProtocolErrors => "protocol-errors",
            Limit::CommandTime => "command-time",
            Limit::ConnectionTime => "connection-time",
            Limit::SessionTime => "session-time",
            Limit::DataRate => "data-rate",
            Limit::InputAhead => "input-ahead",
            Limit::MessageSize => "message-size",
            Limit::HeaderSize => "header-size",
            Limit::RecipientsPerMessage => "recipients-per-message",
        }
    }

    pub fn of_session(self) -> Reached {
        Reached { limit: self, scope: Scope::Session }
    }
}

impl Scope {
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Connector => "connector",
            Scope::Source => "source",
            Scope::Subnet => "subnet",
            Scope::Partner => "partner",
            Scope::Session => "session",
        }
    }
}

/// The text of the 421 to a client that has taken all it may.
impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = match self.scope {
            Scope::Connector => "server",
            Scope::Source => "source",
            Scope::Subnet => "network",
            Scope::Partner => "partner",
            Scope::Session => "session",
        };
        if self.limit == Limit::Connections {
            return match self.scope {
                Scope::Connector => f.write_str("too many connections to this server; try again later"),
                Scope::Source => f.write_str("too many connections from your address; try again later"),
                Scope::Subnet => f.write_str("too many connections from your network; try again later"),
                Scope::Partner | Scope::Session => {
                    write!(f, "too many connections of this {whose}; try again later")
                }
            };
        }
        let what = match self.limit {
            Limit::Connections => "Connection",
            Limit::ConnectionRate => "Connection rate",
            Limit::MessageRate => "Message rate",
            Limit::RecipientRate => "Recipient rate",
            Limit::ByteRate => "Byte rate",
            Limit::ProtocolErrorRate => "Protocol error rate",
            Limit::Handshakes => "TLS handshake",
            Limit::HandshakeTime => "TLS handshake time",
            Limit::ProtocolErrors => "Protocol error",
            Limit::CommandTime => "Command time",
            Limit::ConnectionTime => "Connection time",
            Limit::SessionTime => "Session time",
            Limit::DataRate => "Data rate",
            Limit::InputAhead => "Input",
            Limit::MessageSize => "Message size",
            Limit::HeaderSize => "Header size",
            Limit::RecipientsPerMessage => "Recipient",
        };
        write!(f, "{what} limit of this {whose} exceeded, try again later")
    }
}
