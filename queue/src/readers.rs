//! Reading connections, kept for the next reader. Reads run on the blocking threads of the runtime,
//! never on those that carry sessions.

use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;
use crate::engine::Reader;
use crate::ground::Ground;
use crate::sqlite::SqliteReader;

/// Idle connections that are kept.
const KEPT_MAX: usize = 8;

pub(crate) struct Readers {
    ground: Arc<Ground>,
    idle: Mutex<Vec<Box<dyn Reader>>>,
}

impl Readers {
    pub(crate) fn new(ground: Arc<Ground>) -> Arc<Self> {
        Arc::new(Self { ground, idle: Mutex::new(Vec::new()) })
    }

    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&mut dyn Reader) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let this = self.clone();
        let work = move || {
            let mut reader = this.take()?;
            let result = read(&mut *reader);
            reader.release();
            this.put_back(reader);
            result
        };
        self.ground.blocking(work).await
    }

    /// Lets go of the connections, so that the last one open is the writer's.
    pub(crate) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn take(&self) -> Result<Box<dyn Reader>, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| Ok(Box::new(SqliteReader::open(&self.ground.directory)?) as Box<dyn Reader>), Ok)
    }

    fn put_back(&self, reader: Box<dyn Reader>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT_MAX {
            idle.push(reader);
        }
    }
}
