//! Reads back the protocol logs that the demo's servers have just written, session by session.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A line is on disk within a second; a busy machine gets more.
const PATIENCE: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(50);

/// One of the two file sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Receive,
    Send,
}

/// One line of the log, as far as the story needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub session: String,
    pub event: char,
    pub data: String,
    pub context: String,
}

/// The lines of one session, in order.
pub type Session = Vec<Line>;

/// The first session below this data directory that fits, as soon as it is on disk.
pub async fn wait_for(
    data_directory: &Path,
    side: Side,
    fits: impl Fn(&Session) -> bool,
) -> io::Result<Session> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(session) = sessions(data_directory, side)?.into_iter().find(&fits) {
            return Ok(session);
        }
        if Instant::now() > deadline {
            let folder = folder(data_directory, side);
            let what = format!("the session is not in the protocol log below {}", folder.display());
            return Err(io::Error::other(what));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Does the session hold such a line?
pub fn says(session: &Session, event: char, text: &str) -> bool {
    session.iter().any(|line| line.event == event && line.data.contains(text))
}

/// What made the difference: the verdict, the chain's state, and refusals.
pub fn deciding(session: &Session) -> Vec<&Line> {
    let decides = |line: &&Line| {
        let judged = line.event == '*'
            && (line.context.contains("Domain security verdict")
                || line.context.contains("Certificate chain validation status"));
        let refused = matches!(line.event, '>' | '<') && matches!(line.data.as_bytes(), [b'4' | b'5', ..]);
        judged || refused
    };
    session.iter().filter(decides).collect()
}

fn folder(data_directory: &Path, side: Side) -> PathBuf {
    data_directory.join("protocol-log").join(match side {
        Side::Receive => "SmtpReceive",
        Side::Send => "SmtpSend",
    })
}

fn sessions(data_directory: &Path, side: Side) -> io::Result<Vec<Session>> {
    let mut files = match std::fs::read_dir(folder(data_directory, side)) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    files.sort();
    let mut sessions: Vec<Session> = Vec::new();
    for file in files {
        for line in std::fs::read_to_string(file)?.lines().filter_map(parse) {
            match sessions.iter_mut().find(|session| session[0].session == line.session) {
                Some(session) => session.push(line),
                None => sessions.push(vec![line]),
            }
        }
    }
    Ok(sessions)
}

/// `None` for header lines and for one that is only half written.
fn parse(line: &str) -> Option<Line> {
    let mut fields = fields(line)?;
    if line.starts_with('#') || fields.len() != 9 {
        return None;
    }
    let context = fields.pop()?;
    let data = fields.pop()?;
    let event = fields.pop()?.chars().next()?;
    Some(Line { session: fields.swap_remove(2), event, data, context })
}

/// RFC 4180, without line breaks inside quotes: the log escapes those.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let field = fields.last_mut()?;
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => field.extend(characters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    (!quoted).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_put_together_and_the_deciding_lines_found() {
        let directory = tempfile::tempdir().unwrap();
        let folder = folder(directory.path(), Side::Receive);
        std::fs::create_dir_all(&folder).unwrap();
        let text = "#Fields: date-time,connector-id,session-id,…\n\
            t,Internet,AA,0,l,r,+,,\n\
            t,Internet,BB,0,l,r,+,,\n\
            t,Internet,AA,1,l,r,<,MAIL FROM:<a@x.example>,\n\
            t,Internet,AA,2,l,r,*,\"Expired, since \"\"yesterday\"\"\",Domain security verdict\n\
            t,Internet,AA,3,l,r,>,550 5.7.5 Expired,\n\
            t,Internet,AA,4,l,r,>,\"half";
        std::fs::write(folder.join("RECV2026112201-1.LOG"), text).unwrap();
        let sessions = sessions(directory.path(), Side::Receive).unwrap();
        assert_eq!(sessions.iter().map(Vec::len).collect::<Vec<_>>(), [4, 1]);
        assert!(says(&sessions[0], '<', "a@x.example"));
        let deciding: Vec<&str> = deciding(&sessions[0]).iter().map(|line| line.data.as_str()).collect();
        assert_eq!(deciding, ["Expired, since \"yesterday\"", "550 5.7.5 Expired"]);
    }
}
