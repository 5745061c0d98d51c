//! Messages committed a moment ago, so that delivery need not read them back. Bounded in bytes; what
//! does not fit is read from the disk. Only untouched messages stand here: the first deferral or
//! other change drops them, so a cached message is never stale.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Body, Step};
use crate::{Message, MessageId};

#[derive(Debug)]
pub(crate) struct Cache {
    messages: BTreeMap<MessageId, Cached>,
    bytes: usize,
    bytes_max: usize,
    /// Part of `bytes` that messages which are offered have.
    offered: usize,
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
        Self { messages: BTreeMap::new(), bytes: 0, bytes_max, offered: 0 }
    }

    pub(crate) fn find(&self, id: MessageId) -> Option<Cached> {
        self.messages.get(&id).cloned()
    }

    /// Follows one durable change. `gone`: it removed the message's last recipient.
    pub(crate) fn change(&mut self, id: MessageId, step: &Step, gone: bool) {
        // Else the recipients left are as they were.
        if gone || !matches!(step, Step::Remove { .. }) {
            self.drop_message(id);
        }
    }

    pub(crate) fn insert(&mut self, message: &Arc<Message>, body: &Body) {
        let content = match body {
            Body::Inline(bytes) => Some(bytes.clone()),
            Body::File(_) | Body::Standing { .. } => None,
        };
        let bytes = message.memory() + content.as_ref().map_or(0, Bytes::len);
        if bytes > self.bytes_max {
            return;
        }
        self.bytes += bytes;
        self.messages.insert(message.id, Cached { message: message.clone(), content, bytes });
        self.make_room();
    }

    /// Takes memory for a message that is offered. `false`: others that are have too much of it.
    pub(crate) fn lend(&mut self, bytes: usize) -> bool {
        if self.offered + bytes > self.bytes_max {
            return false;
        }
        self.offered += bytes;
        self.bytes += bytes;
        self.make_room();
        true
    }

    pub(crate) fn give_back(&mut self, bytes: usize) {
        self.offered -= bytes;
        self.bytes -= bytes;
    }

    fn make_room(&mut self) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(cache: &mut Cache, id: u64, bytes: usize) {
        let id = MessageId(id);
        let message =
            Message { id, sender: String::new(), received: 0, size: 0, meta: vec![], recipients: vec![] };
        cache.insert(&Arc::new(message), &Body::Inline(Bytes::from(vec![b'x'; bytes])));
    }

    #[test]
    fn the_oldest_give_way_and_the_bound_holds() {
        let mut cache = Cache::new(10_000);
        for id in 1..=20 {
            insert(&mut cache, id, 2_000);
            assert!(cache.bytes <= 10_000);
        }
        assert!(cache.find(MessageId(1)).is_none());
        assert!(cache.find(MessageId(20)).is_some());
        insert(&mut cache, 21, 20_000);
        assert!(cache.find(MessageId(21)).is_none(), "too large to be cached");
        assert!(cache.find(MessageId(20)).is_some(), "and nothing else gave way for it");
    }

    #[test]
    fn what_is_offered_takes_the_place_of_the_oldest_but_not_more_than_there_is() {
        let mut cache = Cache::new(10_000);
        (1..=4).for_each(|id| insert(&mut cache, id, 2_000));
        assert!(cache.lend(6_000));
        assert!(cache.bytes <= 10_000 && cache.find(MessageId(4)).is_some());
        assert!(!cache.lend(6_000));
        cache.give_back(6_000);
        assert!(cache.lend(10_000));
        assert!(cache.find(MessageId(4)).is_none());
        cache.give_back(10_000);
        assert_eq!((cache.bytes, cache.offered), (0, 0));
    }

    #[test]
    fn a_changed_message_is_read_from_the_disk() {
        let mut cache = Cache::new(10_000);
        insert(&mut cache, 1, 10);
        let id = MessageId(1);
        cache.change(id, &Step::Remove { id, recipient: 0 }, false);
        assert!(cache.find(id).is_some(), "the other recipients are unchanged");
        cache.change(id, &Step::Hold { id, recipient: 1, held: true }, false);
        assert!(cache.find(id).is_none());
        assert_eq!(cache.bytes, 0);
    }
}
