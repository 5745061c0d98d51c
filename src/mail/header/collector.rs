//! Gathers the header section of a message that arrives in pieces.

/// Fed with content until the empty line comes; holds at most `limit` octets and one piece.
#[derive(Debug)]
pub struct HeadCollector {
    bytes: Vec<u8>,
    limit: usize,
    status: HeadStatus,
    /// How much of the last piece belonged to the section or its empty line.
    scanned: usize,
}

/// How far the collector is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadStatus {
    /// No empty line yet.
    More,
    /// The empty line came; the first `consumed` octets of the piece were section and empty
    /// line, the rest is body.
    Complete { consumed: usize },
    /// More than `limit` octets without an empty line; what was collected is of no use.
    TooLong,
}

/// A whole header section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectedHead {
    /// The fields with the CRLF of the last one, without the empty line.
    pub fields: Vec<u8>,
    /// Whether an empty line followed; a message of fields alone need not have one.
    pub empty_line: bool,
}

impl HeadCollector {
    /// `limit` is the longest section in octets, empty line not counted.
    pub fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, status: HeadStatus::More, scanned: 0 }
    }

    /// Takes the next piece of content. Not to be called again once the status is not `More`.
    pub fn push(&mut self, piece: &[u8]) -> HeadStatus {
        if self.status != HeadStatus::More {
            return self.status;
        }
        let before = self.bytes.len();
        self.bytes.extend_from_slice(piece);
        self.status = match end_of_section(&self.bytes, self.scanned) {
            Some(end) if end <= self.limit => {
                self.bytes.truncate(end);
                HeadStatus::Complete { consumed: end + 2 - before }
            }
            None if self.bytes.len() <= self.limit.saturating_add(1) => HeadStatus::More,
            Some(_) | None => {
                self.bytes = Vec::new();
                HeadStatus::TooLong
            }
        };
        // An empty line may begin in the last three octets.
        self.scanned = self.bytes.len().saturating_sub(3);
        self.status
    }

    /// The section, once complete or once the message has ended.
    pub fn finish(self) -> CollectedHead {
        CollectedHead { fields: self.bytes, empty_line: matches!(self.status, HeadStatus::Complete { .. }) }
    }
}

/// Where the empty line begins, looking no further back than `from`.
fn end_of_section(bytes: &[u8], from: usize) -> Option<usize> {
    if from == 0 && bytes.starts_with(b"\r\n") {
        return Some(0);
    }
    memchr::memmem::find(&bytes[from..], b"\r\n\r\n").map(|at| from + at + 2)
}
