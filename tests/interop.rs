//! Peers from elsewhere, on loopback: two foreign clients (the mail-send crate, swaks) and two
//! foreign servers (Postfix, mailin-embedded), and a foreign milter (rspamd). They keep us honest about what the wire really says.

mod common;
#[path = "interop/mail_send.rs"]
mod mail_send_client;
#[path = "interop/mailin.rs"]
mod mailin_server;
#[path = "interop/postfix.rs"]
mod postfix;
#[path = "interop/rspamd.rs"]
mod rspamd;
#[path = "interop/swaks.rs"]
mod swaks;
