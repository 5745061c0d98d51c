//! The first bytes of a content file, and the envelope behind its content: enough to put the message
//! back when the index is lost.

use serde::{Deserialize, Serialize};

use crate::{Destination, MessageId, NewMessage, NewRecipient, UnixMillis};

/// Size of the header; the content starts behind it.
pub(crate) const BYTES: u64 = 512;
/// Largest envelope that is believed, in bytes.
const ENVELOPE_BYTES_MAX: u32 = 256 << 20;
const MAGIC: &str = "sealpost-queue 1";

/// One line of text, filled up with blanks, so that `head -1` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub id: MessageId,
    pub content_len: u64,
    pub envelope_len: u32,
    /// Over the envelope, against a torn write.
    pub checksum: u64,
    /// CRC32C of the content; files of earlier builds have none.
    pub content_check: Option<u32>,
}

impl Header {
    pub(crate) fn new(id: MessageId, content_len: u64, content_check: u32, envelope: &[u8]) -> Self {
        let envelope_len = u32::try_from(envelope.len()).unwrap_or(u32::MAX);
        let content_check = Some(content_check);
        Self { id, content_len, envelope_len, checksum: checksum(envelope), content_check }
    }

    pub(crate) fn render(&self) -> Vec<u8> {
        let Self { id, content_len, envelope_len, checksum, content_check } = self;
        let crc = content_check.map_or(String::new(), |check| format!(" crc={check:08X}"));
        let line = format!(
            "{MAGIC} id={id} content={content_len} envelope={envelope_len} check={checksum:016X}{crc}"
        );
        format!("{line:<width$}\n", width = BYTES as usize - 1).into_bytes()
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(bytes).ok()?.strip_prefix(MAGIC)?;
        let mut fields = line.split_ascii_whitespace();
        let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix('=');
        let header = Self {
            id: field("id")?.parse().ok()?,
            content_len: field("content")?.parse().ok()?,
            envelope_len: field("envelope")?.parse().ok()?,
            checksum: u64::from_str_radix(field("check")?, 16).ok()?,
            content_check: field("crc").and_then(|check| u32::from_str_radix(check, 16).ok()),
        };
        (header.envelope_len <= ENVELOPE_BYTES_MAX).then_some(header)
    }

    /// The envelope, if it is the one this header was written for.
    pub(crate) fn open_envelope(&self, bytes: &[u8]) -> Option<NewMessage> {
        if checksum(bytes) != self.checksum {
            return None;
        }
        serde_json::from_slice::<Envelope>(bytes).ok().map(NewMessage::from)
    }
}

pub(crate) fn envelope(message: &NewMessage) -> Vec<u8> {
    // A structure of texts, numbers and byte lists always has a JSON form.
    serde_json::to_vec(&Envelope::from(message)).unwrap_or_default()
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    sender: String,
    received: UnixMillis,
    meta: String,
    recipients: Vec<EnvelopeRecipient>,
}

#[derive(Serialize, Deserialize)]
struct EnvelopeRecipient {
    address: String,
    destination: Destination,
    due: UnixMillis,
    expires: UnixMillis,
    notify_delay_at: Option<UnixMillis>,
}

impl From<&NewMessage> for Envelope {
    fn from(message: &NewMessage) -> Self {
        let recipients = message.recipients.iter().cloned().map(|recipient| EnvelopeRecipient {
            address: recipient.address,
            destination: recipient.destination,
            due: recipient.due,
            expires: recipient.expires,
            notify_delay_at: recipient.notify_delay_at,
        });
        Self {
            sender: message.sender.clone(),
            received: message.received,
            meta: to_hex(&message.meta),
            recipients: recipients.collect(),
        }
    }
}

impl From<Envelope> for NewMessage {
    fn from(envelope: Envelope) -> Self {
        let recipients = envelope.recipients.into_iter().map(|recipient| NewRecipient {
            address: recipient.address,
            destination: recipient.destination,
            due: recipient.due,
            expires: recipient.expires,
            notify_delay_at: recipient.notify_delay_at,
        });
        Self {
            sender: envelope.sender,
            received: envelope.received,
            meta: from_hex(&envelope.meta),
            recipients: recipients.collect(),
        }
    }
}

fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
    text.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// FNV-1a, 64 bits: finds torn and mixed-up writes; nobody attacks our own spool with it.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> NewMessage {
        NewMessage {
            sender: "a@contoso.example".into(),
            received: 1_000,
            meta: (0..=255).collect(),
            recipients: vec![NewRecipient {
                address: "b@woodgrove.example".into(),
                destination: Destination {
                    next_hop: "woodgrove.example".into(),
                    connector: "Internet".into(),
                    tls_domain: String::new(),
                },
                due: 1_000,
                expires: 9_000,
                notify_delay_at: Some(2_000),
            }],
        }
    }

    #[test]
    fn a_header_comes_back_as_it_was_written_and_fills_its_block() {
        let envelope = envelope(&message());
        let header = Header::new(MessageId(0x1234_5678_9abc), 70_000, 0xABCD, &envelope);
        let bytes = header.render();
        assert_eq!(bytes.len() as u64, BYTES);
        assert_eq!(Header::parse(&bytes), Some(header.clone()));
        let back = header.open_envelope(&envelope).expect("the envelope opens");
        assert_eq!(format!("{back:?}"), format!("{:?}", message()));
    }

    #[test]
    fn a_torn_envelope_or_header_is_not_believed() {
        let envelope = envelope(&message());
        let header = Header::new(MessageId(7), 70_000, 0, &envelope);
        let mut torn = envelope.clone();
        torn[20] ^= 1;
        assert!(header.open_envelope(&torn).is_none());
        assert!(header.open_envelope(&envelope[..envelope.len() - 1]).is_none());
        let bytes = header.render();
        assert_eq!(Header::parse(&[0; BYTES as usize]), None);
        assert_eq!(Header::parse(&bytes[..30]), None);
    }
}
