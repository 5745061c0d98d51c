//! The last look before the final dot of a message that is only offered: it is said as long as the
//! sender may still be told that the message is safe, and under the settings and revocation lists that
//! the peer was judged by. A durable message is held to what held when its transaction began.

use sealpost_queue::MessageId;

use super::super::shared::Shared;

pub struct Guard {
    id: MessageId,
    /// Of the settings and lists that the peer was judged under.
    epochs: (u64, u64),
    offered: bool,
}

impl Guard {
    /// Of a message that is about to be sent.
    pub fn new(shared: &Shared, id: MessageId, epochs: (u64, u64)) -> Self {
        Self { id, epochs, offered: shared.queue.is_offered(id) }
    }

    /// Why the final dot must not be said.
    pub(super) fn objection(&self, shared: &Shared) -> Option<&'static str> {
        if !self.offered {
            return None;
        }
        if !shared.queue.contains(self.id) {
            return Some("the message could not be kept, and its sender was told so");
        }
        let present = (shared.settings.load().epoch, shared.revocation.load().epoch);
        (shared.queue.is_offered(self.id) && present != self.epochs)
            .then_some("the settings or the revocation lists changed while the message was sent")
    }
}
