//! The keys of a receive connector that ask for checks of incoming mail (docs/inbound-checks.md).

use super::super::format;
use super::{Default, Key, many, one, word};

const RECEIVE: &str = "receive_connector";
const MODES: &[&str] = &["off", "mark", "enforce"];

const fn mode(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key::new(RECEIVE, name, word(MODES), Default::Text(default), doc)
}

pub const KEYS: &[Key] = &[
    mode(
        "spf",
        "off",
        "SPF (RFC 7208) of HELO name and reverse-path. `mark` writes what was found into `Authentication-Results`; `enforce` also refuses `fail` with `550 5.7.23`.",
    ),
    mode(
        "dkim",
        "off",
        "DKIM (RFC 6376). `enforce` refuses a message whose signatures are all bad with `550 5.7.20`; one without signatures is taken.",
    ),
    mode(
        "dmarc",
        "off",
        "DMARC (RFC 9989), for which SPF and DKIM are looked at too. `enforce` refuses what fails a policy of `reject` with `550 5.7.26`; `quarantine` is marked.",
    ),
    mode("arc", "off", "ARC (RFC 8617). `enforce` refuses a broken chain with `550 5.7.29`."),
    Key::new(
        RECEIVE,
        "dns_block_lists",
        many(format::DOMAIN),
        Default::List(&[]),
        "Zones of DNS block lists (RFC 5782) that are asked about the client's address, such as `zen.example`.",
    ),
    mode(
        "dns_block_list_action",
        "enforce",
        "What becomes of a client that is listed: `enforce` refuses its mail with `550 5.7.1` and what the list says.",
    ),
    mode(
        "partner_checks",
        "mark",
        "The most that becomes of these checks for a transaction that mutual TLS has proved to be a partner's: `mark` makes them and refuses nothing, `off` makes none, `enforce` treats partners as everyone. The protocol log says which.",
    ),
    Key::new(
        RECEIVE,
        "check_timeout",
        one(format::POSITIVE_DURATION),
        Default::Text("20 s"),
        "For all checks at MAIL, and again for all of the content. What is not known by then is `temperror`, which `enforce` puts off with `451 4.7.x`.",
    ),
];
