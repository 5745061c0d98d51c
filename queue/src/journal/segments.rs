//! The files of the journal: as long as each other, written from front to back, used again once
//! everything in them is gone or settled, the longest unused first. So what can still be read of the
//! past is always its latest part, without gaps.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::Place;
use crate::disk::{DiskFile, read_exact_at};
use crate::ground::Ground;
use crate::{Error, Options};

pub(crate) const DIRECTORY: &str = "journal";

#[derive(Debug)]
pub(crate) struct Segments {
    ground: Arc<Ground>,
    /// Size of each.
    pub(crate) bytes: u64,
    max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Hold something that is not settled; the last is the one being written.
    live: VecDeque<Segment>,
    free: VecDeque<Segment>,
    next_number: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub path: PathBuf,
    pub file: Arc<dyn DiskFile>,
    pub bytes: u64,
    /// Which use of a segment this is, counted over all of them; 0: none yet.
    pub generation: u64,
    /// The last job in it.
    pub last: u64,
}

/// Whether there is one more.
pub(crate) enum Grown {
    Yes,
    /// There are as many as there may be.
    Enough,
    DiskFull,
}

impl Segments {
    pub(crate) fn new(ground: &Arc<Ground>, options: &Options, found: Vec<Segment>) -> Self {
        let numbers = found.iter().filter_map(|segment| number_of(segment.path.file_name()?.to_str()?));
        let next_number = numbers.max().map_or(1, |number| number + 1);
        let state = State { live: found.into(), free: VecDeque::new(), next_number };
        Self {
            ground: ground.clone(),
            bytes: options.journal_segment_bytes.max(SEGMENT_BYTES_MIN),
            max: options.journal_segments_max.max(SEGMENTS_MIN),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `count` segments to write, so that `kept` are left for others; `None` if there are too few.
    pub(crate) fn take(&self, count: usize, kept: usize) -> Option<Vec<Segment>> {
        let mut state = self.state();
        (state.free.len() >= count + kept).then(|| state.free.drain(..count).collect())
    }

    /// The segment is being written from now on.
    pub(crate) fn enter(&self, segment: Segment) {
        self.state().live.push_back(segment);
    }

    /// `sequence` is the last job in the segment of this generation.
    pub(crate) fn wrote(&self, generation: u64, sequence: u64) {
        let mut state = self.state();
        if let Some(segment) = state.live.iter_mut().rev().find(|one| one.generation == generation) {
            segment.last = sequence;
        }
    }

    /// One more segment, if there may be one and the disk has room for it. `warm`: written once, so
    /// that no sync of a message pays for the first use of its blocks.
    pub(crate) fn grow(&self, warm: bool) -> Result<Grown, Error> {
        let number = {
            let mut state = self.state();
            if state.live.len() + state.free.len() >= self.max {
                return Ok(Grown::Enough);
            }
            state.next_number += 1;
            state.next_number - 1
        };
        match self.create(number, warm) {
            Ok(segment) => {
                self.state().free.push_back(segment);
                Ok(Grown::Yes)
            }
            Err(Error::DiskFull(_)) => Ok(Grown::DiskFull),
            Err(error) => Err(error),
        }
    }

    fn create(&self, number: u32, warm: bool) -> Result<Segment, Error> {
        let disk = &self.ground.disk;
        let directory = self.ground.directory.join(DIRECTORY);
        let path = directory.join(format!("{number:08}"));
        let failed = |error| Error::io("make room for the journal in", &path, error);
        let file = disk.create(&path).map_err(failed)?;
        let reserved = file.preallocate(self.bytes).and_then(|()| match warm {
            true => fill(&*file, self.bytes),
            false => Ok(()),
        });
        let reserved = reserved.and_then(|()| file.sync_data());
        if let Err(error) = reserved.and_then(|()| disk.sync_directory(&directory)) {
            // One that stays is found at the next start.
            let _ = disk.remove(&path);
            return Err(failed(error));
        }
        Ok(Segment { path, file: file.into(), bytes: self.bytes, generation: 0, last: 0 })
    }

    /// Everything up to `sequence` is settled. The segment being written stays.
    pub(crate) fn settled(&self, sequence: u64) {
        let mut state = self.state();
        while state.live.len() > 1 && state.live.front().is_some_and(|one| one.last <= sequence) {
            let segment = state.live.pop_front();
            state.free.extend(segment);
        }
    }

    /// At start: everything in all of them is settled. Those of another size are not used again.
    pub(crate) fn all_settled(&self) -> Result<(), Error> {
        let mut state = self.state();
        for segment in std::mem::take(&mut state.live) {
            if segment.bytes == self.bytes {
                state.free.push_back(segment);
            } else {
                let removed = self.ground.disk.remove(&segment.path);
                removed.map_err(|error| Error::io("delete", &segment.path, error))?;
            }
        }
        Ok(())
    }

    /// The last job of the older half of what is not settled, if it is time to settle that.
    pub(crate) fn pressing(&self) -> Option<u64> {
        let state = self.state();
        (state.live.len() * 2 > self.max).then(|| state.live[state.live.len() / 2 - 1].last)
    }

    /// The last job of the oldest segment, unless that is being written.
    pub(crate) fn oldest(&self) -> Option<u64> {
        let state = self.state();
        state.live.front().filter(|_| state.live.len() > 1).map(|segment| segment.last)
    }

    pub(crate) fn free(&self) -> usize {
        self.state().free.len()
    }

    /// Content read back. `None`: it is no longer there, because it was settled meanwhile.
    pub(crate) fn read(&self, place: &Place) -> std::io::Result<Option<Vec<u8>>> {
        let file = {
            let state = self.state();
            let segment = state.live.iter().find(|segment| segment.generation == place.generation);
            segment.map(|segment| segment.file.clone())
        };
        let Some(file) = file else { return Ok(None) };
        let mut bytes = vec![0; place.len as usize];
        read_exact_at(&*file, &mut bytes, place.offset)?;
        Ok((crc32c::crc32c(&bytes) == place.check).then_some(bytes))
    }
}

/// Least size of a segment, and least number: one being written, one to come, one in reserve.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 1 << 20;
const SEGMENTS_MIN: usize = 4;

fn fill(file: &dyn DiskFile, bytes: u64) -> std::io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut at = 0;
    while at < bytes {
        let count = (bytes - at).min(zeros.len() as u64);
        file.write_at(&[IoSlice::new(&zeros[..count as usize])], at)?;
        at += count;
    }
    Ok(())
}

/// The number in the name of a segment's file.
pub(super) fn number_of(name: &str) -> Option<u32> {
    (name.len() == 8).then(|| name.parse().ok()).flatten()
}
