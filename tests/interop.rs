//! Peers from elsewhere, on loopback: foreign servers as the partner, in both directions where they
//! can; foreign clients; a scanner; and foreign milters (rspamd, ClamAV). They keep us honest about what the wire really says.
//! docs/interop.md tells what was seen of each.

#[path = "interop/authentication.rs"]
mod authentication;
#[path = "interop/chasquid.rs"]
mod chasquid;
#[path = "interop/clamav.rs"]
mod clamav;
#[path = "interop/clients.rs"]
mod clients;
mod common;
#[path = "interop/exim.rs"]
mod exim;
#[path = "interop/haraka.rs"]
mod haraka;
#[path = "interop/mail_send.rs"]
mod mail_send_client;
#[path = "interop/mailin.rs"]
mod mailin_server;
#[path = "interop/opensmtpd.rs"]
mod opensmtpd;
#[path = "interop/peers.rs"]
mod peers;
#[path = "interop/postfix.rs"]
mod postfix;
#[path = "interop/rspamd.rs"]
mod rspamd;
#[path = "interop/scan.rs"]
mod scan;
#[path = "interop/sendmail.rs"]
mod sendmail;
#[path = "interop/swaks.rs"]
mod swaks;
#[path = "interop/tls_tools.rs"]
mod tls_tools;
