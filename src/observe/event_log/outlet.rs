//! The event log's way out to standard error, with a thread of its own behind a bounded buffer: a
//! session that tells an event neither waits for the write nor wakes anybody for each. Nothing is
//! dropped: who finds the buffer full waits for the reader of our standard error, as without it.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Text that may wait.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// Between two writes when so much text came within that time; else a line is written at once.
const GATHER: Duration = Duration::from_millis(20);
const BUSY_BYTES: usize = 16 << 10;
/// How long the end of the program waits for somebody who does not read.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Takes records from anywhere. Copies share one buffer.
#[derive(Clone)]
pub(super) struct Outlet(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// For the thread: there is text, or it is wanted now.
    wanted: Condvar,
    /// For those who wait: text went out.
    written: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// The thread has nothing to do and must be woken.
    idle: bool,
    writing: bool,
    hurry: bool,
}

impl Outlet {
    /// Starts the thread. Without one, records go to `out` by way of whoever brings them.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { state: Mutex::default(), wanted: Condvar::new(), written: Condvar::new() });
        let running = Arc::clone(&shared);
        std::thread::Builder::new().name("event-log".to_owned()).spawn(move || running.run(out))?;
        Ok(Self(shared))
    }

    /// Adds one record.
    pub(super) fn push(&self, record: &[u8]) {
        self.0.push(record);
    }

    /// Returns when all that was brought is written, or nobody reads it for two seconds.
    pub(super) fn flush(&self) {
        let until = Instant::now() + LAST_WAIT;
        let mut state = self.0.lock();
        while !state.waiting.is_empty() || state.writing {
            state.hurry = true;
            self.0.wanted.notify_one();
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.0.written.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, record: &[u8]) {
        let mut state = self.lock();
        while state.waiting.len() >= WAITING_BYTES_MAX {
            state.hurry = true;
            self.wanted.notify_one();
            state = self.written.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting.extend_from_slice(record);
        if std::mem::take(&mut state.idle) {
            self.wanted.notify_one();
        }
    }

    fn run(&self, mut out: impl Write) {
        let mut text = Vec::new();
        let (mut since, mut bytes) = (Instant::now(), 0);
        loop {
            let mut state = self.lock();
            while state.waiting.is_empty() {
                state.idle = true;
                state = self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            (state.idle, state.hurry, state.writing) = (false, false, true);
            std::mem::swap(&mut state.waiting, &mut text);
            drop(state);
            // There is nobody left to tell that standard error is gone.
            let _ = out.write_all(&text).and_then(|()| out.flush());
            if since.elapsed() > GATHER {
                (since, bytes) = (Instant::now(), 0);
            }
            bytes += text.len();
            text.clear();
            text.shrink_to(WAITING_BYTES_MAX / 16);
            let mut state = self.lock();
            state.writing = false;
            self.written.notify_all();
            let until = Instant::now() + GATHER;
            while bytes >= BUSY_BYTES && !state.hurry {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                let waited = self.wanted.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Hands on what is written, one message for each write, when it is let.
    struct Gate {
        let_go: mpsc::Receiver<()>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            // The test is over when nobody lets go any more.
            self.let_go.recv().map_err(io::Error::other)?;
            self.written.send(text.to_vec()).map_err(io::Error::other)?;
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Outlet, mpsc::Sender<()>, mpsc::Receiver<Vec<u8>>) {
        let ((let_go, wait), (written, all)) = (mpsc::channel(), mpsc::channel());
        (Outlet::start(Gate { let_go: wait, written }).unwrap(), let_go, all)
    }

    #[test]
    fn records_that_come_while_one_is_written_go_out_together_and_in_order() {
        let (outlet, let_go, written) = gated();
        outlet.push(b"one\n");
        while !outlet.0.lock().writing {
            std::thread::yield_now();
        }
        outlet.push(b"two\n");
        outlet.push(b"three\n");
        let_go.send(()).unwrap();
        let_go.send(()).unwrap();
        outlet.flush();
        assert_eq!(written.try_iter().collect::<Vec<_>>(), [&b"one\n"[..], b"two\nthree\n"]);
    }

    #[test]
    fn who_finds_the_buffer_full_waits_and_nothing_is_lost() {
        let (outlet, let_go, written) = gated();
        let record = vec![b'x'; WAITING_BYTES_MAX / 4];
        let copy = outlet.clone();
        let busy = std::thread::spawn(move || {
            (0..12).for_each(|_| copy.push(&record));
        });
        // One write holds a megabyte at most, and three are to come.
        for _ in 0..12 {
            let_go.send(()).unwrap();
        }
        busy.join().unwrap();
        outlet.flush();
        let sizes: Vec<usize> = written.try_iter().map(|text| text.len()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 3 * WAITING_BYTES_MAX);
        assert!(sizes.iter().all(|size| *size <= WAITING_BYTES_MAX), "{sizes:?}");
    }
}
