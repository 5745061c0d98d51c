//! `[bundle]`: settings that several edges share.

use super::super::format;
use super::{Default, Key, many};

pub const KEYS: &[Key] = &[Key::new(
    "bundle",
    "trusted_keys",
    many(format::BUNDLE_KEY),
    Default::List(&[]),
    "Whose bundles this edge takes: `ed25519/…`, as `sealpost config bundle-key` prints it. Empty: none.",
)];
