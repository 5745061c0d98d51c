//! Looking into files that were written: message tracking and the protocol log. One search at a
//! time, as it may be a gigabyte.

use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::observe::log_reader::{Filter, Query, ReadError, Session, scan};
use crate::observe::tracking::follow::{self, Search, Wanted};
use crate::observe::tracking::{FOLDER, Files};
use crate::relay::shared::Shared;
use crate::trust::Direction;

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
    match alone(shared, search).await {
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
    match alone(shared, move || sessions(&directory, &session, at)).await {
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
fn shown(session: &Session) -> Vec<Value> {
    let direction = match session.direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    };
    let shown = session.lines.iter().take(SESSION_LINES_MAX).map(|line| {
        json!({
            "at": format!("{:.3}", line.at),
            "direction": direction,
            "connector": session.connector,
            "session": session.id,
            "sequence": line.sequence,
            "local": session.local,
            "remote": session.remote,
            "event": line.kind.as_char(),
            "data": line.data,
            "context": line.context,
        })
    });
    shown.collect()
}

async fn alone<T: Send + 'static>(
    shared: &Shared,
    search: impl FnOnce() -> T + Send + 'static,
) -> Result<T, &'static str> {
    let Ok(_place) = shared.searching.try_acquire() else {
        return Err("another search is under way; try again in a moment");
    };
    let searched = tokio::task::spawn_blocking(search).await;
    searched.map_err(|_| "the search was broken off; look at the server's log")
}
