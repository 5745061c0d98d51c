//! What a report gives back of the message it is about, read from the queue.

use std::io::Read;

use sealpost_queue::{Content, MessageId};

use crate::mail::dsn::request::Return;
use crate::mail::dsn::{Kind, Withheld};
use crate::mail::{Address, TlsRequired, header};
use crate::policy::returned::{self, Returned, Undelivered};
use crate::policy::{Settings, header_firewall, limits};

use super::report::About;
use super::shared::Shared;

/// What a report returns of the message it is about.
pub(super) struct ReturnedMessage {
    /// The header section as strangers may see it; empty when it cannot be read any more.
    pub head: Vec<u8>,
    pub body: Option<Vec<u8>>,
    pub withheld: Option<Withheld>,
}

impl ReturnedMessage {
    /// Of the message `about`, in a report of this kind on these recipients.
    pub async fn read<'a>(
        shared: &Shared,
        settings: &Settings,
        about: &About<'_>,
        sender: &Address,
        kind: Kind,
        recipients: impl Iterator<Item = &'a Address>,
    ) -> Self {
        let message = Undelivered {
            // Only a failure gives a message back (RFC 3461 4.3), and REQUIRETLS none (RFC 8689 5).
            asked: (about.meta.dsn.message.returns)
                .filter(|_| kind == Kind::Failed && about.meta.tls_required != TlsRequired::Yes),
            size: about.size,
            secured: about.meta.secured.is_some(),
            sender,
        };
        let decided = returned::decide(settings, &message, recipients);
        let Some(start) = start_of(shared, about.id).await else {
            let withheld = (message.asked == Some(Return::Full)).then_some(Withheld::Unreadable);
            return Self { head: Vec::new(), body: None, withheld };
        };
        let (head, body_at) = header::split(&start);
        let head = header_firewall::outgoing(head, false, settings.ours());
        let (body, withheld) = match decided {
            Returned::Headers => (None, None),
            Returned::Content => (Some(start[body_at..].to_vec()), None),
            Returned::Withheld(reason) => (None, Some(reason)),
        };
        Self { head, body, withheld }
    }
}

/// Enough of the content to hold any header section, and all that a report may return.
pub(super) async fn start_of(shared: &Shared, id: MessageId) -> Option<Vec<u8>> {
    const LIMIT: u64 = limits::HEADER_SECTION_BYTES_MAX as u64 * 2;
    const _: () = assert!(limits::RETURNED_CONTENT_BYTES_MAX <= LIMIT);
    let content = shared.queue.content(id).await.ok()?;
    tokio::task::block_in_place(|| read_start(content, LIMIT)).ok()
}

/// The first `limit` octets of content.
fn read_start(content: Content, limit: u64) -> std::io::Result<Vec<u8>> {
    match content {
        Content::Memory(bytes) => Ok(bytes.to_vec()),
        Content::File { file, len } => {
            let mut start = Vec::new();
            file.take(limit.min(len)).read_to_end(&mut start)?;
            Ok(start)
        }
    }
}
