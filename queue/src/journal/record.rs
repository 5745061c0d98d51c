//! One job in a segment: a header, the steps, the inline content. The header names the use of the
//! segment (its generation) and the job's place in the order of all jobs, so that what an earlier use
//! left behind is never taken for a record.

use crc32c::{crc32c, crc32c_append};

use super::codec;
use crate::disk::DiskFile;
use crate::engine::{Body, Step};

/// "SPJ" and the version of the format.
const MAGIC: [u8; 4] = *b"SPJ1";
pub(super) const HEADER_BYTES: usize = 36;
/// Read at a time.
const WINDOW_BYTES: usize = 1 << 20;

/// Where inline content stands in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub generation: u64,
    pub offset: u64,
    pub len: u64,
    /// CRC32C of the content.
    pub check: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub steps_len: u32,
    pub content_len: u32,
    pub steps_check: u32,
    pub sequence: u64,
    pub generation: u64,
}

impl Header {
    pub(super) fn render(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.steps_len.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.content_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.steps_check.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.generation.to_le_bytes());
        let check = crc32c(&bytes[..32]);
        bytes[32..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.try_into().ok()?;
        let int = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(int(at)) | u64::from(int(at + 4)) << 32;
        let header = Self {
            steps_len: int(4),
            content_len: int(8),
            steps_check: int(12),
            sequence: long(16),
            generation: long(24),
        };
        (bytes[..4] == MAGIC && int(32) == crc32c(&bytes[..32])).then_some(header)
    }

    /// Bytes of the whole record.
    pub(super) fn total(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.steps_len) + u64::from(self.content_len)
    }
}

/// A record read back; its inserts know the place of their content.
pub(crate) struct Record {
    pub sequence: u64,
    pub generation: u64,
    pub steps: Vec<Step>,
    /// Behind its last byte.
    pub end: u64,
}

/// Reads a segment from its front.
pub(crate) struct Scan<'a> {
    file: &'a dyn DiskFile,
    segment_bytes: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile, segment_bytes: u64) -> Self {
        Self { file, segment_bytes, window: Vec::new(), window_at: 0 }
    }

    /// The record that begins at `offset`; `None` where there is no whole one.
    pub(crate) fn record(&mut self, offset: u64) -> std::io::Result<Option<Record>> {
        let Some(header) = self.header(offset)? else { return Ok(None) };
        let end = offset + header.total();
        if end > self.segment_bytes {
            return Ok(None);
        }
        let steps_at = offset + HEADER_BYTES as u64;
        let Some(steps) = self.bytes(steps_at, header.steps_len as usize)? else { return Ok(None) };
        if crc32c(steps) != header.steps_check {
            return Ok(None);
        }
        let Some(decoded) = codec::decode(steps) else { return Ok(None) };
        let mut content_at = steps_at + u64::from(header.steps_len);
        let mut steps = Vec::with_capacity(decoded.len());
        for mut one in decoded {
            if let Step::Insert(insert) = &mut one.step
                && let Body::Standing { len, in_file: false } = insert.body
            {
                let Header { generation, .. } = header;
                let place = Place { generation, offset: content_at, len, check: one.check };
                if content_at + len > end || !self.whole(&place)? {
                    return Ok(None);
                }
                content_at += len;
                insert.place = Some(place);
            }
            steps.push(one.step);
        }
        let Header { sequence, generation, .. } = header;
        Ok(Some(Record { sequence, generation, steps, end }))
    }

    pub(super) fn header(&mut self, offset: u64) -> std::io::Result<Option<Header>> {
        Ok(self.bytes(offset, HEADER_BYTES)?.and_then(Header::parse))
    }

    /// The next place behind `offset` where a record of this generation may begin.
    pub(super) fn resume(&mut self, offset: u64, generation: u64) -> std::io::Result<Option<u64>> {
        let mut at = offset + 1;
        while at + (HEADER_BYTES as u64) <= self.segment_bytes {
            let Some(bytes) = self.bytes(at, HEADER_BYTES)? else { return Ok(None) };
            if bytes[..4] == MAGIC && Header::parse(bytes).is_some_and(|one| one.generation == generation) {
                return Ok(Some(at));
            }
            at += 1;
        }
        Ok(None)
    }

    fn whole(&mut self, place: &Place) -> std::io::Result<bool> {
        let (mut check, mut at, end) = (0, place.offset, place.offset + place.len);
        while at < end {
            let len = (end - at).min(WINDOW_BYTES as u64);
            let Some(bytes) = self.bytes(at, len as usize)? else { return Ok(false) };
            check = crc32c_append(check, bytes);
            at += len;
        }
        Ok(check == place.check)
    }

    /// `None` behind the end of the file.
    fn bytes(&mut self, offset: u64, len: usize) -> std::io::Result<Option<&[u8]>> {
        if offset + len as u64 > self.segment_bytes {
            return Ok(None);
        }
        let inside =
            offset >= self.window_at && offset + len as u64 <= self.window_at + self.window.len() as u64;
        if !inside {
            self.window.resize(len.max(WINDOW_BYTES), 0);
            let mut filled = 0;
            while filled < self.window.len() {
                match self.file.read_at(&mut self.window[filled..], offset + filled as u64)? {
                    0 => break,
                    count => filled += count,
                }
            }
            self.window.truncate(filled);
            self.window_at = offset;
        }
        let start = (offset - self.window_at) as usize;
        Ok(self.window.get(start..start + len))
    }
}
