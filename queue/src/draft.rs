//! A message on its way in: in memory while it is small, in its content file from then on. Dropped
//! without a commit, it leaves nothing behind.

use std::sync::Arc;

use bytes::Bytes;

use crate::content::ContentFile;
use crate::engine::Body;
use crate::ground::Ground;
use crate::{Error, INLINE_BYTES_MAX, MessageId};

/// Content being received. Belongs to one session; `Queue::commit` takes it.
#[derive(Debug)]
pub struct Draft {
    id: MessageId,
    ground: Arc<Ground>,
    body: Filling,
}

#[derive(Debug)]
enum Filling {
    Memory(Vec<u8>),
    File(ContentFile),
}

impl Draft {
    pub(crate) fn new(id: MessageId, ground: Arc<Ground>) -> Self {
        Self { id, ground, body: Filling::Memory(Vec::new()) }
    }

    /// The id the message will have.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Adds content. Beyond 64 KiB this writes to a file (into the page cache; nothing is synced
    /// before the commit).
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match &mut self.body {
            Filling::Memory(memory) if memory.len() + bytes.len() <= INLINE_BYTES_MAX => {
                memory.extend_from_slice(bytes);
            }
            Filling::Memory(memory) => {
                let mut file = ContentFile::create(&self.ground.disk, &self.ground.directory, self.id)?;
                file.append(memory)?;
                file.append(bytes)?;
                self.body = Filling::File(file);
            }
            Filling::File(file) => file.append(bytes)?,
        }
        Ok(())
    }

    /// Bytes of content so far.
    pub fn len(&self) -> u64 {
        match &self.body {
            Filling::Memory(memory) => memory.len() as u64,
            Filling::File(file) => file.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn into_body(self) -> Body {
        match self.body {
            Filling::Memory(memory) => Body::Inline(Bytes::from(memory)),
            Filling::File(file) => Body::File(file),
        }
    }
}
