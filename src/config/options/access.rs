//! The keys of how a connection begins and who is behind it: TLS from the first byte, balancers in
//! front of us.

use super::super::format;
use super::{Default, Key, Kind, many};

const RECEIVE: &str = "receive_connector";
const SEND: &str = "send_connector";

pub const KEYS: &[Key] = &[
    Key::new(
        RECEIVE,
        "implicit_tls",
        Kind::Bool,
        Default::Bool(false),
        "TLS begins with the connection, without STARTTLS, on all bindings of the connector (port 465, RFC 8314). Whoever speaks clear text there is cut off; everything else holds as behind STARTTLS.",
    ),
    Key::new(
        RECEIVE,
        "proxy_protocol_from",
        many(format::RANGE),
        Default::List(&[]),
        "Balancers: connections from these addresses must begin with a header of the PROXY protocol, version 1 or 2, and the client that it names is the remote address for connector, limits and logs. From anywhere else the header is no command. Of connectors on one binding only those that list a balancer are reached through it.",
    ),
    Key::new(
        SEND,
        "implicit_tls",
        Kind::Bool,
        Default::Bool(false),
        "TLS begins with the connection, without STARTTLS: for next hops that listen so on `port`. Nothing is ever sent in clear.",
    ),
];
