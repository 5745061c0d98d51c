//! Deletes content files whose record is gone, on a thread of its own: freeing a large file takes
//! milliseconds, in which the writer commits many messages. What it does not get to is an orphan that
//! the next start sweeps.

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;

use crate::MessageId;
use crate::content;

pub(crate) struct Sweeper {
    doomed: mpsc::Sender<MessageId>,
    thread: JoinHandle<()>,
}

impl Sweeper {
    pub(crate) fn start(directory: PathBuf) -> std::io::Result<Self> {
        let (sender, doomed) = mpsc::channel();
        let sweep = move || {
            for id in doomed {
                let _ = std::fs::remove_file(content::path_of(&directory, id));
            }
        };
        let thread = std::thread::Builder::new().name("queue-sweeper".into()).spawn(sweep)?;
        Ok(Self { doomed: sender, thread })
    }

    pub(crate) fn delete(&self, id: MessageId) {
        // Fails only if the thread died; then the next start sweeps.
        let _ = self.doomed.send(id);
    }

    /// Deletes what is left.
    pub(crate) fn finish(self) {
        drop(self.doomed);
        let _ = self.thread.join();
    }
}
