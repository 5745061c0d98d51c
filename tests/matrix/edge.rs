//! What an edge has beside its sessions: the counters, and the queue on a disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealpost::cli::exposition;
use sealpost::observe::{Event, Observer};
use sealpost::policy::Settings;
use sealpost_queue::{
    Change, Claim, Content, Destination, Draft, Filter, Message, MessageId, NewMessage, NewRecipient, Queue,
    Status,
};

use crate::authority::DOMAIN;

/// A day; nothing in the matrix waits that long.
const LATER: i64 = 86_400_000;

pub struct Edge {
    queue: Queue,
    observer: Arc<Observer>,
    _directory: tempfile::TempDir,
}

/// Series of the counters that rose, with by how much.
pub type Counted = BTreeMap<String, f64>;

impl Edge {
    pub fn open(settings: &Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (queue, _) = Queue::open(directory.path(), sealpost_queue::Options::default()).unwrap();
        Self { queue, observer: Observer::new(settings), _directory: directory }
    }

    pub async fn close(self) {
        self.queue.close().await;
    }

    pub fn event(&self, event: Event) {
        self.observer.event(event);
    }

    /// Counters of secured mail and of handshakes as they stand.
    pub fn counters(&self) -> Counted {
        let samples = exposition::parse(&self.observer.render_metrics()).into_iter();
        let wanted = ["sealpost_domain_secure_", "sealpost_tls_handshakes_total"];
        let counters = samples.filter(|sample| wanted.iter().any(|name| sample.name.starts_with(name)));
        counters.map(|sample| (sample.series(), sample.value)).collect()
    }

    /// What was counted since.
    pub fn counted_since(&self, before: &Counted) -> Counted {
        let added = self.counters().into_iter().map(|(series, value)| {
            let old = before.get(&series).copied().unwrap_or(0.0);
            (series, value - old)
        });
        added.filter(|(_, added)| *added != 0.0).collect()
    }

    pub fn draft(&self) -> Draft {
        self.queue.begin().unwrap()
    }

    /// The commit point: from here on the message is ours.
    pub async fn commit(&self, draft: Draft, sender: &str, recipient: &str) -> MessageId {
        let message = NewMessage {
            sender: sender.to_owned(),
            received: 0,
            meta: Vec::new(),
            recipients: vec![NewRecipient {
                address: recipient.to_owned(),
                destination: destination(),
                due: 0,
                expires: LATER,
                notify_delay_at: None,
            }],
        };
        self.queue.commit(draft, message).await.unwrap()
    }

    /// Puts a message for the partner into the queue and takes it up for delivery.
    pub async fn claim(&self, content: &[u8]) -> (Claim, Vec<u8>) {
        let mut draft = self.draft();
        draft.append(content).unwrap();
        let id = self.commit(draft, "adam@contoso.example", &format!("kim@{DOMAIN}")).await;
        let claim = self.queue.claim(&destination(), 1).await.unwrap().expect("due");
        assert_eq!(claim.message.id, id);
        let content = self.content(id).await;
        (claim, content)
    }

    /// As after a delivery: gone, or waiting with the reason.
    pub async fn settle(&self, claim: Claim, refused: Option<&str>) {
        let (id, recipient) = (claim.message.id, claim.message.recipients[0].index);
        let change = match refused {
            None => Change::Remove { id, recipient },
            Some(why) => {
                Change::Retry { id, recipient, next_attempt: LATER / 2, note: why.as_bytes().to_vec() }
            }
        };
        self.queue.apply(vec![change]).await.unwrap();
        drop(claim);
    }

    /// Everything in the queue, which is then emptied.
    pub async fn drain(&self) -> Vec<(Message, Vec<u8>)> {
        let mut found = Vec::new();
        for message in self.queue.list(Filter::default()).await.unwrap() {
            let content = self.content(message.id).await;
            found.push((message, content));
        }
        self.queue.remove(Filter::default()).await.unwrap();
        found
    }

    async fn content(&self, id: MessageId) -> Vec<u8> {
        match self.queue.content(id).await.unwrap() {
            Content::Memory(bytes) => bytes.to_vec(),
            Content::File { file, len } => {
                use std::io::Read;
                let mut bytes = Vec::new();
                file.take(len).read_to_end(&mut bytes).unwrap();
                bytes
            }
        }
    }
}

fn destination() -> Destination {
    Destination {
        next_hop: DOMAIN.to_owned(),
        connector: "Internet".to_owned(),
        tls_domain: DOMAIN.to_owned(),
    }
}

/// One message that waits for its next attempt because of this.
pub fn assert_waits(queued: &[(Message, Vec<u8>)], why: &str, content: &[u8], cell: &str) {
    let [(message, kept)] = queued else { panic!("{cell}: {queued:?}") };
    let recipient = &message.recipients[0];
    assert_eq!((recipient.status, recipient.attempts), (Status::Retry, 1), "{cell}");
    assert_eq!(kept, content, "{cell}: whole");
    let note = String::from_utf8_lossy(&recipient.note);
    assert!(note.contains(why), "{cell}: {note}");
}
