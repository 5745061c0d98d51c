//! Whom a session wants asked about its recipients and content: next hops and milters.

use std::sync::Arc;

use crate::mail::Address;
use crate::observe::Observer;
use crate::policy::limits;
use crate::policy::milter::Ruling;
use crate::session::receive::{BodyFacts, Filtered, Input, MilterQuestion, MilterWord};
use crate::smtp::ContentRules;

use super::super::milters::{Client, Means, Shown};
use super::super::verification;
use super::Driver;

impl Driver {
    pub(super) async fn ask_milters(&mut self, question: MilterQuestion) {
        if !self.flush().await {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let observer: &Observer = &shared.observer;
        match question {
            MilterQuestion::Sender { milters, helo, reverse_path, parameters, proved, logged_in } => {
                let settings = shared.settings.load_full();
                let evidence = self.session.evidence().map(AsRef::as_ref);
                let mut client = Client::new(&settings, &self.opening, evidence, &helo, proved);
                client.set_login(logged_in);
                let octets = self.opening.connector.max_message_size;
                let change_bytes_max = usize::try_from(octets).unwrap_or(usize::MAX);
                let means = Means { gates: &shared.milters, observer, change_bytes_max };
                let said = self.milters.sender(&means, &milters, client, &reverse_path, &parameters).await;
                self.input(Input::MiltersAsked(said));
            }
            MilterQuestion::Recipient { recipient, parameters } => {
                let said = self.milters.recipient(&recipient, &parameters, observer).await;
                self.input(Input::MiltersAsked(said));
            }
            MilterQuestion::Content { milter, head, queue_id } => {
                let filtered = self.filter(milter, &head, &queue_id, observer).await;
                let filtered = filtered.map(Box::new).map_err(|error| self.held_fault(&error));
                self.input(Input::MilterAnswered(filtered));
            }
        }
    }

    pub(super) async fn verify_recipient(&mut self, address: &Address) {
        if self.flush().await {
            let verified = verification::verify(&self.shared, address).await;
            self.input(Input::RecipientVerified(verified));
        }
    }

    async fn filter(
        &mut self,
        milter: usize,
        head: &[u8],
        queue_id: &str,
        observer: &Observer,
    ) -> std::io::Result<Filtered> {
        let (held, body_from) = self.pending.held(&self.shared.inspector);
        let shown = Shown { head, held, body_from };
        let Some(seen) = self.milters.content(milter, queue_id, shown, observer).await? else {
            let word =
                MilterWord { milter: String::new(), ruling: Ruling::GoOn, failure: None, is_repeated: false };
            return Ok(Filtered {
                word,
                quarantine: None,
                changes: Vec::new(),
                keeps_blank: false,
                body: None,
            });
        };
        let facts = seen.body.as_ref().map(|body| facts_of(body));
        if let (Some(body), true) = (&seen.body, self.milters.rule()) {
            self.pending.replace_body(&self.shared.inspector, body)?;
        }
        Ok(Filtered {
            word: seen.word,
            quarantine: seen.quarantine,
            changes: seen.changes,
            keeps_blank: seen.keeps_blank,
            body: facts,
        })
    }
}

fn facts_of(body: &[u8]) -> BodyFacts {
    let mut rules = ContentRules::new(limits::CONTENT_LINE_BYTES_MAX);
    rules.check(body);
    BodyFacts { octets: body.len() as u64, eight_bit: !body.is_ascii(), text: rules.finish().is_none() }
}
