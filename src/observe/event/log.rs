//! The events of the logs themselves: what they lost, and what was changed about them.

use serde::Serialize;

/// Written as the other events are, each under its own name.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event")]
pub enum LogEvent {
    /// Lines of sessions that never reached the protocol log.
    ProtocolLogLost {
        lines: u64,
    },
    ProtocolLogError {
        error: String,
    },
    /// `max_directory_size` removed a file before `max_age` would have.
    ProtocolLogAgedEarly {
        file: String,
    },
    /// Records of messages that never reached message tracking.
    TrackingLost {
        records: u64,
    },
    TrackingError {
        error: String,
    },
    /// As `ProtocolLogAgedEarly`, of message tracking.
    TrackingAgedEarly {
        file: String,
    },
    /// Records of this event log that syslog, the journal or a collector did not take.
    EventLogLost {
        output: &'static str,
        records: u64,
    },
    /// An operator changed the levels of the event log, until the next reload or restart.
    LogLevelsChanged {
        before: String,
        levels: String,
        by: String,
    },
}
