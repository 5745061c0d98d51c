//! TLS reports (RFC 8460): what sending servers tell a domain about their TLS sessions with its mail
//! hosts. Where a domain wants them (`record`), what they say (`report`), and how they travel by mail
//! (`message`).

mod message;
mod record;
mod report;

pub use message::{Message, file_name, gzip};
pub use record::{Destination, DestinationsError, destinations};
pub use report::{DateRange, FailureDetails, Policy, PolicyResult, PolicyType, Report, Summary};
