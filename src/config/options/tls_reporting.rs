//! The keys of `[tls_reporting]`.

use super::super::format;
use super::{Default, Key, Kind, one};

pub const KEYS: &[Key] = &[
    Key::new(
        "tls_reporting",
        "enabled",
        Kind::Bool,
        Default::Derived("whether organization_name is written"),
        "Count TLS sessions, and once a day send a report to each domain that publishes a TLS reporting record. Off until you say who reports: nobody gets mail from you unasked-for by you.",
    ),
    Key::new(
        "tls_reporting",
        "organization_name",
        one(format::TEXT),
        Default::Text(""),
        "Who reports, as the reports say it. Must be written for `enabled = true`.",
    ),
    Key::new(
        "tls_reporting",
        "contact_info",
        one(format::TEXT),
        Default::Derived("the address of from"),
        "Whom the receivers of reports may ask.",
    ),
    Key::new(
        "tls_reporting",
        "from",
        one(format::ADDRESS),
        Default::Derived("[transport] postmaster"),
        "`From:` of reports that go by mail. Their envelope sender is empty, so that nothing comes back.",
    ),
    Key::new(
        "tls_reporting",
        "max_delay",
        one(format::DURATION),
        Default::Text("4 hours"),
        "A day ends at midnight UTC; its reports leave spread over this time, so that receivers do not get all of them at once.",
    ),
    Key::new(
        "tls_reporting",
        "allow_private_addresses",
        Kind::Bool,
        Default::Bool(false),
        "Reports may go to https servers at private and loopback addresses, and at any port; else only to public ones, port 443.",
    ),
];
