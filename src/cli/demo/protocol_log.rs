//! Looks into the protocol logs that the demo's servers have just written, session by session.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::observe::log_reader::{Session, all_sessions};
use crate::session::transcript::{Line, LineKind};
use crate::trust::Direction;

/// A line is on disk within a second; a busy machine gets more.
const PATIENCE: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(50);

/// The first session below this data directory that fits, as soon as it is on disk.
pub async fn wait_for(
    data_directory: &Path,
    direction: Direction,
    fits: impl Fn(&Session) -> bool,
) -> Result<Session, String> {
    let folder = data_directory.join("protocol-log");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = all_sessions(&folder).map_err(|error| error.to_string())?;
        if let Some(session) = found.into_iter().find(|found| found.direction == direction && fits(found)) {
            return Ok(session);
        }
        if Instant::now() > deadline {
            return Err(format!("the session is not in the protocol log below {}", folder.display()));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Does the session hold such a line?
pub fn says(session: &Session, kind: LineKind, text: &str) -> bool {
    session.lines.iter().any(|line| line.kind == kind && line.data.contains(text))
}

/// What made the difference: the verdict, the chain's state, and refusals.
pub fn deciding(session: &Session) -> Vec<&Line> {
    let decides = |line: &&Line| match line.kind {
        LineKind::Information => {
            line.context.contains("Domain security verdict")
                || line.context.contains("Certificate chain validation status")
        }
        LineKind::Sent | LineKind::Received => matches!(line.data.as_bytes(), [b'4' | b'5', ..]),
        LineKind::Connect | LineKind::Disconnect => false,
    };
    session.lines.iter().filter(decides).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_session_is_found_and_its_deciding_lines() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("protocol-log/SmtpReceive");
        std::fs::create_dir_all(&folder).unwrap();
        let lines = [
            "AA,0,l,r,+,,",
            "BB,0,l,r,+,,",
            "AA,1,l,r,<,MAIL FROM:<a@x.example>,",
            "AA,2,l,r,*,\"Expired, since \"\"yesterday\"\"\",Domain security verdict",
            "AA,3,l,r,>,550 5.7.5 Expired,",
        ];
        let lines = lines.map(|line| format!("2026-11-22T01:00:00.000Z,Internet,{line}\r\n"));
        std::fs::write(folder.join("RECV2026112201-1.LOG"), lines.concat()).unwrap();
        let from_a = |session: &Session| says(session, LineKind::Received, "a@x.example");
        let session = wait_for(directory.path(), Direction::Inbound, from_a).await.unwrap();
        assert_eq!((session.id.as_str(), session.lines.len()), ("AA", 4));
        let deciding: Vec<&str> = deciding(&session).iter().map(|line| line.data.as_str()).collect();
        assert_eq!(deciding, ["Expired, since \"yesterday\"", "550 5.7.5 Expired"]);
    }
}
