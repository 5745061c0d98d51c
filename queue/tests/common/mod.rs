//! What the queue's tests share.

#![allow(dead_code, reason = "each test file uses a part")]

use sealpost_queue::{
    Claim, Content, Destination, Draft, MessageId, NewMessage, NewRecipient, Options, Queue, UnixMillis,
};

pub const DAY: UnixMillis = 86_400_000;

pub fn options() -> Options {
    Options { free_bytes_min: 0, journal_segment_bytes: 1 << 20, ..Options::default() }
}

pub fn destination(next_hop: &str) -> Destination {
    Destination { next_hop: next_hop.into(), connector: "Internet".into(), tls_domain: next_hop.into() }
}

pub fn recipient(address: &str, due: UnixMillis) -> NewRecipient {
    let domain = address.rsplit_once('@').expect("an address").1;
    NewRecipient {
        address: address.into(),
        destination: destination(domain),
        due,
        expires: due + 2 * DAY,
        notify_delay_at: None,
    }
}

pub fn message(received: UnixMillis, recipients: &[&str]) -> NewMessage {
    NewMessage {
        sender: "anna@contoso.example".into(),
        received,
        meta: b"tls=1.3".to_vec(),
        recipients: recipients.iter().map(|address| recipient(address, received)).collect(),
    }
}

pub fn draft(queue: &Queue, content: &[u8]) -> Draft {
    let mut draft = queue.begin().expect("a draft");
    for chunk in content.chunks(10_000) {
        draft.append(chunk).expect("room for content");
    }
    draft
}

pub async fn put(queue: &Queue, content: &[u8], message: NewMessage) -> MessageId {
    queue.commit(draft(queue, content), message).await.expect("a commit")
}

pub async fn read(queue: &Queue, id: MessageId) -> Vec<u8> {
    match queue.content(id).await.expect("content") {
        Content::Memory(bytes) => bytes.to_vec(),
        Content::File { mut file, len } => {
            let mut bytes = vec![0; len as usize];
            std::io::Read::read_exact(&mut file, &mut bytes).expect("as many bytes as promised");
            bytes
        }
    }
}

/// Content of any size that differs by id and position.
pub fn content(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (seed.wrapping_mul(0x9E37_79B9) ^ at.wrapping_mul(31)) as u8).collect()
}

pub fn addresses(claim: &Claim) -> Vec<&str> {
    claim.message.recipients.iter().map(|recipient| recipient.address.as_str()).collect()
}
