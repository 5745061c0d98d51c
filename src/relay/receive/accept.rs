//! A message that has come in whole: into the queue, held where a rule says so, and told.

use std::sync::Arc;

use sealpost_queue::{Draft, NewMessage};

use crate::observe::Event;
use crate::observe::tracking::{MessageFacts, Tracked};
use crate::session::receive::{Input, Kept, StoreFault, Submission};

use super::super::receive_events::Accepted;
use super::super::record::MessageMeta;
use super::super::shared::Shared;
use super::super::{new_message, tracked};
use super::Driver;

impl Driver {
    pub(super) async fn commit(&mut self, submission: Submission) {
        // A peer that is gone before its message is ours keeps it, and sends it again.
        if !self.flush().await {
            return;
        }
        self.append_gathered();
        let Some(draft) = self.draft.take() else {
            self.input(Input::Stored(Err(StoreFault::Other)));
            return;
        };
        let recipients = submission.envelope.recipients.len();
        let sender = submission.envelope.reverse_path.to_string();
        match self.store(draft, &submission).await {
            Ok(kept) => {
                let after = self.draft_since.elapsed();
                self.message = Some(Accepted { sender, recipients, size: submission.size, kept, after });
                self.input(Input::Stored(Ok(kept)));
            }
            Err(error) => {
                let fault = self.store_fault(&error);
                self.input(Input::Stored(Err(fault)));
            }
        }
    }

    /// What a hold rule names is held from the start.
    async fn store(&mut self, draft: Draft, submission: &Submission) -> Result<Kept, sealpost_queue::Error> {
        let shared = Arc::clone(&self.shared);
        let (holds, queue) = (&shared.holds, &shared.queue);
        let _storing = holds.storing().await;
        let (settings, now) = (shared.settings.load(), Shared::now().wall);
        let (mut message, mut meta) = new_message::of(submission, &self.opening, &settings, now);
        let mut held = holds.held(&message, now);
        let by_rule = (!held.is_empty()).then(|| "a rule of queue hold".to_owned());
        self.track(submission, &message, &meta, submission.held_by.clone().or(by_rule));
        if submission.held_by.is_some() {
            // No end of a rule frees it, only an operator who has looked at it.
            held = (0..).take(message.recipients.len()).collect();
        } else if held.is_empty() {
            return self.see_kept(draft, message, &settings).await;
        } else {
            meta.held = true;
            message.meta = meta.to_bytes();
        }
        queue.commit_held(draft, message, &held).await.map(|_| Kept::Durable)
    }

    /// For the event that tells of the message once its 250 is on its way.
    fn track(
        &mut self,
        submission: &Submission,
        message: &NewMessage,
        meta: &MessageMeta,
        held_by: Option<String>,
    ) {
        self.held_by = held_by;
        self.tracked = Tracked::default();
        if self.shared.observer.tracks() {
            let facts = tracked::facts_of_new(message, Some(meta));
            self.tracked = Tracked {
                message: MessageFacts { size: submission.size, session: String::new(), ..facts },
                recipients: message.recipients.iter().map(|recipient| recipient.address.clone()).collect(),
                local: Some(self.opening.local),
                remote: Some(self.opening.remote),
                remote_name: submission.helo.as_str().to_owned(),
                ..Tracked::default()
            };
        }
    }

    /// An event of this session; that of a message with all that message tracking tells of it.
    pub(super) fn tell(&mut self, event: Event) {
        let Event::MessageReceived { queue_id, .. } = &event else {
            return self.shared.observer.event(event);
        };
        let queue_id = queue_id.clone();
        let tracked = std::mem::take(&mut self.tracked);
        self.shared.observer.event_of(event, &tracked);
        self.offer = None;
        if let Some(by) = self.held_by.take() {
            self.shared.observer.event_of(Event::MessageSuspended { queue_id, by }, &tracked);
        }
    }
}
