//! What is seen from outside: events, counters, the event log and the protocol log (writer and
//! reader), message tracking, and the audit log. Every event is a variant of one enum; `Observer::event` turns it
//! into a record and a counter at one spot.

mod audit;
mod certificate_role;
mod connection_guard;
pub mod counters;
mod event;
pub mod event_log;
mod history;
mod live_log;
pub mod log_reader;
mod observer;
mod of_no_message;
pub mod partners;
mod protocol_log;
mod record;
mod registry;
mod rotating;
mod sent_once;
mod sparing;
#[cfg(test)]
pub(crate) mod test_settings;
pub mod text;
pub mod tls_reports;
pub mod tracking;
mod whole_file;

pub use audit::{AuditEntry, AuditError, AuditLog};
pub use certificate_role::CertificateRole;
pub use connection_guard::ConnectionGuard;
pub use event::table as events;
pub use event::{AccessEvent, DsnKind, Event, FilterEvent, InboundChecked, LogEvent};
pub use history::{Course, History, Point, Totals};
pub use live_log::{LiveLine, LiveLog, Selection as LiveSelection};
pub use observer::Observer;
pub(crate) use of_no_message::of_no_message;
pub use protocol_log::{LogRecord, ProtocolLog, ProtocolLogError};
