//! The messages of a session, each with its fate.

use super::super::{Asked, Conversation, Session, Turn};

/// Transactions told of one session, and recipients of one of them; more are counted.
pub(super) const TRANSACTIONS_MAX: usize = 1000;
const RECIPIENTS_MAX: usize = 1000;

/// One message on its way.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Transaction {
    /// The reverse-path; empty is the null one.
    pub sender: String,
    pub recipients: Vec<RecipientFate>,
    /// What `MAIL` was answered, unless that is a 250.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The reply to the content, if it came to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    pub fate: Fate,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RecipientFate {
    pub address: String,
    /// What `RCPT` was answered, unless that is a 250.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// The content got its 250.
    Accepted,
    /// A 5xx to `MAIL`, to every recipient or to the content.
    Refused,
    /// The same with a 4xx.
    Deferred,
    /// It came to no content, or to no answer.
    Unfinished,
}

/// All transactions of a session, and how many more there were.
pub(super) fn of(session: &Session) -> (Vec<Transaction>, usize) {
    let mut conversation = Conversation::new(session.direction);
    let mut found: Vec<Transaction> = Vec::new();
    // Where the next reply to a recipient belongs: pipelined commands are answered in their order.
    let mut next_recipient = 0;
    let mut left_out = 0;
    for line in session.views() {
        match conversation.turn(&line) {
            Turn::Command(Asked::Mail(sender)) => {
                if found.len() == TRANSACTIONS_MAX {
                    left_out += 1;
                    continue;
                }
                next_recipient = 0;
                let (recipients, refused, reply) = (Vec::new(), None, None);
                found.push(Transaction { sender, recipients, refused, reply, fate: Fate::Unfinished });
            }
            Turn::Command(Asked::Recipient(address)) if left_out == 0 => {
                if let Some(last) = found.last_mut().filter(|last| last.recipients.len() < RECIPIENTS_MAX) {
                    last.recipients.push(RecipientFate { address, refused: None });
                }
            }
            Turn::Reply(asked, reply) if left_out == 0 => {
                let Some(last) = found.last_mut() else { continue };
                let refused = (reply.code >= 400).then(|| format!("{} {}", reply.code, reply.text));
                match asked {
                    Asked::Mail(_) => last.refused = refused,
                    Asked::Recipient(_) => {
                        if let Some(recipient) = last.recipients.get_mut(next_recipient) {
                            recipient.refused = refused;
                        }
                        next_recipient += 1;
                    }
                    Asked::Content => last.reply = Some(format!("{} {}", reply.code, reply.text)),
                    Asked::Data
                    | Asked::Chunk
                    | Asked::Reset
                    | Asked::StartTls
                    | Asked::Hello(_)
                    | Asked::Authenticate
                    | Asked::Quit
                    | Asked::Other
                    | Asked::Nothing => {}
                }
            }
            Turn::Command(_) | Turn::Reply(..) | Turn::None => {}
        }
    }
    for transaction in &mut found {
        transaction.fate = transaction.fate();
    }
    (found, left_out)
}

impl Transaction {
    fn fate(&self) -> Fate {
        let of_code = |reply: &str| match reply.as_bytes().first() {
            Some(b'2') => Fate::Accepted,
            Some(b'4') => Fate::Deferred,
            Some(b'5') => Fate::Refused,
            _ => Fate::Unfinished,
        };
        if let Some(reply) = self.reply.as_ref().or(self.refused.as_ref()) {
            return of_code(reply);
        }
        let mut refused = self.recipients.iter().map(|recipient| recipient.refused.as_deref());
        let all_refused = !self.recipients.is_empty() && refused.clone().all(|reply| reply.is_some());
        if !all_refused {
            return Fate::Unfinished;
        }
        let temporary = refused.any(|reply| reply.is_some_and(|reply| reply.starts_with('4')));
        if temporary { Fate::Deferred } else { Fate::Refused }
    }
}
