//! The replies of a receive session that do not come from judgement or from the command grammar
//! (RFC 5321 4.2, RFC 3463; CONTRACT section 3). One line each.

use crate::mail::{Address, Domain};
use crate::policy::{Reached, ReceiveConnector};
use crate::smtp::{Reply, SessionId};

use super::{Kept, StoreFault};

pub(super) fn banner(fqdn: &Domain) -> Reply {
    Reply::plain(220, vec![format!("{fqdn} ESMTP Sealpost")])
}

pub(super) fn refused_connection(text: &str) -> Reply {
    Reply::new(421, (4, 7, 0), text)
}

pub(super) fn hello(fqdn: &Domain) -> Reply {
    Reply::plain(250, vec![fqdn.to_string()])
}

pub(super) fn ok() -> Reply {
    Reply::new(250, (2, 0, 0), "OK")
}

pub(super) fn sender_ok() -> Reply {
    Reply::new(250, (2, 1, 0), "Sender OK")
}

pub(super) fn recipient_ok() -> Reply {
    Reply::new(250, (2, 1, 5), "Recipient OK")
}

pub(super) fn start_content() -> Reply {
    Reply::plain(354, vec!["Start mail input; end with <CRLF>.<CRLF>".to_owned()])
}

pub(super) fn queued(queue_id: &str) -> Reply {
    Reply::new(250, (2, 6, 0), format!("{queue_id} Queued mail for delivery"))
}

pub(super) fn kept(kept: Kept, queue_id: &str) -> Reply {
    match kept {
        Kept::Durable => queued(queue_id),
        Kept::Relayed => Reply::new(250, (2, 6, 0), format!("{queue_id} Relayed to the next hop")),
    }
}

pub(super) fn goodbye(fqdn: &Domain) -> Reply {
    Reply::new(221, (2, 0, 0), format!("{fqdn} closing connection"))
}

pub(super) fn cannot_verify() -> Reply {
    Reply::new(252, (2, 1, 5), "Cannot VRFY user, but will take a message and try to deliver it")
}

pub(super) fn help(auth: bool) -> Reply {
    let commands = "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP STARTTLS";
    Reply::new(214, (2, 0, 0), format!("{commands}{}", if auth { " AUTH" } else { "" }))
}

pub(super) fn authenticated() -> Reply {
    Reply::new(235, (2, 7, 0), "Authentication successful")
}

/// Whatever the reason was (RFC 4954 6).
pub(super) fn not_authenticated() -> Reply {
    Reply::new(535, (5, 7, 8), "Authentication credentials invalid")
}

pub(super) fn auth_not_now() -> Reply {
    Reply::new(454, (4, 7, 0), "Temporary authentication failure")
}

pub(super) fn auth_needs_tls() -> Reply {
    Reply::new(538, (5, 7, 11), "Encryption required for authentication, start TLS first")
}

pub(super) fn mechanism_not_offered() -> Reply {
    Reply::new(504, (5, 5, 4), "Authentication mechanism not offered")
}

pub(super) fn auth_cancelled() -> Reply {
    Reply::new(501, (5, 7, 0), "Authentication cancelled")
}

pub(super) fn authenticated_already() -> Reply {
    Reply::new(503, (5, 5, 1), "Authenticated already")
}

pub(super) fn auth_in_transaction() -> Reply {
    Reply::new(503, (5, 5, 1), "AUTH is not permitted during a transaction")
}

pub(super) fn too_many_auth_failures() -> Reply {
    Reply::new(421, (4, 7, 0), "Too many failed attempts to authenticate, closing transmission channel")
}

pub(super) fn no_longer_authenticated() -> Reply {
    Reply::new(421, (4, 7, 0), "Authentication no longer holds, closing transmission channel")
}

pub(super) fn authentication_required() -> Reply {
    Reply::new(530, (5, 7, 0), "Authentication required")
}

pub(super) fn not_your_address() -> Reply {
    Reply::new(550, (5, 7, 1), "Sender address is not one that you may send as")
}

pub(super) fn hello_first() -> Reply {
    Reply::new(503, (5, 5, 1), "Send EHLO first")
}

pub(super) fn nested_mail() -> Reply {
    Reply::new(503, (5, 5, 1), "A transaction is open already")
}

pub(super) fn mail_first() -> Reply {
    Reply::new(503, (5, 5, 1), "Send MAIL first")
}

pub(super) fn no_recipients() -> Reply {
    Reply::new(503, (5, 5, 1), "No valid recipients")
}

pub(super) fn content_has_begun() -> Reply {
    Reply::new(503, (5, 5, 1), "Chunks of the message have come; send the rest with BDAT, or RSET")
}

pub(super) fn binary_by_data() -> Reply {
    Reply::new(503, (5, 5, 1), "BODY=BINARYMIME needs BDAT")
}

pub(super) fn chunking_not_offered() -> Reply {
    Reply::new(503, (5, 5, 1), "BDAT was not offered here")
}

pub(super) fn chunk_ok() -> Reply {
    Reply::new(250, (2, 0, 0), "Chunk received")
}

pub(super) fn chunk_too_large() -> Reply {
    Reply::new(552, (5, 3, 4), "Chunk too large, closing transmission channel")
}

pub(super) fn start_tls() -> Reply {
    Reply::new(220, (2, 0, 0), "Ready to start TLS")
}

pub(super) fn tls_active() -> Reply {
    Reply::new(503, (5, 5, 1), "TLS is active already")
}

pub(super) fn tls_not_offered(connector: &ReceiveConnector) -> Reply {
    if connector.offer_starttls {
        Reply::new(454, (4, 7, 0), "TLS not available at present")
    } else {
        Reply::new(502, (5, 5, 1), "STARTTLS not offered here")
    }
}

pub(super) fn bytes_behind_starttls() -> Reply {
    Reply::new(421, (4, 7, 0), "Bytes behind STARTTLS before the handshake, closing transmission channel")
}

pub(super) fn exceeded(reached: Reached) -> Reply {
    Reply::new(421, (4, 7, 0), reached.to_string())
}

pub(super) fn too_large(octets_max: u64) -> Reply {
    Reply::new(552, (5, 3, 4), format!("Message exceeds the fixed maximum size of {octets_max} octets"))
}

pub(super) fn header_too_large(octets_max: usize) -> Reply {
    Reply::new(552, (5, 3, 4), format!("Header section exceeds {octets_max} octets"))
}

pub(super) fn needs_smtputf8() -> Reply {
    Reply::new(553, (5, 6, 7), "An address with non-ASCII letters needs SMTPUTF8")
}

pub(super) fn too_many_recipients() -> Reply {
    Reply::new(452, (4, 5, 3), "Too many recipients; send the rest in another transaction")
}

pub(super) fn relaying_denied() -> Reply {
    Reply::new(550, (5, 7, 1), "Relaying denied")
}

pub(super) fn special_local_part() -> Reply {
    Reply::new(550, (5, 7, 1), "Relaying denied: source routing in the local part")
}

pub(super) fn sender_not_allowed(domain: &Domain, session: SessionId) -> Reply {
    Reply::new(
        550,
        (5, 7, 1),
        format!("Mail for {domain} is taken from authenticated partners only (session {session})"),
    )
}

pub(super) fn unverified_recipient() -> Reply {
    Reply::new(451, (4, 1, 1), "The recipient cannot be verified at present, try again later")
}

pub(super) fn unknown_recipient() -> Reply {
    Reply::new(550, (5, 1, 1), "Recipient unknown")
}

pub(super) fn no_route(address: &Address) -> Reply {
    Reply::new(451, (4, 4, 4), format!("No route to {} at present, try again later", address.host()))
}

pub(super) fn loops() -> Reply {
    Reply::new(554, (5, 4, 6), "Mail loop: too many Received fields")
}

pub(super) fn unproved_from(domain: &Domain, session: SessionId) -> Reply {
    Reply::new(
        550,
        (5, 7, 1),
        format!("From: names {domain}, which this session has not proved (session {session})"),
    )
}

pub(super) fn store(fault: StoreFault) -> Reply {
    match fault {
        StoreFault::DiskFull => Reply::new(452, (4, 3, 1), "Insufficient system storage, try again later"),
        StoreFault::Other => Reply::new(451, (4, 3, 0), "Message could not be stored, try again later"),
    }
}

pub(super) fn back_pressure() -> Reply {
    Reply::new(452, (4, 3, 1), "This server is short of resources, try again later")
}

pub(super) fn other_protocol(protocol: &str) -> Reply {
    Reply::new(421, (4, 7, 0), format!("{protocol} is not spoken here, closing transmission channel"))
}

pub(super) fn too_many_errors() -> Reply {
    Reply::new(421, (4, 7, 0), "Too many errors, closing transmission channel")
}

pub(super) fn timed_out() -> Reply {
    Reply::new(421, (4, 4, 2), "Connection timed out, closing transmission channel")
}

pub(super) fn too_much_input() -> Reply {
    Reply::new(421, (4, 7, 0), "Too much input ahead of replies, closing transmission channel")
}

pub(super) fn connector_gone() -> Reply {
    Reply::new(421, (4, 3, 2), "Service no longer offered here, closing transmission channel")
}

pub(super) fn shutting_down() -> Reply {
    Reply::new(421, (4, 3, 2), "Service shutting down, closing transmission channel")
}
