//! Which recipients an operator means: what the queue can answer, and what only the relay knows.

use sealpost_queue::{Filter, Message, Recipient, Status};
use serde::{Deserialize, Serialize};

use crate::relay::record::AttemptNote;
use crate::relay::route;
use crate::trust::Fault;

/// All conditions must hold of one recipient and its message.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Selection {
    #[serde(flatten)]
    pub queue: Filter,
    /// Name of the send connector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector: Option<String>,
    /// Host or domain that the mail goes to next, as `queue list` shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<String>,
    /// What the last attempt failed of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

impl Selection {
    pub fn meets(&self, recipient: &Recipient) -> bool {
        let destination = &recipient.destination;
        self.queue.meets(recipient)
            && self.connector.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(&destination.connector))
            && self
                .next_hop
                .as_ref()
                .is_none_or(|host| host.eq_ignore_ascii_case(route::shown_next_hop(destination)))
            && self.fault.is_none_or(|fault| AttemptNote::from_bytes(&recipient.note).fault == Some(fault))
    }

    /// Whether the message has a recipient that is meant.
    pub fn concerns(&self, message: &Message) -> bool {
        message.recipients.iter().any(|recipient| self.meets(recipient))
    }

    /// For the audit log: only the conditions that are set.
    pub fn describe(&self) -> String {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
            if let Some(id) = self.queue.id {
                fields.insert("id".to_owned(), id.to_string().into());
            }
        }
        value.to_string()
    }

    pub fn of_status(status: Status) -> Self {
        Self { queue: Filter { status: Some(status), ..Filter::default() }, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_survives_the_socket_and_is_told_short() {
        let selection = Selection {
            connector: Some("Internet".to_owned()),
            fault: Some(Fault::NameMismatch),
            ..Selection::of_status(Status::Retry)
        };
        let text = serde_json::to_string(&selection).unwrap();
        let read: Selection = serde_json::from_str(&text).unwrap();
        assert_eq!(read.describe(), selection.describe());
        assert_eq!(
            selection.describe(),
            r#"{"connector":"Internet","fault":"NameMismatch","status":"retry"}"#
        );
        assert_eq!(serde_json::from_str::<Selection>("{}").unwrap().describe(), "{}");
    }
}
