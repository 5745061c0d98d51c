//! The keys that say what clients may take: of receive connectors, and of partner entries.

use super::super::format;
use super::{COUNT, Default, Key, Kind, many, one};

const RECEIVE: &str = "receive_connector";
const PARTNER: &str = "partner";
/// A count of which 0 is no limit.
const COUNT_OR_NONE: Kind = Kind::Integer { min: 0, max: u32::MAX as u64 };

pub const KEYS: &[Key] = &[
    Key::new(
        RECEIVE,
        "max_inbound_connections_per_subnet",
        COUNT,
        Default::Derived("five times `max_inbound_connections_per_source`"),
        "Per /24, of IPv6 per /48. Addresses that partners are known to send from are exempt.",
    )
    .unit("connections"),
    Key::new(
        RECEIVE,
        "reserved_partner_connections",
        COUNT_OR_NONE,
        Default::Derived("a tenth of `max_inbound_connections`"),
        "Places beyond `max_inbound_connections` that strangers cannot take: for addresses from which a partner proved itself within eight days, or that are in the `remote_ip_ranges` of a partner.",
    )
    .unit("connections"),
    Key::new(
        RECEIVE,
        "connection_rate_limit",
        COUNT,
        Default::Derived(
            "`message_rate_limit`, or sixty times `max_inbound_connections_per_source` if that is more",
        ),
        "New connections of a source; a source is an address, of IPv6 a /64.",
    )
    .unit("connections per minute"),
    Key::new(
        RECEIVE,
        "recipient_rate_limit",
        COUNT_OR_NONE,
        Default::Derived("fifty times `message_rate_limit`"),
        "Recipients that a source names, refused ones too; 0 is no limit.",
    )
    .unit("recipients per minute"),
    Key::new(
        RECEIVE,
        "byte_rate_limit",
        one(format::SIZE),
        Default::Nothing,
        "Octets that a source sends in a minute. A message in hand is finished; what is over counts against the next.",
    ),
    Key::new(
        RECEIVE,
        "protocol_error_rate_limit",
        COUNT_OR_NONE,
        Default::Derived("as `message_rate_limit`"),
        "Syntax errors, unknown commands and failed TLS handshakes of a source, then it is turned away; 0 is no limit.",
    )
    .unit("errors per minute"),
    Key::new(
        RECEIVE,
        "subnet_rate_factor",
        Kind::Integer { min: 1, max: 1000 },
        Default::Integer(5),
        "A /24, of IPv6 a /48, may take so many times what a source may, of every rate.",
    ),
    Key::new(
        RECEIVE,
        "max_protocol_errors",
        COUNT,
        Default::Integer(5),
        "Syntax errors and unknown commands of a session before it is closed with `421 4.7.0`.",
    )
    .unit("errors"),
    Key::new(
        RECEIVE,
        "minimum_data_rate",
        Kind::Integer { min: 1, max: 1 << 30 },
        Default::Integer(1024),
        "Content that comes at least so fast may outlast `connection_timeout`.",
    )
    .unit("bytes per second"),
    Key::new(
        RECEIVE,
        "session_timeout",
        one(format::POSITIVE_DURATION),
        Default::Text("1 day"),
        "Longest life of a connection, however much it is used; a transaction in hand is finished.",
    ),
    Key::new(
        PARTNER,
        "remote_ip_ranges",
        many(format::RANGE),
        Default::List(&[]),
        "Where the partner's servers connect from. It proves nothing and refuses nobody: connections from there may use the `reserved_partner_connections`, even before they first proved themselves.",
    ),
    Key::new(
        PARTNER,
        "max_inbound_connections",
        COUNT_OR_NONE,
        Default::Integer(0),
        "Connections in which the partner proved itself, from all addresses together; 0 is no limit but the connector's.",
    )
    .unit("connections"),
    Key::new(
        PARTNER,
        "message_rate_limit",
        COUNT_OR_NONE,
        Default::Integer(0),
        "Of all its sessions together; 0 is no limit but the connector's.",
    )
    .unit("messages per minute"),
    Key::new(
        PARTNER,
        "recipient_rate_limit",
        COUNT_OR_NONE,
        Default::Integer(0),
        "Of all its sessions together; 0 is no limit but the connector's.",
    )
    .unit("recipients per minute"),
    Key::new(
        PARTNER,
        "byte_rate_limit",
        one(format::SIZE),
        Default::Nothing,
        "Octets that all its sessions together send in a minute.",
    ),
];
