//! Conversation: the receive and the send session as state machines that do no I/O. A driver in
//! `relay` feeds inputs, carries out actions and keeps the deadline (RFC 5321, 3207).

pub mod receive;
pub mod send;
mod tls_facts;
pub mod transcript;
