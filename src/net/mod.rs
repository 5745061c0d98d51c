//! The world outside: listeners, streams, TLS set-up, DNS, and revocation lists on disk. What is
//! learned here is handed up as values; what it means is decided in `trust` and `policy`.

pub mod connect;
pub mod crl;
pub mod listener;
pub mod local;
pub mod resolver;
pub mod stream;
pub mod tls;
