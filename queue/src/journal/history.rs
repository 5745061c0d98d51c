//! Reading the journal back: which segments there are, and what is in them, in order.

use super::record::{Record, Scan};
use super::segments::{DIRECTORY, Segment, number_of};
use crate::Error;
use crate::ground::Ground;

/// The segments on the disk, those never written first, then by use; `last` is the first job in each.
/// What a cut left of the making of one is deleted.
pub(crate) fn find(ground: &Ground, segment_bytes: u64) -> Result<Vec<Segment>, Error> {
    read_directory(ground, Some(segment_bytes))
}

/// As `find`, and nothing is changed.
pub(crate) fn look(ground: &Ground) -> Result<Vec<Segment>, Error> {
    read_directory(ground, None)
}

fn read_directory(ground: &Ground, tidy: Option<u64>) -> Result<Vec<Segment>, Error> {
    let directory = ground.directory.join(DIRECTORY);
    let names = ground.disk.list(&directory).map_err(|error| Error::io("list", &directory, error))?;
    let mut segments = Vec::new();
    for name in names.iter().filter(|name| number_of(name).is_some()) {
        let path = directory.join(name);
        let failed = |error| Error::io("read the journal in", &path, error);
        let opened = if tidy.is_some() { ground.disk.open_to_write(&path) } else { ground.disk.open(&path) };
        let file = opened.map_err(failed)?;
        let bytes = ground.disk.size(&path).map_err(failed)?;
        let first = Scan::new(&*file, bytes).header(0).map_err(failed)?;
        if first.is_none() && tidy.is_some_and(|wanted| bytes != wanted) {
            ground.disk.remove(&path).map_err(|error| Error::io("delete", &path, error))?;
            continue;
        }
        let (generation, last) = first.map_or((0, 0), |header| (header.generation, header.sequence));
        segments.push(Segment { path, file: file.into(), bytes, generation, last });
    }
    segments.sort_by_key(|segment| segment.generation);
    Ok(segments)
}

/// What to do where jobs are missing in the middle.
pub(crate) enum Missing<'a> {
    /// `Error::JournalDamaged`.
    Refuse,
    /// Goes on with what can be read; counts the jobs that cannot.
    PassOver(&'a mut u64),
}

/// Hands over the records behind `settled`, in order, and notes the last job of each segment; without
/// `settled`, all there are. Returns the last of all. A torn end is the end.
pub(crate) fn replay(
    segments: &mut [Segment],
    settled: Option<u64>,
    mut missing: Missing<'_>,
    visit: &mut dyn FnMut(Record),
) -> Result<u64, Error> {
    let used: Vec<usize> = (0..segments.len()).filter(|at| segments[*at].generation > 0).collect();
    let mut expected = settled.map(|settled| settled + 1);
    for (nth, at) in used.iter().enumerate() {
        let first = segments[*at].last;
        let end = used.get(nth + 1).map(|next| segments[*next].last);
        let is_settled = |end: u64| settled.is_some_and(|settled| end <= settled + 1);
        if let Some(end) = end.filter(|end| is_settled(*end)) {
            segments[*at].last = end - 1;
            continue;
        }
        note_gap(&segments[*at], expected, first, &mut missing)?;
        let strict = matches!(missing, Missing::Refuse);
        let mut part = Part { segment: &segments[*at], next: first, end, strict };
        let new = |record: &Record| settled.is_none_or(|settled| record.sequence > settled);
        part.read(&mut missing, &mut |record| {
            if new(&record) {
                visit(record);
            }
        })?;
        let next = part.next;
        segments[*at].last = next - 1;
        expected = Some(expected.unwrap_or(0).max(next));
    }
    Ok(expected.map_or(0, |expected| expected - 1))
}

/// Between two segments, or the index and the first.
fn note_gap(
    segment: &Segment,
    expected: Option<u64>,
    first: u64,
    missing: &mut Missing<'_>,
) -> Result<(), Error> {
    match (expected.filter(|expected| first > *expected), missing) {
        (None, _) => Ok(()),
        (Some(_), Missing::Refuse) => Err(Error::JournalDamaged { path: segment.path.clone() }),
        (Some(expected), Missing::PassOver(count)) => {
            **count += first - expected;
            Ok(())
        }
    }
}

/// One segment, up to the first job of the next.
struct Part<'a> {
    segment: &'a Segment,
    /// The job that comes next.
    next: u64,
    end: Option<u64>,
    /// Jobs follow each other without a gap.
    strict: bool,
}

impl Part<'_> {
    fn read(&mut self, missing: &mut Missing<'_>, visit: &mut dyn FnMut(Record)) -> Result<(), Error> {
        let Segment { file, path, bytes, generation, .. } = self.segment;
        let failed = |error| Error::io("read the journal in", path, error);
        let mut scan = Scan::new(&**file, *bytes);
        let mut offset = 0;
        loop {
            let record = scan.record(offset).map_err(failed)?.filter(|record| self.belongs(record));
            if let Some(record) = record {
                if let (Missing::PassOver(count), true) = (&mut *missing, record.sequence > self.next) {
                    **count += record.sequence - self.next;
                }
                (offset, self.next) = (record.end, record.sequence + 1);
                visit(record);
                continue;
            }
            // In the last segment this is the torn end; before it, damage that may be passed over.
            let more = self.end.is_some_and(|end| self.next < end);
            match missing {
                Missing::PassOver(_) if more => match scan.resume(offset, *generation).map_err(failed)? {
                    Some(next) => offset = next,
                    None => return Ok(()),
                },
                Missing::PassOver(_) | Missing::Refuse => return Ok(()),
            }
        }
    }

    fn belongs(&self, record: &Record) -> bool {
        let in_order = match self.end {
            Some(end) if self.strict => record.sequence == self.next && record.sequence < end,
            Some(end) => record.sequence >= self.next && record.sequence < end,
            None => record.sequence == self.next,
        };
        record.generation == self.segment.generation && in_order
    }
}
