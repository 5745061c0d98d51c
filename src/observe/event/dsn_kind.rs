//! Which delivery status notification an event is about.

use serde::Serialize;

/// What a delivery status notification tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DsnKind {
    Failed,
    Delayed,
    /// Handed over to a server that does not report.
    Relayed,
}
