//! A message on its way in: in memory while it is small, in its content file from then on. Dropped
//! without a commit, it leaves nothing behind.

use std::sync::Arc;

use bytes::Bytes;

use crate::content::ContentFile;
use crate::engine::Body;
use crate::ground::{Ground, Memory};
use crate::{Error, MessageId};

/// A draft may hold so much in memory, however many there are.
const SMALL_BYTES_MAX: usize = 64 << 10;

/// Content being received. Belongs to one session; `Queue::commit` takes it.
#[derive(Debug)]
pub struct Draft {
    id: MessageId,
    ground: Arc<Ground>,
    body: Filling,
    /// There was room on the disk when it was begun.
    has_room: bool,
}

#[derive(Debug)]
enum Filling {
    Memory(Vec<u8>, Option<Memory>),
    File(ContentFile),
}

impl Draft {
    /// One that must stay in memory.
    pub(crate) fn without_room(id: MessageId, ground: Arc<Ground>) -> Self {
        Self { has_room: false, ..Self::new(id, ground) }
    }

    pub(crate) fn new(id: MessageId, ground: Arc<Ground>) -> Self {
        Self { id, ground, body: Filling::Memory(Vec::new(), None), has_room: true }
    }

    /// The id the message will have.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Adds content. What is too large for memory is written to a file (into the page cache; nothing
    /// is synced before the commit).
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match &mut self.body {
            Filling::Memory(memory, share) => {
                let len = memory.len() + bytes.len();
                if fits(&self.ground, len, share) {
                    if len > SMALL_BYTES_MAX && memory.capacity() < self.ground.inline_bytes_max {
                        // Its whole share at once: what is not written to takes no memory, and what
                        // never moves is never copied.
                        memory.reserve_exact(self.ground.inline_bytes_max - memory.len());
                    }
                    memory.extend_from_slice(bytes);
                } else if !self.has_room {
                    return Err(Error::DiskFull(self.ground.directory.clone()));
                } else {
                    let mut file = ContentFile::create(&self.ground.disk, &self.ground.directory, self.id)?;
                    file.append(memory)?;
                    file.append(bytes)?;
                    self.body = Filling::File(file);
                }
            }
            Filling::File(file) => file.append(bytes)?,
        }
        Ok(())
    }

    /// Whether the disk had room when it was begun; else only next hops can take it.
    pub fn has_room(&self) -> bool {
        self.has_room
    }

    /// Whether so many bytes more stay in memory, so that `append` does not touch the disk.
    pub fn has_room_in_memory(&mut self, more: usize) -> bool {
        match &mut self.body {
            Filling::Memory(memory, share) => fits(&self.ground, memory.len() + more, share),
            Filling::File(_) => false,
        }
    }

    /// Bytes of content so far.
    pub fn len(&self) -> u64 {
        match &self.body {
            Filling::Memory(memory, _) => memory.len() as u64,
            Filling::File(file) => file.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn into_body(self) -> Body {
        match self.body {
            Filling::Memory(mut memory, _) => {
                if memory.len() > SMALL_BYTES_MAX {
                    memory.shrink_to_fit();
                }
                Body::Inline(Bytes::from(memory))
            }
            Filling::File(file) => Body::File(file),
        }
    }
}

/// Whether so much content may stay in memory. Beyond what every draft may have it needs a share of
/// what all of them may have.
fn fits(ground: &Arc<Ground>, len: usize, share: &mut Option<Memory>) -> bool {
    if len > ground.inline_bytes_max {
        return false;
    }
    if len > SMALL_BYTES_MAX && share.is_none() {
        *share = Memory::of(ground);
        return share.is_some();
    }
    true
}
