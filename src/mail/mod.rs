//! Words: addresses, domains, the envelope, the header section, trace fields, DSN text and TLS
//! reports (RFC 5321, 5322, 3461, 3464, 6531, 6533, 8460, 8601). Pure: no socket, file, clock or random source.

mod address;
pub mod authentication_results;
pub mod date;
mod domain;
pub mod dsn;
mod envelope;
pub mod header;
mod now;
pub mod received;
mod status;
pub mod text;
pub mod tls_report;
pub mod xtext;

pub use address::{Address, AddressError, ForwardPath, Host, ReversePath};
pub use domain::{Domain, DomainError};
pub use envelope::{BodyType, Envelope, TlsRequired};
pub use now::Now;
pub use status::EnhancedCode;
