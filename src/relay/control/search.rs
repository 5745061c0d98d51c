//! Looking into files that were written: message tracking and the protocol log. One search at a
//! time, as it may be a gigabyte.

use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::observe::LiveLine;
use crate::observe::log_reader::{Filter, Query, ReadError, Session, scan};
use crate::observe::tracking::follow::{self, Search, Wanted};
use crate::observe::tracking::{FOLDER, Files};
use crate::relay::shared::Shared;

use super::failure;

/// How long before and after a moment the lines of its session are looked for.
const SESSION_MARGIN: SignedDuration = SignedDuration::from_hours(1);
/// Lines of one session, the first.
const SESSION_LINES_MAX: usize = 2_000;

/// What became of messages.
pub async fn trace(shared: &Arc<Shared>, wanted: Search) -> Value {
    let Some(wanted) = Wanted::new(wanted) else {
        return failure("nothing is asked for; name a Message-ID, a queue id, a sender or a recipient");
    };
    let directory = shared.settings.load().message_tracking.directory.join(FOLDER);
    let search = move || {
        let mut files = Files::find(&directory)?;
        follow::trace(&mut files, &wanted)
    };
    match alone(&shared.searching, search).await {
        Ok(Ok(traced)) => {
            json!({ "messages": traced.messages, "more": traced.more, "left_out": traced.left_out })
        }
        Ok(Err(error)) => failure(error),
        Err(error) => failure(error),
    }
}

/// The lines of a session.
pub async fn session(shared: &Arc<Shared>, session: String, at: Timestamp) -> Value {
    let directory = shared.settings.load().protocol_log.directory.clone();
    match alone(&shared.searching, move || sessions(&directory, &session, at)).await {
        Ok(Ok(sessions)) => json!({ "lines": sessions.iter().flat_map(shown).collect::<Vec<_>>() }),
        Ok(Err(error)) => failure(error),
        Err(error) => failure(error),
    }
}

fn sessions(directory: &Path, id: &str, at: Timestamp) -> Result<Vec<Session>, ReadError> {
    let filter = Filter {
        sessions: [id.to_ascii_uppercase()].into(),
        since: Some(at.saturating_sub(SESSION_MARGIN).unwrap_or(Timestamp::MIN)),
        until: Some(at.saturating_add(SESSION_MARGIN).unwrap_or(Timestamp::MAX)),
        ..Filter::default()
    };
    let mut found = Vec::new();
    scan(directory, &Query { filter, lines: true }, &mut |_, _| (), &mut |session, _| {
        found.push(session);
        Ok::<(), ReadError>(())
    })?;
    Ok(found)
}

/// As the live log shows lines.
fn shown(session: &Session) -> impl Iterator<Item = LiveLine> {
    let lines = session.lines.iter().take(SESSION_LINES_MAX).zip(0..);
    lines.map(|(line, number)| LiveLine::read(session, line, number))
}

/// The place is the search's own, not that of who asked: he may go away while it goes on.
async fn alone<T: Send + 'static>(
    searching: &Arc<Semaphore>,
    search: impl FnOnce() -> T + Send + 'static,
) -> Result<T, &'static str> {
    let Ok(place) = Arc::clone(searching).try_acquire_owned() else {
        return Err("another search is under way; try again in a moment");
    };
    let searched = tokio::task::spawn_blocking(move || {
        let _place = place;
        search()
    });
    searched.await.map_err(|_| "the search was broken off; look at the server's log")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_search_whose_asker_went_away_still_is_the_only_one() {
        let searching = Arc::new(Semaphore::new(1));
        let (started, begins) = mpsc::channel();
        let (finish, finished) = mpsc::channel::<()>();
        let asked = tokio::spawn({
            let searching = Arc::clone(&searching);
            async move {
                let search = move || {
                    started.send(()).unwrap();
                    let _ = finished.recv();
                };
                alone(&searching, search).await
            }
        });
        tokio::task::spawn_blocking(move || begins.recv().unwrap()).await.unwrap();
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
        assert!(alone(&searching, || ()).await.unwrap_err().contains("another search"));
        drop(finish);
        // The place comes back with the end of the search.
        let _place = searching.acquire().await.unwrap();
    }
}
