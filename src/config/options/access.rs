//! The keys of how a connection begins and who is behind it: TLS from the first byte, balancers in
//! front of us.

use super::super::format;
use super::{Default, Key, Kind, many, one, word};

const RECEIVE: &str = "receive_connector";
const SEND: &str = "send_connector";

pub const KEYS: &[Key] = &[
    Key::new(
        "authentication",
        "users_file",
        one(format::PATH),
        Default::Nothing,
        "Who may log in, one a line, with what is kept of the password; made by `sealpost user`, mode 0600. Read again on reload and within 5 s of a change.",
    ),
    Key::new(
        "authentication",
        "trust_anchors",
        many(format::PATH),
        Default::Derived("`[trust]` `anchors`"),
        "To which the certificates of users must lead (`external`): \"system\", \"mozilla\", or PEM files.",
    ),
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
        "smart_host_auth_mechanism",
        word(&["none", "basic", "scram-sha-256", "external"]),
        Default::Text("none"),
        "How we log in at the smart hosts: not at all, with a password (PLAIN), with a proof of it, or with our certificate. Only with `tls_auth_level = \"domain-validation\"`, to the hosts of `smart_hosts`; where it fails mail waits.",
    ),
    Key::new(
        SEND,
        "authentication_credential",
        one(format::PATH),
        Default::Nothing,
        "File whose first line is the user and whose second is the password, mode 0600. Read again on reload and within 5 s of a change.",
    ),
    Key::new(
        SEND,
        "implicit_tls",
        Kind::Bool,
        Default::Bool(false),
        "TLS begins with the connection, without STARTTLS: for next hops that listen so on `port`. Nothing is ever sent in clear.",
    ),
];
