//! Messages committed a moment ago, so that delivery need not read them back. Bounded in bytes; what
//! does not fit is read from the disk. Only untouched messages stand here: the first deferral or
//! other change drops them, so a cached message is never stale.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Body, Insert, Step};
use crate::{Message, MessageId, Recipient, Status};

#[derive(Debug)]
pub(crate) struct Cache {
    messages: BTreeMap<MessageId, Cached>,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Cached {
    pub message: Arc<Message>,
    /// `None`: the content has a file.
    pub content: Option<Bytes>,
    bytes: usize,
}

impl Cache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { messages: BTreeMap::new(), bytes: 0, bytes_max }
    }

    pub(crate) fn find(&self, id: MessageId) -> Option<Cached> {
        self.messages.get(&id).cloned()
    }

    /// Follows one durable step. `gone`: it removed the message's last recipient.
    pub(crate) fn follow(&mut self, step: &Step, gone: bool) {
        match step {
            Step::Insert(insert) => self.insert(insert),
            // The recipients left are as they were.
            Step::Remove { id, .. } if gone => self.drop_message(*id),
            Step::Remove { .. } | Step::ReserveIds { .. } => {}
            Step::Retry { id, .. }
            | Step::Move { id, .. }
            | Step::DelayNotified { id, .. }
            | Step::Hold { id, .. }
            | Step::Due { id, .. } => self.drop_message(*id),
        }
    }

    fn insert(&mut self, insert: &Insert) {
        let cached = Cached::of(insert);
        if cached.bytes > self.bytes_max {
            return;
        }
        self.bytes += cached.bytes;
        self.messages.insert(insert.id, cached);
        while self.bytes > self.bytes_max {
            let Some((_, oldest)) = self.messages.pop_first() else { break };
            self.bytes -= oldest.bytes;
        }
    }

    fn drop_message(&mut self, id: MessageId) {
        if let Some(cached) = self.messages.remove(&id) {
            self.bytes -= cached.bytes;
        }
    }
}

impl Cached {
    fn of(insert: &Insert) -> Self {
        let Insert { id, message, body } = insert;
        let recipients = message.recipients.iter().zip(0..).map(|(recipient, index)| Recipient {
            index,
            address: recipient.address.clone(),
            destination: recipient.destination.clone(),
            status: Status::Ready,
            attempts: 0,
            expires: recipient.expires,
            next_attempt: recipient.due,
            notify_delay_at: recipient.notify_delay_at,
            note: Vec::new(),
        });
        let stored = Message {
            id: *id,
            sender: message.sender.clone(),
            received: message.received,
            size: body.len(),
            meta: message.meta.clone(),
            recipients: recipients.collect(),
        };
        let content = match body {
            Body::Inline(bytes) => Some(bytes.clone()),
            Body::File(_) => None,
        };
        let per_recipient = |recipient: &Recipient| {
            let Recipient { address, destination, .. } = recipient;
            let names =
                destination.next_hop.len() + destination.connector.len() + destination.tls_domain.len();
            size_of::<Recipient>() + address.len() + names
        };
        let bytes = size_of::<Message>()
            + stored.meta.len()
            + stored.recipients.iter().map(per_recipient).sum::<usize>()
            + content.as_ref().map_or(0, Bytes::len);
        Self { message: Arc::new(stored), content, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NewMessage;

    fn insert(id: u64, bytes: usize) -> Step {
        let message = NewMessage { sender: String::new(), received: 0, meta: vec![], recipients: vec![] };
        let body = Body::Inline(Bytes::from(vec![b'x'; bytes]));
        Step::Insert(Box::new(Insert { id: MessageId(id), message, body }))
    }

    #[test]
    fn the_oldest_give_way_and_the_bound_holds() {
        let mut cache = Cache::new(10_000);
        for id in 1..=20 {
            cache.follow(&insert(id, 2_000), false);
            assert!(cache.bytes <= 10_000);
        }
        assert!(cache.find(MessageId(1)).is_none());
        assert!(cache.find(MessageId(20)).is_some());
        cache.follow(&insert(21, 20_000), false);
        assert!(cache.find(MessageId(21)).is_none(), "too large to be cached");
        assert!(cache.find(MessageId(20)).is_some(), "and nothing else gave way for it");
    }

    #[test]
    fn a_changed_message_is_read_from_the_disk() {
        let mut cache = Cache::new(10_000);
        cache.follow(&insert(1, 10), false);
        cache.follow(&Step::Remove { id: MessageId(1), recipient: 0 }, false);
        assert!(cache.find(MessageId(1)).is_some(), "the other recipients are unchanged");
        cache.follow(&Step::Hold { id: MessageId(1), recipient: 1, held: true }, false);
        assert!(cache.find(MessageId(1)).is_none());
        assert_eq!(cache.bytes, 0);
    }
}
