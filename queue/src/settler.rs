//! Lets the index follow the journal: what has stood in the journal for a while, or must make room
//! there, is written to SQLite in batches. Then the segments before can be used again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::content::ContentFile;
use crate::engine::{Fault, Step};
use crate::ground::Ground;
use crate::journal::{self, Grown, Segments};
use crate::live::Live;
use crate::pending::{Entry, Part, State};
use crate::sqlite::{Marks, Row, SqliteEngine};
use crate::{Error, Message, MessageId, NewMessage, NewRecipient};

/// Messages settled in one transaction.
const BATCH: usize = 500;
/// How often what was there the last time is settled: so far behind, and once more, the index may be.
const TICK: Duration = Duration::from_secs(5);
/// Larger content gets a file when it is settled.
const INDEX_CONTENT_BYTES_MAX: u64 = 64 << 10;

pub(crate) struct Settler {
    engine: SqliteEngine,
    ground: Arc<Ground>,
    live: Arc<Live>,
    segments: Arc<Segments>,
    /// Up to which job the index is settled.
    settled: u64,
    /// The last job when it was last looked.
    seen: u64,
}

impl Settler {
    pub(crate) fn new(
        engine: SqliteEngine,
        ground: &Arc<Ground>,
        live: &Arc<Live>,
        segments: &Arc<Segments>,
        settled: u64,
    ) -> Self {
        let (ground, live, segments) = (ground.clone(), live.clone(), segments.clone());
        Self { engine, ground, live, segments, settled, seen: settled }
    }

    pub(crate) fn settle_all(&mut self) -> Result<(), Fault> {
        let last = self.live.pending().last;
        self.settle(last)
    }

    /// Everything up to this job is in the index, durable, when this returns `Ok`.
    pub(crate) fn settle(&mut self, sequence: u64) -> Result<(), Fault> {
        self.live.check().map_err(|error| Fault::Broken(error.to_string()))?;
        let result = self.settle_parts(sequence);
        self.live.set_index_full(matches!(result, Err(Fault::Full)));
        if let Err(Fault::Broken(why)) = &result {
            self.live.fail(why.clone());
        }
        result
    }

    fn settle_parts(&mut self, sequence: u64) -> Result<(), Fault> {
        loop {
            let (part, ids) = {
                let mut pending = self.live.pending();
                (pending.freeze(sequence, BATCH), pending.ids)
            };
            if part.entries.is_empty() && sequence <= self.settled && ids.is_none() {
                return Ok(());
            }
            let settled = part.last.then_some(sequence.max(self.settled));
            let written = self.write(&part, Marks { settled, ids: ids.filter(|_| part.last), starts: None });
            let files = written.inspect_err(|_| self.live.pending().thaw())?;
            self.publish(files, ids.filter(|_| part.last));
            if let Some(settled) = settled {
                self.settled = settled;
                self.segments.settled(settled);
                return Ok(());
            }
        }
    }

    /// Those that find a message in the index must find its file.
    fn publish(&self, files: Vec<(MessageId, ContentFile)>, ids: Option<u64>) {
        let mut index = self.live.index();
        let mut pending = self.live.pending();
        for (id, mut file) in files {
            file.keep();
            // One whose message left meanwhile goes when that is settled.
            index.put_into_file(id);
        }
        if pending.ids == ids {
            pending.ids = None;
        }
        pending.settled();
    }

    fn write(&mut self, part: &Part, marks: Marks) -> Result<Vec<(MessageId, ContentFile)>, Fault> {
        let Self { engine, ground, segments, .. } = self;
        let mut files = Vec::new();
        let mut rows = part.entries.iter().map(|(id, entry)| row(ground, segments, *id, entry, &mut files));
        let with_files = engine.settle(&mut rows, marks)?;
        drop(rows);
        for id in with_files {
            // One that stays is an orphan that the next start sweeps.
            let _ = ground.disk.remove(&crate::content::path_of(&ground.directory, id));
        }
        Ok(files)
    }

    /// At start, before there are jobs: changes that the journal does not know of.
    pub(crate) fn change(&mut self, steps: &[Step]) -> Result<(), Fault> {
        self.engine.settle(std::iter::once(Ok(Row::Changed(steps))), Marks::default()).map(drop)
    }

    /// The number of this start is durable.
    pub(crate) fn note_start(&mut self, starts: u64) -> Result<(), Fault> {
        let marks = Marks { starts: Some(starts), ..Marks::default() };
        self.engine.settle(std::iter::empty(), marks).map(drop)
    }

    /// Tidies up before the end.
    pub(crate) fn close(&mut self) {
        self.engine.close();
    }

    /// Messages that have content files, with the size of their content.
    pub(crate) fn files(&self) -> Result<HashMap<MessageId, u64>, Error> {
        self.engine.files()
    }

    /// What is due of it: `tick`: time has passed.
    fn tend(&mut self, tick: bool) {
        let pressing = journal::pressing(&self.segments, &self.live);
        let due = tick.then_some(self.seen);
        if let Some(sequence) = pressing.max(due) {
            // What could not be settled is tried again, or has failed for good.
            let _ = self.settle(sequence);
        }
        if tick {
            self.seen = self.live.pending().last;
        }
    }
}

/// What the index gets of one message.
fn row<'a>(
    ground: &Ground,
    segments: &Segments,
    id: MessageId,
    entry: &'a Entry,
    files: &mut Vec<(MessageId, ContentFile)>,
) -> Result<Row<'a>, Fault> {
    let (message, place) = match &entry.state {
        State::Gone => return Ok(Row::Gone(id)),
        State::Changed(steps) => return Ok(Row::Changed(steps)),
        State::Whole { message, place } => (message, place),
    };
    let replaces = entry.stored;
    let Some(place) = place else {
        return Ok(Row::Whole { message, content: None, replaces });
    };
    let lost = |why: String| Fault::Broken(format!("content of {id} in the journal: {why}"));
    let content = segments.read(place).map_err(|error| lost(error.to_string()))?;
    let content = Bytes::from(content.ok_or_else(|| lost("it is not there any more".into()))?);
    if place.len <= INDEX_CONTENT_BYTES_MAX {
        return Ok(Row::Whole { message, content: Some(content), replaces });
    }
    files.push((id, put_into_file(ground, message, &content)?));
    Ok(Row::Whole { message, content: None, replaces })
}

fn put_into_file(ground: &Ground, message: &Message, content: &[u8]) -> Result<ContentFile, Fault> {
    // One that is there was left by a crash, or by an index that took no more.
    let _ = ground.disk.remove(&crate::content::path_of(&ground.directory, message.id));
    let write = || {
        let mut file = ContentFile::create(&ground.disk, &ground.directory, message.id)?;
        file.append(content)?;
        file.complete(message.id, &as_new(message))?;
        Ok(file)
    };
    write().map_err(|error: Error| match error {
        Error::DiskFull(_) => Fault::Full,
        other => Fault::Broken(other.to_string()),
    })
}

/// A message as it would come in now.
fn as_new(message: &Message) -> NewMessage {
    let recipients = message.recipients.iter().map(|recipient| NewRecipient {
        address: recipient.address.clone(),
        destination: recipient.destination.clone(),
        due: recipient.next_attempt,
        expires: recipient.expires,
        notify_delay_at: recipient.notify_delay_at,
    });
    NewMessage {
        sender: message.sender.clone(),
        received: message.received,
        meta: message.meta.clone(),
        recipients: recipients.collect(),
    }
}

/// The settler, for the journal's writer and those who read the index.
pub(crate) struct Settling {
    settler: Arc<Mutex<Settler>>,
    /// Without a thread, the one who gives the hint does the work.
    thread: Option<(SyncSender<()>, JoinHandle<()>)>,
}

impl Settling {
    pub(crate) fn start(settler: Arc<Mutex<Settler>>, threads: bool, of: &Path) -> Result<Self, Error> {
        let thread = threads.then(|| {
            let (sender, hints) = sync_channel(1);
            let worker = settler.clone();
            let run = move || tend_for_ever(&worker, &hints);
            let thread = std::thread::Builder::new().name("queue-settler".into()).spawn(run);
            thread.map(|thread| (sender, thread)).map_err(|error| Error::io("start a thread for", of, error))
        });
        Ok(Self { settler, thread: thread.transpose()? })
    }

    fn settler(&self) -> MutexGuard<'_, Settler> {
        lock(&self.settler)
    }

    pub(crate) fn settle(&self, sequence: u64) -> Result<(), Fault> {
        self.settler().settle(sequence)
    }

    pub(crate) fn settle_all(&self) -> Result<(), Fault> {
        self.settler().settle_all()
    }

    pub(crate) fn index_bytes(&self) -> u64 {
        self.settler().engine.bytes()
    }

    /// Something is due.
    pub(crate) fn hint(&self) {
        match &self.thread {
            // A hint that waits already says the same.
            Some((sender, _)) => match sender.try_send(()) {
                Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
            },
            None => {
                let segments = self.settler().segments.clone();
                keep_spare(&segments);
                self.settler().tend(false);
            }
        }
    }

    /// Time has passed, for a queue without threads.
    pub(crate) fn tick(&self) {
        self.settler().tend(true);
    }

    /// Settles what is left and ends the thread.
    pub(crate) fn close(&mut self) {
        if let Some((sender, thread)) = self.thread.take() {
            drop(sender);
            let _ = thread.join();
        }
        let mut settler = self.settler();
        // What cannot be settled is read from the journal at the next start.
        let _ = settler.settle_all();
        settler.engine.close();
    }
}

fn tend_for_ever(settler: &Mutex<Settler>, hints: &Receiver<()>) {
    let segments = lock(settler).segments.clone();
    let mut ticked = Instant::now();
    loop {
        let wait = TICK.saturating_sub(ticked.elapsed());
        if let Err(RecvTimeoutError::Disconnected) = hints.recv_timeout(wait) {
            return;
        }
        let tick = ticked.elapsed() >= TICK;
        if tick {
            ticked = Instant::now();
        }
        if !tick {
            keep_spare(&segments);
        }
        lock(settler).tend(tick);
    }
}

/// Makes the next segment before it is needed.
fn keep_spare(segments: &Segments) {
    if segments.free() < 2 {
        // A disk without room is told to those who bring more.
        let _: Result<Grown, Error> = segments.grow(true);
    }
}

pub(crate) fn lock(settler: &Mutex<Settler>) -> MutexGuard<'_, Settler> {
    settler.lock().unwrap_or_else(PoisonError::into_inner)
}
