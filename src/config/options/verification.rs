//! The keys of recipient verification (docs/recipient-verification.md).

use super::super::format;
use super::{COUNT, Default, Key, one, word};

const SECTION: &str = "recipient_verification";

pub const KEYS: &[Key] = &[
    Key::new(
        "accepted_domain",
        "recipient_verification",
        word(&["off", "mark", "enforce"]),
        Default::Text("off"),
        "Ask the next hop of the domain at RCPT whether it knows the recipient, after `recipients`. `enforce` refuses others with `550 5.1.1`, and with `451 4.1.1` while the next hop cannot be asked; `mark` only tells of them.",
    ),
    Key::new(
        SECTION,
        "positive_expire_time",
        one(format::POSITIVE_DURATION),
        Default::Text("7 days"),
        "How long a recipient that exists is remembered.",
    ),
    Key::new(
        SECTION,
        "positive_refresh_time",
        one(format::POSITIVE_DURATION),
        Default::Text("1 day"),
        "After this it is asked about again, while mail for it goes on; so long it is also remembered whether a next hop takes any address.",
    ),
    Key::new(
        SECTION,
        "negative_expire_time",
        one(format::POSITIVE_DURATION),
        Default::Text("1 hour"),
        "How long a recipient that does not exist is remembered.",
    ),
    Key::new(
        SECTION,
        "timeout",
        one(format::POSITIVE_DURATION),
        Default::Text("10 s"),
        "For one answer of a next hop, look-ups and TLS included; the client waits as long.",
    ),
    Key::new(SECTION, "cache_size", COUNT, Default::Integer(100_000), "Addresses that are remembered.")
        .unit("addresses"),
    Key::new(
        SECTION,
        "rate_limit",
        COUNT,
        Default::Integer(300),
        "Questions about one domain; what goes beyond is unknown.",
    )
    .unit("questions per minute"),
];
