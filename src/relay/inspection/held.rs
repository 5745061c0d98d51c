//! Content that waits to be checked: in memory while it is small and there is memory left for all
//! sessions together, in a file without a name otherwise.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::block_in_place;
use tokio::time::{Instant, timeout_at};

use crate::policy::limits::{CHECKED_BYTES_OF_ALL_MAX, HELD_BYTES_MAX, HELD_BYTES_OF_ALL_MAX};

/// Permits are of so many octets each.
const UNIT: usize = 4 << 10;
/// Written to the file at a time: what each session may have in memory besides, so it is small.
const WRITE_BYTES: usize = 32 << 10;
/// Read from it at a time.
const PIECE: usize = 256 << 10;

/// Memory of all sessions: for messages as they come, and for those read back to be checked. The
/// two are apart, so that slow senders cannot stop checks.
#[derive(Clone)]
pub(super) struct Memory {
    holding: Arc<Semaphore>,
    checking: Arc<Semaphore>,
}

/// One message. Dropped, it leaves nothing.
pub struct Held {
    memory: Memory,
    directory: PathBuf,
    /// The whole message, or what is not yet in the file.
    bytes: Vec<u8>,
    /// Of `bytes`, when they are the whole message.
    permits: Vec<OwnedSemaphorePermit>,
    file: Option<File>,
    len: u64,
}

/// Content as it can be checked.
pub enum Loaded<'a> {
    Whole(&'a [u8]),
    TooLarge,
    /// None became free in time.
    NoMemory,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            holding: Arc::new(Semaphore::new(HELD_BYTES_OF_ALL_MAX / UNIT)),
            checking: Arc::new(Semaphore::new(CHECKED_BYTES_OF_ALL_MAX / UNIT)),
        }
    }
}

impl Held {
    pub(super) fn new(memory: Memory, directory: PathBuf) -> Self {
        Self { memory, directory, bytes: Vec::new(), permits: Vec::new(), file: None, len: 0 }
    }

    /// Octets so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Takes a piece.
    pub fn push(&mut self, piece: &[u8]) -> std::io::Result<()> {
        self.len += piece.len() as u64;
        if self.file.is_none() && !self.may_grow(piece.len()) {
            self.file = Some(block_in_place(|| tempfile::tempfile_in(&self.directory))?);
        }
        self.bytes.extend_from_slice(piece);
        if self.file.is_some() && self.bytes.len() >= WRITE_BYTES {
            self.write()?;
        }
        Ok(())
    }

    /// Whether `more` octets fit into memory, which are then ours.
    fn may_grow(&mut self, more: usize) -> bool {
        let wanted = self.bytes.len() + more;
        let owned: usize = self.permits.iter().map(OwnedSemaphorePermit::num_permits).sum();
        let missing = wanted.div_ceil(UNIT).saturating_sub(owned);
        if wanted > HELD_BYTES_MAX {
            return false;
        }
        let Ok(missing) = u32::try_from(missing) else { return false };
        if missing == 0 {
            return true;
        }
        let granted = Arc::clone(&self.memory.holding).try_acquire_many_owned(missing);
        let granted = granted.map(|permit| self.permits.push(permit));
        granted.is_ok()
    }

    /// What is in memory goes to the file, and its memory back.
    fn write(&mut self) -> std::io::Result<()> {
        let Some(file) = self.file.as_mut() else { return Ok(()) };
        block_in_place(|| file.write_all(&self.bytes))?;
        self.bytes = Vec::new();
        self.permits.clear();
        Ok(())
    }

    /// The whole message in memory, if it is not too large and there is room before `deadline`.
    pub async fn load(&mut self, deadline: Instant) -> std::io::Result<Loaded<'_>> {
        if self.file.is_none() {
            return Ok(Loaded::Whole(&self.bytes));
        }
        self.write()?;
        let Some(len) = usize::try_from(self.len).ok().filter(|len| *len <= CHECKED_BYTES_OF_ALL_MAX) else {
            return Ok(Loaded::TooLarge);
        };
        let units = u32::try_from(len.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.memory.checking).acquire_many_owned(units);
        let Ok(Ok(permit)) = timeout_at(deadline, room).await else {
            return Ok(Loaded::NoMemory);
        };
        self.permits.push(permit);
        let bytes = block_in_place(|| self.read_whole(len))?;
        self.bytes = bytes;
        self.file = None;
        Ok(Loaded::Whole(&self.bytes))
    }

    fn read_whole(&mut self, len: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(len);
        if let Some(file) = self.file.as_mut() {
            file.seek(SeekFrom::Start(0))?;
            file.read_to_end(&mut bytes)?;
        }
        if bytes.len() == len { Ok(bytes) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
    }

    /// The first `count` octets.
    pub fn first(&mut self, count: usize) -> std::io::Result<Vec<u8>> {
        self.write()?;
        match self.file.as_mut() {
            None => {
                self.bytes.get(..count).map(<[u8]>::to_vec).ok_or(std::io::ErrorKind::UnexpectedEof.into())
            }
            Some(file) => block_in_place(|| {
                let mut head = vec![0; count];
                file.seek(SeekFrom::Start(0))?;
                file.read_exact(&mut head)?;
                Ok(head)
            }),
        }
    }

    /// At most `count` octets from there on; none at the end.
    pub fn piece(&mut self, from: u64, count: usize) -> std::io::Result<Vec<u8>> {
        self.write()?;
        let Some(file) = self.file.as_mut() else {
            let from = usize::try_from(from).unwrap_or(usize::MAX).min(self.bytes.len());
            return Ok(self.bytes[from..(from + count).min(self.bytes.len())].to_vec());
        };
        block_in_place(|| {
            let mut piece = Vec::with_capacity(count);
            file.seek(SeekFrom::Start(from))?;
            file.take(count as u64).read_to_end(&mut piece)?;
            Ok(piece)
        })
    }

    /// What follows the first `skipped` octets, piece by piece; `take` says whether to go on.
    pub fn rest(mut self, skipped: usize, mut take: impl FnMut(&[u8]) -> bool) -> std::io::Result<()> {
        self.write()?;
        let Some(mut file) = self.file else {
            let rest = self.bytes.get(skipped..).unwrap_or_default();
            let _ = rest.chunks(PIECE).all(take);
            return Ok(());
        };
        file.seek(SeekFrom::Start(skipped as u64))?;
        let mut piece = vec![0; PIECE];
        loop {
            let count = block_in_place(|| file.read(&mut piece))?;
            if count == 0 || !take(&piece[..count]) {
                return Ok(());
            }
        }
    }
}

/// Makes the directory, and removes what lies in it.
pub(super) fn sweep(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    fn rest_of(held: Held, skipped: usize) -> Vec<u8> {
        let mut rest = Vec::new();
        held.rest(skipped, |piece| {
            rest.extend_from_slice(piece);
            true
        })
        .unwrap();
        rest
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_small_message_stays_in_memory() {
        let directory = tempfile::tempdir().unwrap();
        let memory = Memory::default();
        let mut held = Held::new(memory.clone(), directory.path().to_owned());
        held.push(b"Subject: x\r\n\r\n").unwrap();
        held.push(b"body\r\n").unwrap();
        assert!(held.file.is_none());
        assert!(memory.holding.available_permits() < HELD_BYTES_OF_ALL_MAX / UNIT);
        assert_eq!(held.first(14).unwrap(), b"Subject: x\r\n\r\n");
        let Loaded::Whole(whole) = held.load(soon()).await.unwrap() else { panic!("not loaded") };
        assert_eq!(whole, b"Subject: x\r\n\r\nbody\r\n");
        assert_eq!(rest_of(held, 14), b"body\r\n");
        assert_eq!(memory.holding.available_permits(), HELD_BYTES_OF_ALL_MAX / UNIT);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_large_one_goes_to_a_file_and_gives_its_memory_back() {
        let directory = tempfile::tempdir().unwrap();
        let memory = Memory::default();
        let mut held = Held::new(memory.clone(), directory.path().to_owned());
        let content: Vec<u8> = (0..HELD_BYTES_MAX + 3 * PIECE).map(|i| (i % 251) as u8).collect();
        content.chunks(60_000).for_each(|piece| held.push(piece).unwrap());
        assert!(held.file.is_some());
        assert_eq!(memory.holding.available_permits(), HELD_BYTES_OF_ALL_MAX / UNIT);
        assert_eq!(held.first(100).unwrap(), content[..100]);
        let Loaded::Whole(whole) = held.load(soon()).await.unwrap() else { panic!("not loaded") };
        assert!(whole == content);
        assert!(rest_of(held, 100) == content[100..]);
        assert_eq!(memory.checking.available_permits(), CHECKED_BYTES_OF_ALL_MAX / UNIT);
    }

    /// The message is not lost for it: it can still be handed on from the file.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn without_memory_a_message_is_held_but_cannot_be_checked() {
        let directory = tempfile::tempdir().unwrap();
        let memory = Memory::default();
        let all = |semaphore: &Arc<Semaphore>| {
            let count = u32::try_from(semaphore.available_permits()).unwrap();
            Arc::clone(semaphore).try_acquire_many_owned(count).unwrap()
        };
        let _taken = (all(&memory.holding), all(&memory.checking));
        let mut held = Held::new(memory, directory.path().to_owned());
        held.push(b"Subject: x\r\n\r\nbody\r\n").unwrap();
        assert!(held.file.is_some());
        assert!(matches!(held.load(soon()).await.unwrap(), Loaded::NoMemory));
        assert_eq!(rest_of(held, 14), b"body\r\n");
    }

    #[test]
    fn what_a_crash_left_is_swept() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(".tmpXyz"), "x").unwrap();
        sweep(directory.path()).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        sweep(&directory.path().join("new")).unwrap();
    }
}
