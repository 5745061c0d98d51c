//! The keys of what is looked up elsewhere: name servers, and the policies that domains publish.

use super::super::format;
use super::{Default, Key, Kind, many, word};

pub const KEYS: &[Key] = &[
    Key::new(
        "dns",
        "servers",
        many(format::DNS_SERVER),
        Default::List(&[]),
        "Name servers, such as `127.0.0.1:5353`. Default: the system's resolvers.",
    ),
    Key::new(
        "dns",
        "dnssec",
        word(&["auto", "off", "trusted-resolver"]),
        Default::Text("auto"),
        "Whether the name servers' word that an answer was validated (the AD bit) is believed, on which DANE rests: where all of them are loopback addresses, never, or always. `trusted-resolver` is for a validating resolver that is reached over a path nobody else can write to.",
    ),
    Key::new(
        "mta_sts",
        "port",
        Kind::Integer { min: 1, max: 65_535 },
        Default::Integer(443),
        "Port of the https servers that hold policies. For laboratories; RFC 8461 knows no other.",
    ),
    Key::new(
        "mta_sts",
        "allow_private_addresses",
        Kind::Bool,
        Default::Bool(false),
        "A policy may be fetched from a private or loopback address; else only from public ones.",
    ),
];
