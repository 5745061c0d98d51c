//! The stored content of a message on its way out: header section filtered, body as it is.

use std::io::{Read, Seek, SeekFrom, Take};

use bytes::Bytes;
use sealpost_queue::{Content, ContentReader};

use crate::mail::header;
use crate::net::stamp_signature::{Ambiguity, StampSigner, ambiguity};
use crate::policy::header_firewall::{self, Ours};
use crate::policy::limits;

/// Pieces read from a file at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// Pieces of what stands in memory: they are encoded one after another into the same small buffer.
const PIECE_BYTES: usize = 48 << 10;

/// What the header section gets besides being filtered.
pub struct HeadRules<'a> {
    pub send_organization_headers: bool,
    /// `X-MS-Exchange-Organization-Auth…` fields to put in front, CRLF included, or nothing.
    pub exchange_fields: &'a str,
    pub ours: Ours<'a>,
    /// Signs what leaves with a stamp.
    pub signer: Option<&'a StampSigner>,
}

/// Content ready to be encoded, in order: the header section, then chunks of the body.
pub struct Outgoing {
    head: Option<Bytes>,
    rest: Rest,
    unsigned: Option<Ambiguity>,
}

enum Rest {
    Memory(Bytes),
    File(Take<ContentReader>),
}

impl Outgoing {
    /// Applies the outgoing header firewall, and signs where a stamp leaves: nothing of the content
    /// changes behind that. A header that can be read in two ways is not signed: `unsigned`. Fails with the disk's error when content cannot be read.
    pub fn prepare(content: Content, rules: &HeadRules<'_>) -> std::io::Result<Self> {
        let (start, rest) = match content {
            Content::Memory(bytes) => (bytes, None),
            Content::File { file, len } => {
                let mut file = file.take(len);
                (read_start(&mut file)?, Some(file))
            }
        };
        let (head, _) = header::split(&start);
        let mut filtered = rules.exchange_fields.as_bytes().to_vec();
        filtered.extend_from_slice(&header_firewall::outgoing(
            head,
            rules.send_organization_headers,
            rules.ours,
        ));
        let signer = rules.signer.filter(|_| rules.send_organization_headers);
        let signer = signer.filter(|_| header_firewall::is_stamped(&filtered));
        let unsigned = signer.and_then(|_| ambiguity(&filtered));
        let signer = signer.filter(|_| unsigned.is_none());
        // The empty line is neither head nor body, and belongs between them.
        let after_head = start.slice(head.len()..);
        let mut rest = match rest {
            None => Rest::Memory(after_head),
            Some(file) => {
                filtered.extend_from_slice(&after_head);
                Rest::File(file)
            }
        };
        if let Some(signer) = signer {
            filtered.splice(..0, sign(signer, &filtered, &mut rest)?.into_bytes());
        }
        Ok(Self { head: Some(filtered.into()), rest, unsigned })
    }

    /// Why it leaves with a stamp and without the signature that it should have.
    pub fn unsigned(&self) -> Option<&Ambiguity> {
        self.unsigned.as_ref()
    }

    /// How many octets `next` will give in all, before the first.
    pub fn octets(&self) -> u64 {
        let head = self.head.as_ref().map_or(0, Bytes::len) as u64;
        head + match &self.rest {
            Rest::Memory(bytes) => bytes.len() as u64,
            Rest::File(file) => file.limit(),
        }
    }

    /// The next piece, `None` at the end.
    pub fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        if let Some(head) = self.head.take() {
            return Ok(Some(head));
        }
        match &mut self.rest {
            Rest::Memory(bytes) if bytes.is_empty() => Ok(None),
            Rest::Memory(bytes) => Ok(Some(bytes.split_to(bytes.len().min(PIECE_BYTES)))),
            Rest::File(file) => read_chunk(file),
        }
    }
}

/// The signature over `start` and the rest, which is read once more when it is sent.
fn sign(signer: &StampSigner, start: &[u8], rest: &mut Rest) -> std::io::Result<String> {
    tokio::task::block_in_place(|| {
        let mut stream = signer.begin();
        stream.write(start);
        match rest {
            Rest::Memory(bytes) => stream.write(bytes),
            Rest::File(file) => {
                let (behind, octets) = (file.get_mut().stream_position()?, file.limit());
                let mut chunk = vec![0; CHUNK_BYTES];
                loop {
                    match file.read(&mut chunk)? {
                        0 => break,
                        count => stream.write(&chunk[..count]),
                    }
                }
                file.get_mut().seek(SeekFrom::Start(behind))?;
                file.set_limit(octets);
            }
        }
        stream.finish().map_err(std::io::Error::other)
    })
}

/// The first part of a file, long enough to hold any header section we stored.
fn read_start(file: &mut Take<ContentReader>) -> std::io::Result<Bytes> {
    let limit = limits::HEADER_SECTION_BYTES_MAX as u64 * 2;
    let mut start = Vec::new();
    tokio::task::block_in_place(|| file.take(limit).read_to_end(&mut start))?;
    Ok(start.into())
}

fn read_chunk(file: &mut Take<ContentReader>) -> std::io::Result<Option<Bytes>> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let count = tokio::task::block_in_place(|| file.read(&mut chunk))?;
    if count == 0 && file.limit() > 0 {
        // Half a message with a final dot behind it would pass for a whole one.
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    chunk.truncate(count);
    Ok((count > 0).then(|| chunk.into()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::certstore::stamp_key::{self, StampKeyKind};
    use crate::mail::Domain;
    use crate::policy::StampSigning;

    fn signer() -> StampSigner {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stamp.key");
        std::fs::write(&path, stamp_key::generate(StampKeyKind::Ed25519).unwrap().as_bytes()).unwrap();
        let name = |text: &str| Domain::parse(text).unwrap();
        let key = Arc::new(stamp_key::read(&path).unwrap());
        let signing = StampSigning { domain: name("contoso.example"), selector: name("stamp"), key };
        StampSigner::new(&signing).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_can_be_read_in_two_ways_leaves_unsigned() {
        let (signer, hostname) = (signer(), Domain::parse("mx.contoso.example").unwrap());
        let rules = HeadRules {
            send_organization_headers: true,
            exchange_fields: "",
            ours: Ours { hostname: &hostname, signing: None },
            signer: Some(&signer),
        };
        for (more, unsigned) in [
            ("From: a@b.example\r\nX-Other : 1\r\n", None),
            ("From : a@b.example\r\n", Some(Ambiguity::Spelling { name: "From" })),
            ("Subject\t: x\r\n", Some(Ambiguity::Spelling { name: "Subject" })),
            ("From: a@b.example\r\nno field\r\n", Some(Ambiguity::NoColon)),
        ] {
            let message = format!("Domain-Secured: none; from=b.example\r\n{more}\r\nbody\r\n");
            let content = Content::Memory(Bytes::from(message.clone()));
            let mut outgoing = Outgoing::prepare(content, &rules).unwrap();
            assert_eq!(outgoing.unsigned(), unsigned.as_ref(), "{more:?}");
            let mut all = Vec::new();
            while let Some(piece) = outgoing.next().unwrap() {
                all.extend_from_slice(&piece);
            }
            assert!(all.ends_with(message.as_bytes()), "{more:?}");
            assert_eq!(all.len() == message.len(), unsigned.is_some(), "{more:?}");
        }
    }

    fn sent(content: &'static str) -> String {
        let hostname = Domain::parse("mx.contoso.example").unwrap();
        let rules = HeadRules {
            send_organization_headers: false,
            exchange_fields: "X-First: 1\r\n",
            ours: Ours { hostname: &hostname, signing: None },
            signer: None,
        };
        let mut outgoing = Outgoing::prepare(Content::Memory(Bytes::from(content)), &rules).unwrap();
        let octets = outgoing.octets();
        let mut all = Vec::new();
        while let Some(piece) = outgoing.next().unwrap() {
            all.extend_from_slice(&piece);
        }
        assert_eq!(octets, all.len() as u64);
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn only_the_header_section_changes() {
        for (stored, goes_out) in [
            ("Subject: x\r\n\r\nbody\r\n", "X-First: 1\r\nSubject: x\r\n\r\nbody\r\n"),
            ("Domain-Secured: x\r\n\r\n\r\nbody\r\n", "X-First: 1\r\n\r\n\r\nbody\r\n"),
            ("\r\nbody\r\n", "X-First: 1\r\n\r\nbody\r\n"),
            ("Subject: no body\r\n", "X-First: 1\r\nSubject: no body\r\n"),
            ("Subject: empty body\r\n\r\n", "X-First: 1\r\nSubject: empty body\r\n\r\n"),
        ] {
            assert_eq!(sent(stored), goes_out);
        }
    }
}
