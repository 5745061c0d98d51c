//! The keys of `[stamp]`.

use super::super::format;
use super::{Default, Key, one};

pub const KEYS: &[Key] = &[
    Key::new(
        "stamp",
        "signing_domain",
        one(format::DOMAIN),
        Default::Nothing,
        "`d=` of the signature (DKIM) that messages get which leave with a stamp (`send_organization_headers`). Needs `signing_key`.",
    ),
    Key::new(
        "stamp",
        "selector",
        one(format::DOMAIN),
        Default::Text("stamp"),
        "`s=` of it: the public key stands in the DNS at `SELECTOR._domainkey.SIGNING_DOMAIN`. One that nothing else signs with: whatever comes in under it is removed.",
    ),
    Key::new(
        "stamp",
        "signing_key",
        one(format::PATH),
        Default::Nothing,
        "The private key, Ed25519 or RSA of 2048 to 4096 bits, PEM, mode 0600; `sealpost stamp key` makes it. Read again within 2 s of a change.",
    ),
];
