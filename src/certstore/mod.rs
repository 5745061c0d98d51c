//! Our own certificates: PEM files and the managed store become checked values; requests are made,
//! and what a CA answers is read, put in order and kept.

mod bundle;
mod chain;
mod files;
mod import;
mod load;
mod pkcs12;
mod pkcs7;
mod request;
pub mod stamp_key;
mod store;
mod subject;
mod writer;

pub use bundle::{Bundle, BundleError};
pub use chain::Completeness;
pub use files::{Owner, replace, write_new};
pub use import::{ImportError, ImportOptions, Imported, import, key_id, pin, subject};
pub use load::{CertificateError, load};
pub use pkcs12::{ExportError, export};
pub use request::{KeyKind, RequestError, RequestTerms, key_pair, self_signed_certificate, signing_request};
pub use store::{About, Entry, Found, Origin, PendingRequest, RequestAbout, Stamp, Store, StoreError, sha1};
pub use subject::{Subject, SubjectError};
pub use writer::{Writer, chain_pem, pem};
