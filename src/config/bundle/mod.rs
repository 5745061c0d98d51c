//! The part of the settings that all edges of an organisation share: made inside, signed, and handed to
//! each edge as one file (what EdgeSync does for Exchange). An edge takes it when a key that its own file
//! names has signed it, joins it with that file, and keeps both apart: every key has one home.
//! docs/several-edges.md tells it to operators, docs/decisions/bundle.md why it is so.

mod content;
mod join;
mod scope;
mod signed;
mod source;
mod store;

pub use content::{Content, File};
pub use join::join;
pub use scope::is_local;
pub use signed::{Bundle, PublicKey, SigningKey, open, peek, seal};
pub use source::gather;
pub use store::Store;

/// Largest bundle, octets as it is handed over.
pub const BUNDLE_BYTES_MAX: u64 = 64 << 20;
/// Largest file in a bundle, and largest text of settings, octets.
pub const FILE_BYTES_MAX: u64 = 16 << 20;
pub const SETTINGS_BYTES_MAX: u64 = 1 << 20;
/// Files in a bundle.
pub const FILES_MAX: usize = 1000;
/// Longest name of a file in a bundle, octets.
pub const NAME_BYTES_MAX: usize = 128;

/// What is wrong with a bundle, a key for bundles, or the place where an edge keeps its own.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("it is no bundle of settings; make one with `sealpost config bundle`")]
    NoBundle,
    #[error("it is a bundle of format {0:?}, and this program knows format 1; upgrade this edge first")]
    OtherFormat(String),
    #[error(
        "it is signed with {0}, which [bundle] trusted_keys does not name; add the key if it is yours, else ask who made it"
    )]
    UntrustedKey(PublicKey),
    #[error("its signature is wrong, so that it was changed or cut short on the way; hand it over again")]
    BadSignature,
    #[error("what it holds is damaged: {0}; make it anew")]
    Malformed(String),
    #[error("it holds more than {0}; leave out what edges do not need")]
    TooLarge(&'static str),
    #[error(
        "{0:?} cannot name a file in a bundle; use letters, digits, dots, hyphens and underscores, below the settings' own directory"
    )]
    BadName(String),
    #[error(
        "{0:?} is not a key for bundles; write ed25519/ and the base64 that `sealpost config bundle-key` prints"
    )]
    BadPublicKey(String),
    #[error("it is not an Ed25519 key in PKCS#8 PEM; make one with `sealpost config bundle-key`")]
    BadSigningKey,
    #[error("cannot {action} {path}: {source}; check its owner and the free space", path = .path.display())]
    Disk { action: &'static str, path: std::path::PathBuf, source: std::io::Error },
    #[error("{path}, which came with the bundle, is missing or changed; apply the bundle again", path = .0.display())]
    FileChanged(std::path::PathBuf),
}
#[cfg(test)]
mod tests;
