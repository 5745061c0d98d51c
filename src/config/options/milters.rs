//! The keys of milters (docs/milter.md).

use super::super::format;
use super::super::milter_address;
use super::{COUNT, Default, Key, many, one, word};

const MILTER: &str = "milter";
const RECEIVE: &str = "receive_connector";

pub const KEYS: &[Key] = &[
    Key::new(
        MILTER,
        "name",
        one(format::NAME),
        Default::Required,
        "Its name in receive connectors, logs and counters.",
    ),
    Key::new(
        MILTER,
        "address",
        one(milter_address::FORMAT),
        Default::Required,
        "Where it listens: `inet:host:port`, `inet:[2001:db8::1]:port` or `unix:/path`. What goes there is in clear: keep it on this host or a network of your own.",
    ),
    Key::new(
        MILTER,
        "connect_timeout",
        one(format::POSITIVE_DURATION),
        Default::Text("5 s"),
        "For a connection to it, and for its first answer.",
    ),
    Key::new(
        MILTER,
        "command_timeout",
        one(format::POSITIVE_DURATION),
        Default::Text("30 s"),
        "For each answer about the client, the sender or a recipient.",
    ),
    Key::new(
        MILTER,
        "content_timeout",
        one(format::POSITIVE_DURATION),
        Default::Text("5 min"),
        "For each answer about content. A milter that says that it is still at it gets the time anew, for nine minutes at most.",
    ),
    Key::new(
        MILTER,
        "default_action",
        word(&["tempfail", "accept", "reject"]),
        Default::Text("tempfail"),
        "What becomes of mail while the milter cannot be asked or breaks the protocol: `451 4.7.1`, taken without it, or `550 5.7.1`.",
    ),
    Key::new(
        MILTER,
        "discard_action",
        word(&["discard", "quarantine", "reject"]),
        Default::Text("discard"),
        "What becomes of a message that the milter wants dropped: `250` and nobody gets it, taken and held for an operator, or `550 5.7.1`.",
    ),
    Key::new(
        MILTER,
        "max_connections",
        COUNT,
        Default::Integer(200),
        "Sessions that speak with it at one time. Others wait for `connect_timeout`; then `default_action` holds.",
    )
    .unit("connections"),
    Key::new(
        RECEIVE,
        "milters",
        many(format::NAME),
        Default::List(&[]),
        "Names of `[[milter]]` entries that are asked about each message, in this order. Mail of partners is shown to them as all other.",
    ),
    Key::new(
        RECEIVE,
        "milter_action",
        word(&["off", "mark", "enforce"]),
        Default::Text("enforce"),
        "`mark` asks them and writes what they say into `X-Sealpost-Milter`, the log and the counters, and changes nothing else.",
    ),
];
