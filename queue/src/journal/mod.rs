//! The journal: the commit point. Jobs are appended to preallocated segments, one sync for each group,
//! without a file, a name or a size changed for any message. The index follows behind (`settler.rs`).
//! Layout in README.md.

mod codec;
mod history;
mod record;
mod segments;

use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use crc32c::crc32c;

pub(crate) use history::{Missing, find, look, replay};
use record::{HEADER_BYTES, Header};
pub(crate) use record::{Place, Record};
pub(crate) use segments::{DIRECTORY, Grown, SEGMENT_BYTES_MIN, Segment, Segments};

use crate::disk::DiskFile;
use crate::engine::{Body, Engine, Fault, Job, Step};
use crate::ground::Ground;
use crate::live::Live;
use crate::settler::Settling;

/// Reads the steps of a job as recovery does, and writes them as an append does; `None` when it is no
/// job. For the fuzz target.
pub(crate) fn reencode(job: &[u8]) -> Option<Vec<u8>> {
    let mut again = Vec::new();
    for decoded in codec::decode(job)? {
        codec::encode(&decoded.step, decoded.check, &mut again);
    }
    Some(again)
}

/// Content up to this many bytes is copied between its header and the next; larger content is written
/// from where it stands.
const COPIED_BYTES_MAX: usize = 16 << 10;
/// Memory for what is not settled: beyond it the settler is called, beyond twice as much waited for.
const PENDING_BYTES_MAX: usize = 8 << 20;

pub(crate) struct Journal {
    segments: Arc<Segments>,
    live: Arc<Live>,
    settling: Settling,
    active: Option<Active>,
    generation: u64,
    /// Of the last job.
    sequence: u64,
    index_bytes_max: Option<u64>,
    /// For the news of a failure.
    directory: PathBuf,
}

/// The segment being written.
struct Active {
    file: Arc<dyn DiskFile>,
    generation: u64,
    offset: u64,
}

/// A job, ready to be written.
struct Frame {
    head: Vec<u8>,
    /// With their checks.
    contents: Vec<(Bytes, u32)>,
    total: u64,
}

/// What goes into one segment with one write.
#[derive(Default)]
struct Batch {
    buffer: Vec<u8>,
    /// Ranges of the buffer, and content between them.
    parts: Vec<Part>,
    len: u64,
}

enum Part {
    Buffered(usize),
    Content(Bytes),
}

impl Journal {
    pub(crate) fn new(
        ground: &Ground,
        segments: Arc<Segments>,
        live: Arc<Live>,
        settling: Settling,
        (generation, sequence): (u64, u64),
        index_bytes_max: Option<u64>,
    ) -> Self {
        let directory = ground.directory.clone();
        Self { segments, live, settling, active: None, generation, sequence, index_bytes_max, directory }
    }

    /// Some time has passed, in a queue without threads.
    pub(crate) fn tick(&self) {
        self.settling.tick();
    }

    /// New mail must find room in the index, too, when it is not delivered at once.
    fn check_index(&mut self, group: &[Job]) -> Result<(), Fault> {
        if self.live.index_full() {
            self.settling.settle_all()?;
        }
        let Some(max) = self.index_bytes_max else { return Ok(()) };
        let new: u64 = group.iter().map(Job::bytes).sum();
        if self.settling.index_bytes() + self.live.pending().index_bytes() + new <= max {
            return Ok(());
        }
        self.settling.settle_all()?;
        let fits = self.settling.index_bytes() + self.live.pending().index_bytes() + new <= max;
        if fits { Ok(()) } else { Err(Fault::Full) }
    }

    /// Where each frame goes: the number of segments to take, and after which frames.
    fn breaks(&self, frames: &[Frame]) -> Result<Vec<usize>, Fault> {
        let mut room = self.active.as_ref().map_or(0, |active| self.segments.bytes - active.offset);
        let mut breaks = Vec::new();
        for (number, frame) in frames.iter().enumerate() {
            if frame.total > self.segments.bytes {
                return Err(Fault::TooLarge);
            }
            if frame.total > room {
                breaks.push(number);
                room = self.segments.bytes;
            }
            room -= frame.total;
        }
        Ok(breaks)
    }

    /// Segments to write. One is left for the outcomes of a full disk, unless it is they that ask.
    fn acquire(&mut self, count: usize, inserting: bool) -> Result<Vec<Segment>, Fault> {
        if count == 0 {
            return Ok(Vec::new());
        }
        loop {
            if let Some(segments) = self.segments.take(count, usize::from(inserting)) {
                return Ok(segments);
            }
            match self.segments.grow(false) {
                Ok(Grown::Yes) => continue,
                Ok(Grown::Enough | Grown::DiskFull) => {}
                Err(error) => return Err(Fault::Broken(error.to_string())),
            }
            let before = self.segments.free();
            let oldest = self.segments.oldest().ok_or(Fault::Full)?;
            self.settling.settle(oldest)?;
            if self.segments.free() <= before {
                return Err(Fault::Full);
            }
        }
    }

    /// Numbers the jobs, and writes them durably.
    fn write(&mut self, group: &mut [Job], mut frames: Vec<Frame>, breaks: &[usize]) -> Result<(), Fault> {
        let inserting = group.iter().any(Job::inserts);
        let mut fresh = self.acquire(breaks.len(), inserting)?.into_iter();
        let mut batch = Batch::default();
        for (number, (job, frame)) in group.iter_mut().zip(&mut frames).enumerate() {
            if breaks.contains(&number) {
                // Before the next segment has a word of it: behind a crash that kept the later part
                // alone, the journal would seem to have a gap.
                self.flush(&mut batch)?;
                self.enter(fresh.next());
            }
            let Some(active) = &self.active else { return Err(Fault::Full) };
            self.sequence += 1;
            job.sequence = self.sequence;
            frame.seal(self.sequence, active.generation);
            note_places(job, active.generation, active.offset + batch.len, frame);
            batch.add(frame);
            self.segments.wrote(active.generation, self.sequence);
        }
        self.flush(&mut batch)
    }

    fn enter(&mut self, segment: Option<Segment>) {
        let Some(mut segment) = segment else { return };
        self.generation += 1;
        (segment.generation, segment.last) = (self.generation, self.sequence);
        self.active = Some(Active { file: segment.file.clone(), generation: self.generation, offset: 0 });
        self.segments.enter(segment);
    }

    /// Writes a batch and makes it durable.
    fn flush(&mut self, batch: &mut Batch) -> Result<(), Fault> {
        let Some(active) = self.active.as_mut().filter(|_| batch.len > 0) else { return Ok(()) };
        let written = active.file.write_at(&batch.slices(), active.offset);
        active.offset += batch.len;
        let file = active.file.clone();
        *batch = Batch::default();
        written.map_err(|error| self.broken("write", &error))?;
        file.sync_data().map_err(|error| self.broken("sync", &error))
    }

    fn broken(&self, what: &str, error: &std::io::Error) -> Fault {
        Fault::Broken(format!("{what} of the journal in {}: {error}", self.directory.display()))
    }
}

impl Engine for Journal {
    fn commit(&mut self, group: &mut [Job]) -> Result<(), Fault> {
        if group.iter().any(Job::inserts) {
            self.check_index(group)?;
        }
        let frames: Vec<Frame> = group.iter().map(Frame::new).collect();
        let breaks = self.breaks(&frames)?;
        self.write(group, frames, &breaks)
    }

    fn committed(&mut self) {
        let pending = self.live.pending().bytes();
        let written = self.active.as_ref().map_or(0, |active| active.offset);
        let spare = written * 4 < self.segments.bytes || self.segments.free() > 1;
        if pending > PENDING_BYTES_MAX * 2 {
            // A full index is told to those who bring more.
            let _ = self.settling.settle_all();
        } else if pending > PENDING_BYTES_MAX || self.segments.pressing().is_some() || !spare {
            self.settling.hint();
        }
    }

    fn close(&mut self) {
        self.settling.close();
    }
}

/// Whether the settler should write although nothing is old: to free segments or memory.
pub(crate) fn pressing(segments: &Segments, live: &Live) -> Option<u64> {
    let pending = live.pending();
    if pending.bytes() > PENDING_BYTES_MAX { Some(pending.last) } else { segments.pressing() }
}

impl Frame {
    fn new(job: &Job) -> Self {
        let mut head = vec![0; HEADER_BYTES];
        let mut contents = Vec::new();
        for step in &job.steps {
            let content = match step {
                Step::Insert(insert) => match &insert.body {
                    Body::Inline(bytes) => Some(bytes.clone()),
                    Body::File(_) | Body::Standing { .. } => None,
                },
                _ => None,
            };
            let content = content.map(|bytes| {
                let check = crc32c(&bytes);
                (bytes, check)
            });
            codec::encode(step, content.as_ref().map_or(0, |(_, check)| *check), &mut head);
            contents.extend(content);
        }
        let content_len: usize = contents.iter().map(|(bytes, _)| bytes.len()).sum();
        let total = (head.len() + content_len) as u64;
        Self { head, contents, total }
    }

    /// Fills in the header.
    fn seal(&mut self, sequence: u64, generation: u64) {
        let steps = &self.head[HEADER_BYTES..];
        let header = Header {
            steps_len: steps.len() as u32,
            content_len: (self.total - self.head.len() as u64) as u32,
            steps_check: crc32c(steps),
            sequence,
            generation,
        };
        self.head[..HEADER_BYTES].copy_from_slice(&header.render());
    }
}

/// Tells the inserts of a job where their content will stand.
fn note_places(job: &mut Job, generation: u64, offset: u64, frame: &Frame) {
    let mut offset = offset + frame.head.len() as u64;
    let inserts = job.steps.iter_mut().filter_map(|step| match step {
        Step::Insert(insert) if matches!(insert.body, Body::Inline(_)) => Some(insert),
        _ => None,
    });
    for (insert, (content, check)) in inserts.zip(&frame.contents) {
        let len = content.len() as u64;
        insert.place = Some(Place { generation, offset, len, check: *check });
        offset += len;
    }
}

impl Batch {
    fn add(&mut self, frame: &Frame) {
        self.len += frame.total;
        self.buffer.extend_from_slice(&frame.head);
        for (content, _) in &frame.contents {
            if content.len() <= COPIED_BYTES_MAX {
                self.buffer.extend_from_slice(content);
            } else {
                self.parts.push(Part::Buffered(self.buffer.len()));
                self.parts.push(Part::Content(content.clone()));
            }
        }
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut from = 0;
        let mut slices = Vec::with_capacity(self.parts.len() + 1);
        for part in &self.parts {
            match part {
                Part::Buffered(to) => {
                    slices.push(IoSlice::new(&self.buffer[from..*to]));
                    from = *to;
                }
                Part::Content(bytes) => slices.push(IoSlice::new(bytes)),
            }
        }
        slices.push(IoSlice::new(&self.buffer[from..]));
        slices
    }
}
