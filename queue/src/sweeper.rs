//! Deletes content files whose record is gone, on a thread of its own: freeing a large file takes
//! milliseconds, in which the writer commits many messages. What it does not get to is an orphan that
//! the next start sweeps.

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use crate::MessageId;
use crate::content;
use crate::ground::Ground;

pub(crate) enum Sweeper {
    Thread { doomed: mpsc::Sender<MessageId>, thread: JoinHandle<()> },
    Here(Arc<Ground>),
}

impl Sweeper {
    pub(crate) fn start(ground: Arc<Ground>) -> std::io::Result<Self> {
        if !ground.threads {
            return Ok(Self::Here(ground));
        }
        let (sender, doomed) = mpsc::channel();
        let sweep = move || doomed.into_iter().for_each(|id| sweep(&ground, id));
        let thread = std::thread::Builder::new().name("queue-sweeper".into()).spawn(sweep)?;
        Ok(Self::Thread { doomed: sender, thread })
    }

    pub(crate) fn delete(&self, id: MessageId) {
        match self {
            // Fails only if the thread died; then the next start sweeps.
            Self::Thread { doomed, .. } => drop(doomed.send(id)),
            Self::Here(ground) => sweep(ground, id),
        }
    }

    /// Deletes what is left.
    pub(crate) fn finish(self) {
        if let Self::Thread { doomed, thread } = self {
            drop(doomed);
            let _ = thread.join();
        }
    }
}

fn sweep(ground: &Ground, id: MessageId) {
    // What cannot be deleted now is an orphan that the next start sweeps.
    let _ = ground.disk.remove(&content::path_of(&ground.directory, id));
}
