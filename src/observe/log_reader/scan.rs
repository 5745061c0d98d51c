//! Reads whole logs: workers take chunks and judge the sessions in them, and one thread puts the
//! results together in the order of the chunks. Memory is bounded by the chunks in hand, the
//! sessions that are open and a window of what was found.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::files::{self, ReadError};
use super::pieces::{self, Match, Pieces};
use super::source::Source;
use super::{Assembler, Facts, Filter, Session};

/// More cores read no faster than one file is handed out.
const WORKERS_MAX: usize = 8;
/// Chunks a worker may be ahead of the one that is wanted next.
const AHEAD: u64 = 4;
/// Octets of sessions that are sorted together; a larger answer comes in several such stretches.
const WINDOW_OCTETS: usize = 64 << 20;

/// What is asked of a log.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub filter: Filter,
    /// Whether the lines are wanted, or only what they say.
    pub lines: bool,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub lines: u64,
    /// Lines that could not be read.
    pub skipped: u64,
}

/// What workers and the reader share.
struct Desk {
    state: Mutex<State>,
    /// The reader has come further, or it is over.
    moved: Condvar,
}

struct State {
    source: Source,
    handed_out: u64,
    merged: u64,
    stopped: bool,
    spare: Vec<Vec<u8>>,
}

/// Hands over each session that the query asks for, sorted by their beginnings as far as 64 MiB of
/// them reach, and reports how many octets of how many are read. `take` ends the walk with an error.
pub fn scan<E: From<ReadError>>(
    path: &Path,
    query: &Query,
    progress: &mut dyn FnMut(u64, u64),
    take: &mut dyn FnMut(Session, Facts) -> Result<(), E>,
) -> Result<Tally, E> {
    let mut files = files::find(path)?;
    files.retain(|file| file.may_hold(query.filter.since, query.filter.until));
    let source = Source::new(files);
    let total = source.total;
    let desk = Desk::new(source);
    let (results, pieces) = channel();
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX);
    std::thread::scope(|scope| {
        // However this ends, the workers do too.
        let _stop = Stop(&desk);
        for _ in 0..workers {
            let (desk, results) = (&desk, results.clone());
            scope.spawn(move || desk.work(workers as u64 * AHEAD, query, &results));
        }
        drop(results);
        let mut window = Window { query, take, matches: Vec::new(), octets: 0 };
        let mut assembler = Assembler::default();
        let mut tally = Tally::default();
        in_order(&pieces, |part| {
            let mut part = part?;
            tally.lines += part.lines;
            tally.skipped += part.skipped;
            for found in part.matches.drain(..) {
                window.add(found)?;
            }
            for piece in part.unfinished.drain(..) {
                for session in assembler.take_piece(piece) {
                    window.judge(session)?;
                }
            }
            let done = desk.merged(part.spare);
            progress(done, total.max(done));
            Ok::<(), E>(())
        })?;
        for session in assembler.finish() {
            window.judge(session)?;
        }
        window.flush()?;
        Ok(tally)
    })
}

/// Every session below a path with its lines, oldest first: for logs that are known to be small.
pub fn all_sessions(path: &Path) -> Result<Vec<Session>, ReadError> {
    let mut sessions = Vec::new();
    let query = Query { lines: true, ..Query::default() };
    scan(path, &query, &mut |_, _| (), &mut |session, _| {
        sessions.push(session);
        Ok::<(), ReadError>(())
    })?;
    Ok(sessions)
}

type Numbered = (u64, Result<Pieces, ReadError>);

/// Hands over results in the order of their numbers.
fn in_order<E>(
    results: &Receiver<Numbered>,
    mut take: impl FnMut(Result<Pieces, ReadError>) -> Result<(), E>,
) -> Result<(), E> {
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    while let Ok((number, result)) = results.recv() {
        waiting.insert(number, result);
        while let Some(result) = waiting.remove(&next) {
            take(result)?;
            next += 1;
        }
    }
    Ok(())
}

impl Desk {
    fn new(source: Source) -> Self {
        let state = State { source, handed_out: 0, merged: 0, stopped: false, spare: Vec::new() };
        Self { state: Mutex::new(state), moved: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads chunk after chunk; ends with the log, with an error or when nobody wants more.
    fn work(&self, ahead: u64, query: &Query, results: &Sender<Numbered>) {
        loop {
            let mut state = self.lock();
            while !state.stopped && state.handed_out >= state.merged + ahead {
                state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.stopped {
                return;
            }
            let spare = state.spare.pop().unwrap_or_default();
            let chunk = state.source.next(spare);
            let number = state.handed_out;
            state.handed_out += 1;
            state.stopped |= !matches!(chunk, Ok(Some(_)));
            drop(state);
            let result = match chunk {
                Ok(Some(chunk)) => Ok(pieces::read(chunk, query)),
                Ok(None) => {
                    self.moved.notify_all();
                    return;
                }
                Err(error) => Err(error),
            };
            if results.send((number, result)).is_err() {
                return;
            }
        }
    }

    /// One more is put together; how many octets are read.
    fn merged(&self, spare: Vec<u8>) -> u64 {
        let mut state = self.lock();
        state.merged += 1;
        state.spare.push(spare);
        self.moved.notify_all();
        state.source.done
    }
}

/// Tells the workers that it is over.
struct Stop<'a>(&'a Desk);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.moved.notify_all();
    }
}

/// Gathers what was found, to be sorted.
struct Window<'a, E> {
    query: &'a Query,
    take: &'a mut dyn FnMut(Session, Facts) -> Result<(), E>,
    matches: Vec<Match>,
    octets: usize,
}

impl<E> Window<'_, E> {
    /// A session that was put together here.
    fn judge(&mut self, mut session: Session) -> Result<(), E> {
        let facts = self.query.filter.judge(&session.frame(), || session.views());
        let Some(facts) = facts else { return Ok(()) };
        if !self.query.lines {
            session.lines = Vec::new();
        }
        self.add((session, facts))
    }

    fn add(&mut self, found: Match) -> Result<(), E> {
        self.octets += found.0.octets() + found.1.octets();
        self.matches.push(found);
        if self.octets > WINDOW_OCTETS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), E> {
        self.octets = 0;
        self.matches.sort_by(|(a, _), (b, _)| (a.started, a.last, &a.id).cmp(&(b.started, b.last, &b.id)));
        for (session, facts) in std::mem::take(&mut self.matches) {
            (self.take)(session, facts)?;
        }
        Ok(())
    }
}
