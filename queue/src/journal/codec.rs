//! Jobs as bytes: each step a kind and a block of fields with its length in front. A reader skips what
//! stands in a block behind the fields it knows, so that later versions can add some.

use crate::engine::{Body, Insert, Step};
use crate::{Destination, MessageId, NewMessage, NewRecipient, UnixMillis};

const INSERT: u8 = 1;
const REMOVE: u8 = 2;
const RETRY: u8 = 3;
const MOVE: u8 = 4;
const DELAY_NOTIFIED: u8 = 5;
const HOLD: u8 = 6;
const DUE: u8 = 7;
const RESERVE_IDS: u8 = 8;

const IN_JOURNAL: u8 = 0;
const IN_FILE: u8 = 1;

/// One step behind the others. `check` is the CRC32C of inline content.
pub(super) fn encode(step: &Step, check: u32, out: &mut Vec<u8>) {
    let kind = match step {
        Step::Insert(_) => INSERT,
        Step::Remove { .. } => REMOVE,
        Step::Retry { .. } => RETRY,
        Step::Move { .. } => MOVE,
        Step::DelayNotified { .. } => DELAY_NOTIFIED,
        Step::Hold { .. } => HOLD,
        Step::Due { .. } => DUE,
        Step::ReserveIds { .. } => RESERVE_IDS,
    };
    out.push(kind);
    block(out, |out| match step {
        Step::Insert(insert) => encode_insert(insert, check, out),
        Step::Remove { id, recipient } => seat(out, *id, *recipient),
        Step::Retry { id, recipient, attempts, next_attempt, note } => {
            seat(out, *id, *recipient);
            out.extend(attempts.to_le_bytes());
            out.extend(next_attempt.to_le_bytes());
            bytes(out, note);
        }
        Step::Move { id, recipient, destination: to } => {
            seat(out, *id, *recipient);
            destination(out, to);
        }
        Step::DelayNotified { id, recipient } => seat(out, *id, *recipient),
        Step::Hold { id, recipient, held } => {
            seat(out, *id, *recipient);
            out.push(u8::from(*held));
        }
        Step::Due { id, recipient, due } => {
            seat(out, *id, *recipient);
            out.extend(due.to_le_bytes());
        }
        Step::ReserveIds { below } => out.extend(below.to_le_bytes()),
    });
}

fn encode_insert(insert: &Insert, check: u32, out: &mut Vec<u8>) {
    let NewMessage { sender, received, meta, recipients } = &insert.message;
    out.extend(insert.id.0.to_le_bytes());
    out.push(if insert.body.in_file() { IN_FILE } else { IN_JOURNAL });
    out.extend(insert.body.len().to_le_bytes());
    out.extend(check.to_le_bytes());
    bytes(out, sender.as_bytes());
    out.extend(received.to_le_bytes());
    bytes(out, meta);
    out.extend((recipients.len() as u32).to_le_bytes());
    for recipient in recipients {
        block(out, |out| {
            bytes(out, recipient.address.as_bytes());
            destination(out, &recipient.destination);
            out.extend(recipient.due.to_le_bytes());
            out.extend(recipient.expires.to_le_bytes());
            out.extend(recipient.notify_delay_at.unwrap_or(UnixMillis::MIN).to_le_bytes());
        });
    }
}

fn seat(out: &mut Vec<u8>, id: MessageId, recipient: u32) {
    out.extend(id.0.to_le_bytes());
    out.extend(recipient.to_le_bytes());
}

fn destination(out: &mut Vec<u8>, destination: &Destination) {
    for name in [&destination.next_hop, &destination.connector, &destination.tls_domain] {
        bytes(out, name.as_bytes());
    }
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}

fn block(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    fill(out);
    let len = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
}

/// A step read back, with the check of its content if that stands in the journal.
pub(super) struct Decoded {
    pub step: Step,
    pub check: u32,
}

/// All steps of a job. `None`: not what `encode` wrote.
pub(super) fn decode(job: &[u8]) -> Option<Vec<Decoded>> {
    let mut left = Fields(job);
    let mut steps = Vec::new();
    while !left.0.is_empty() {
        let kind = left.byte()?;
        let mut fields = Fields(left.slice()?);
        steps.push(step(kind, &mut fields)?);
    }
    Some(steps)
}

fn step(kind: u8, fields: &mut Fields<'_>) -> Option<Decoded> {
    if kind == INSERT {
        return insert(fields);
    }
    let step = if kind == RESERVE_IDS {
        Step::ReserveIds { below: fields.long()? }
    } else {
        let (id, recipient) = (MessageId(fields.long()?), fields.int()?);
        match kind {
            REMOVE => Step::Remove { id, recipient },
            RETRY => Step::Retry {
                id,
                recipient,
                attempts: fields.int()?,
                next_attempt: fields.time()?,
                note: fields.slice()?.to_vec(),
            },
            MOVE => Step::Move { id, recipient, destination: fields.destination()? },
            DELAY_NOTIFIED => Step::DelayNotified { id, recipient },
            HOLD => Step::Hold { id, recipient, held: fields.byte()? != 0 },
            DUE => Step::Due { id, recipient, due: fields.time()? },
            _ => return None,
        }
    };
    Some(Decoded { step, check: 0 })
}

fn insert(fields: &mut Fields<'_>) -> Option<Decoded> {
    let id = MessageId(fields.long()?);
    let in_file = fields.byte()? == IN_FILE;
    let (len, check) = (fields.long()?, fields.int()?);
    let (sender, received, meta) = (fields.text()?, fields.time()?, fields.slice()?.to_vec());
    let count = fields.int()?;
    let mut recipients = Vec::new();
    for _ in 0..count {
        let mut fields = Fields(fields.slice()?);
        recipients.push(NewRecipient {
            address: fields.text()?,
            destination: fields.destination()?,
            due: fields.time()?,
            expires: fields.time()?,
            notify_delay_at: Some(fields.time()?).filter(|at| *at != UnixMillis::MIN),
        });
    }
    let message = NewMessage { sender, received, meta, recipients };
    let insert = Insert::new(id, message, Body::Standing { len, in_file });
    Some(Decoded { step: Step::Insert(Box::new(insert)), check })
}

/// What is left of a block.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn int(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn long(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn time(&mut self) -> Option<UnixMillis> {
        self.take().map(i64::from_le_bytes)
    }

    fn slice(&mut self) -> Option<&'a [u8]> {
        let len = self.int()? as usize;
        let (slice, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(slice)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.slice()?.to_vec()).ok()
    }

    fn destination(&mut self) -> Option<Destination> {
        Some(Destination { next_hop: self.text()?, connector: self.text()?, tls_domain: self.text()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn steps() -> Vec<Step> {
        let (id, recipient) = (MessageId(7), 3);
        let to = Destination { next_hop: "h".into(), connector: "c".into(), tls_domain: "t".into() };
        let one = |notify_delay_at| NewRecipient {
            address: "a@b".into(),
            destination: to.clone(),
            due: -1,
            expires: 9,
            notify_delay_at,
        };
        let message = NewMessage {
            sender: "s".into(),
            received: 4,
            meta: vec![0, 255],
            recipients: vec![one(None), one(Some(5))],
        };
        let insert = Insert::new(id, message, Body::Inline(Bytes::from_static(b"content")));
        vec![
            Step::Insert(Box::new(insert)),
            Step::Remove { id, recipient },
            Step::Retry { id, recipient, attempts: 2, next_attempt: 60, note: vec![1, 2] },
            Step::Move { id, recipient, destination: to },
            Step::DelayNotified { id, recipient },
            Step::Hold { id, recipient, held: true },
            Step::Due { id, recipient, due: 8 },
            Step::ReserveIds { below: 1 << 40 },
        ]
    }

    fn encoded() -> Vec<u8> {
        let mut out = Vec::new();
        steps().iter().for_each(|step| encode(step, 0xABCD, &mut out));
        out
    }

    #[test]
    fn every_step_comes_back_as_it_was() {
        let decoded = decode(&encoded()).expect("what was encoded");
        assert_eq!(decoded[0].check, 0xABCD);
        let text = |step: &Step| format!("{step:?}");
        let came_back: Vec<String> = decoded.iter().map(|one| text(&one.step)).collect();
        let mut wanted: Vec<String> = steps().iter().map(text).collect();
        wanted[0] = wanted[0].replace("Inline(b\"content\")", "Standing { len: 7, in_file: false }");
        assert_eq!(came_back, wanted);
    }

    #[test]
    fn fields_of_a_later_version_are_skipped_and_unknown_steps_are_not_guessed() {
        let mut job = Vec::new();
        job.push(REMOVE);
        block(&mut job, |out| {
            seat(out, MessageId(1), 2);
            out.extend(b"more");
        });
        assert!(matches!(decode(&job).unwrap()[0].step, Step::Remove { id: MessageId(1), recipient: 2 }));
        assert!(decode(&[99, 0, 0, 0, 0]).is_none());
    }

    #[test]
    fn what_is_cut_short_is_not_believed() {
        let whole = encoded();
        let ends: Vec<usize> = (0..steps().len())
            .map(|count| {
                let mut out = Vec::new();
                steps()[..count].iter().for_each(|step| encode(step, 0xABCD, &mut out));
                out.len()
            })
            .collect();
        for len in 0..whole.len() {
            assert_eq!(decode(&whole[..len]).is_some(), ends.contains(&len), "{len} of {}", whole.len());
        }
    }
}
