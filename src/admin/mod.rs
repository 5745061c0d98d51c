//! The doors for operators' tools: HTTP on `[admin].listen` (`/healthz`, `/metrics`) and the
//! control socket through which commands reach a running server.

pub mod control;
mod http;

pub use http::serve;
