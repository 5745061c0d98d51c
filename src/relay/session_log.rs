//! The lines of one session on their way to the protocol log.

use std::net::SocketAddr;

use crate::observe::LogRecord;
use crate::session::transcript::Line;
use crate::smtp::SessionId;
use crate::trust::Direction;

use super::shared::Shared;

/// What all lines of a session share, written once.
pub struct SessionLog {
    direction: Direction,
    connector: String,
    session: SessionId,
    local: SocketAddr,
    remote: SocketAddr,
}

impl SessionLog {
    pub fn new(
        direction: Direction,
        connector: &str,
        session: SessionId,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Self {
        Self { direction, connector: connector.to_owned(), session, local, remote }
    }

    /// Hands a line over; waits while the log is behind. A line that is lost has been counted and
    /// told by the log itself, and mail goes on.
    pub async fn write(&self, shared: &Shared, line: Line) {
        let record = LogRecord::of_line(line, &self.connector, self.session, self.local, self.remote);
        let _ = shared.protocol_log.write(self.direction, record).await;
    }
}
