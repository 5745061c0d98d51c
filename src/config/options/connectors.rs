//! The keys of the connectors.

use crate::policy::limits::RECIPIENTS_MAX;

use super::super::format;
use super::{COUNT, Default, Key, Kind, many, one, word, words};

const RECEIVE: &str = "receive_connector";
const SEND: &str = "send_connector";

pub const KEYS: &[Key] = &[
    Key::new(
        RECEIVE,
        "name",
        one(format::NAME),
        Default::Required,
        "Its name in logs, counters and commands.",
    ),
    Key::new(
        RECEIVE,
        "bindings",
        many(format::BINDING),
        Default::Required,
        "Addresses to listen on. IPv6 bindings are v6-only; port 0 takes a free one, which `ready` reports.",
    ),
    Key::new(
        RECEIVE,
        "remote_ip_ranges",
        many(format::RANGE),
        Default::List(&["0.0.0.0/0", "::/0"]),
        "Who may connect; of several connectors on one binding the most specific range wins.",
    ),
    Key::new(
        RECEIVE,
        "fqdn",
        one(format::DOMAIN),
        Default::Derived("`hostname`"),
        "Name in the banner, and which certificate is offered.",
    ),
    Key::new(
        RECEIVE,
        "auth_mechanism",
        words(&["tls", "basic", "scram-sha-256", "external"]),
        Default::List(&["tls"]),
        "`tls` offers STARTTLS; `[]` does not. The others let users of `[authentication]` log in, inside TLS: `basic` with a password (PLAIN), `scram-sha-256` with a proof of it, `external` with the certificate that they show.",
    ),
    Key::new(
        RECEIVE,
        "domain_secure_enabled",
        Kind::Bool,
        Default::Bool(true),
        "Senders of domains on the receive list must prove themselves here.",
    ),
    Key::new(RECEIVE, "require_tls", Kind::Bool, Default::Bool(false), "No mail without TLS, from anyone."),
    Key::new(
        RECEIVE,
        "permissions",
        words(&["submit", "relay", "authenticated-relay"]),
        Default::List(&["submit"]),
        "`submit`: to accepted domains. `relay`: to any recipient, for internal connectors only. `authenticated-relay`: the same for those who have logged in; without `submit` beside it nobody else sends here.",
    ),
    Key::new(
        RECEIVE,
        "post_quantum_key_exchange",
        Kind::Bool,
        Default::Bool(true),
        "Offer the hybrid key exchange X25519MLKEM768 first. Its larger handshake is what an old middlebox on the way may fail at.",
    ),
    Key::new(
        RECEIVE,
        "delivery_status_notification_enabled",
        Kind::Bool,
        Default::Bool(true),
        "Offer DSN: senders may ask which delivery reports they get. Without it they get those of failures and delays.",
    ),
    Key::new(
        RECEIVE,
        "chunking_enabled",
        Kind::Bool,
        Default::Bool(true),
        "Offer CHUNKING: content may come in chunks of counted octets (BDAT).",
    ),
    Key::new(
        RECEIVE,
        "binary_mime_enabled",
        Kind::Bool,
        Default::Derived("`chunking_enabled`"),
        "Offer BINARYMIME, which needs CHUNKING: content may be of any octets. What a next hop does not take is returned (`5.6.3`), for nothing is converted; `false` where next hops lack BINARYMIME and senders can convert.",
    ),
    Key::new(
        RECEIVE,
        "accept_organization_headers",
        Kind::Bool,
        Default::Bool(false),
        "Keep stamps that an inner edge of ours has set; needs `relay`.",
    ),
    Key::new(
        RECEIVE,
        "protocol_logging_level",
        word(LOGGING),
        Default::Derived(LOGGING_DEFAULT),
        "Whether conversations go into the protocol log.",
    ),
    Key::new(
        RECEIVE,
        "max_message_size",
        one(format::SIZE),
        Default::Text("36 MiB"),
        "Larger messages get `552 5.3.4`.",
    ),
    Key::new(
        RECEIVE,
        "max_recipients_per_message",
        Kind::Integer { min: 1, max: RECIPIENTS_MAX as u64 },
        Default::Integer(200),
        "Further ones get `452 4.5.3`.",
    )
    .unit("recipients"),
    Key::new(
        RECEIVE,
        "max_inbound_connections",
        COUNT,
        Default::Integer(5000),
        "Further ones get `421 4.7.0`.",
    )
    .unit("connections"),
    Key::new(
        RECEIVE,
        "max_inbound_connections_per_source",
        COUNT,
        Default::Integer(20),
        "Per address (/64 for IPv6).",
    )
    .unit("connections"),
    Key::new(RECEIVE, "message_rate_limit", COUNT, Default::Integer(600), "Per source address.")
        .unit("messages per minute"),
    Key::new(
        RECEIVE,
        "connection_timeout",
        one(format::POSITIVE_DURATION),
        Default::Text("5 min"),
        "Since the last completed transaction; not during content that keeps 1 KiB/s.",
    ),
    Key::new(
        RECEIVE,
        "connection_inactivity_timeout",
        one(format::POSITIVE_DURATION),
        Default::Text("1 min"),
        "For each command to come whole, and between pieces of content.",
    ),
    Key::new(
        RECEIVE,
        "tarpit_interval",
        one(format::DURATION),
        Default::Text("5 s"),
        "Before the second and later 5xx of an unauthenticated session; never before a domain-security refusal.",
    ),
    Key::new(SEND, "name", one(format::NAME), Default::Required, "Its name in logs, counters and commands."),
    Key::new(
        SEND,
        "address_spaces",
        many(format::ADDRESS_SPACE),
        Default::Required,
        "Recipient domains: `x.example`, `*.x.example` (and x.example), `*`. The most specific wins, then the lowest cost.",
    ),
    Key::new(
        SEND,
        "cost",
        Kind::Integer { min: 0, max: 100_000 },
        Default::Integer(1),
        "Among connectors with equally specific address spaces the lowest wins.",
    ),
    Key::new(
        SEND,
        "dns_routing_enabled",
        Kind::Bool,
        Default::Bool(true),
        "Next hops by MX records; `false` needs `smart_hosts`.",
    ),
    Key::new(
        SEND,
        "smart_hosts",
        many(format::SMART_HOST),
        Default::List(&[]),
        "Next hops instead of MX records: `host`, `host:port`, `[192.0.2.1]:25`.",
    ),
    Key::new(
        SEND,
        "port",
        Kind::Integer { min: 1, max: 65535 },
        Default::Derived("465 with `implicit_tls`, else 25"),
        "Port of next hops.",
    ),
    Key::new(
        SEND,
        "source_addresses",
        many(format::IP),
        Default::List(&[]),
        "Addresses to connect from: at most one IPv4 and one IPv6.",
    ),
    Key::new(
        SEND,
        "fqdn",
        one(format::DOMAIN),
        Default::Derived("`hostname`"),
        "Name in EHLO, and which certificate is presented.",
    ),
    Key::new(
        SEND,
        "domain_secure_enabled",
        Kind::Bool,
        Default::Derived("as `dns_routing_enabled`"),
        "May carry mail for domains on the send list. Not together with `smart_hosts`.",
    ),
    Key::new(SEND, "require_tls", Kind::Bool, Default::Bool(false), "No mail without TLS, to anyone."),
    Key::new(
        SEND,
        "tls_auth_level",
        word(TLS_AUTH_LEVELS),
        Default::Text("none"),
        "What servers of unlisted domains must prove.",
    ),
    Key::new(
        SEND,
        "dane",
        Kind::Bool,
        Default::Bool(true),
        "Where a host of an unlisted domain has TLSA records and DNSSEC is to be had (`[dns] dnssec`), mail goes only to a server that they name (RFC 7672).",
    ),
    Key::new(
        SEND,
        "mta_sts",
        Kind::Bool,
        Default::Bool(true),
        "Where an unlisted domain publishes an MTA-STS policy in mode enforce, mail goes only to hosts that it names and that prove their names (RFC 8461). DNS routing only.",
    ),
    Key::new(
        SEND,
        "post_quantum_key_exchange",
        Kind::Bool,
        Default::Bool(true),
        "Offer the hybrid key exchange X25519MLKEM768 first. Its larger handshake is what an old middlebox on the way may fail at.",
    ),
    Key::new(
        SEND,
        "send_organization_headers",
        Kind::Bool,
        Default::Derived("true towards accepted domains that are not on the send list"),
        "Leave the stamp and `X-MS-Exchange-Organization-*` in the message.",
    ),
    Key::new(
        SEND,
        "stamp_exchange_headers",
        Kind::Bool,
        Default::Bool(false),
        "Also write `X-MS-Exchange-Organization-Auth…` (towards an internal Exchange).",
    ),
    Key::new(
        SEND,
        "protocol_logging_level",
        word(LOGGING),
        Default::Derived(LOGGING_DEFAULT),
        "Whether conversations go into the protocol log.",
    ),
    Key::new(
        SEND,
        "max_messages_per_connection",
        COUNT,
        Default::Integer(100),
        "Then a new connection is made.",
    )
    .unit("messages"),
    Key::new(SEND, "max_connections_per_destination", COUNT, Default::Integer(20), "At one time.")
        .unit("connections"),
];

const LOGGING: &[&str] = &["none", "verbose"];
const LOGGING_DEFAULT: &str = "`verbose` with `domain_secure_enabled`, else `none`";
const TLS_AUTH_LEVELS: &[&str] = &["none", "encryption-only", "certificate-validation", "domain-validation"];
