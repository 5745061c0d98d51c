//! One message over the open connection, in as many transactions as the peer wants it (RFC 9422,
//! RFC 5321 4.5.3.1.10), and what their outcomes tell.

use sealpost_queue::Claim;

use crate::mail::dsn::Requests;
use crate::observe::Event;
use crate::policy::concurrency::{Feedback, says_enough};
use crate::policy::{SendConnector, Settings};
use crate::session::send::{Outcome, Transaction};
use crate::smtp::{EnhancedCode, Reply};

use super::super::content::{HeadRules, Outgoing};
use super::super::record::{AttemptNote, MessageMeta};
use super::super::send::Guard;
use super::super::settle::Settlement;
use super::super::{exchange_fields, route};
use super::{Delivery, Pending, with_note};

impl Delivery {
    /// As many transactions on the open connection as the recipients need and it takes; gives back the
    /// recipients that were tried and are still unsettled. Those that it did not come to are due as they
    /// were, and the next to be claimed: over another connection, or this one.
    pub(super) async fn transact(
        &mut self,
        settings: &Settings,
        connector: &SendConnector,
        claim: &Claim,
        meta: &MessageMeta,
        pending: Vec<Pending>,
        settlement: &mut Settlement<'_>,
    ) -> Vec<Pending> {
        let (mut rest, mut left, mut delivered) = (pending, Vec::new(), Vec::new());
        while let Some(batch) = self.next_batch(&mut rest).await {
            let met = self.transaction(settings, connector, claim, meta, batch, settlement).await;
            rest.extend(met.again);
            left.extend(met.left);
            delivered.extend(met.delivered);
        }
        if let Some(connection) = self.connection.as_mut() {
            let secured = connection.secured.take();
            let opening = connection.opening();
            settlement.sent_over(opening, &delivered);
            settlement.delivered(delivered, &opening.host, opening.id, secured);
        }
        left
    }

    /// Takes out of `rest` who may be named next; none when there is nobody, or no way to.
    async fn next_batch(&mut self, rest: &mut Vec<Pending>) -> Option<Vec<Pending>> {
        let connection = self.connection.as_mut()?;
        if rest.is_empty() || !connection.is_ready().await {
            return None;
        }
        let admitted = connection.admits(rest.iter().map(|pending| &pending.address));
        let (batch, later): (Vec<_>, Vec<_>) =
            std::mem::take(rest).into_iter().zip(admitted).partition(|(_, admitted)| *admitted);
        *rest = later.into_iter().map(|(pending, _)| pending).collect();
        let batch: Vec<Pending> = batch.into_iter().map(|(pending, _)| pending).collect();
        (!batch.is_empty()).then_some(batch)
    }

    async fn transaction(
        &mut self,
        settings: &Settings,
        connector: &SendConnector,
        claim: &Claim,
        meta: &MessageMeta,
        pending: Vec<Pending>,
        settlement: &mut Settlement<'_>,
    ) -> Met {
        let content = match self.outgoing(settings, connector, claim, meta, &pending).await {
            Ok(content) => content,
            Err(note) => return Met { left: with_note(pending, &note), ..Met::default() },
        };
        let transaction = transaction_of(claim, meta, &pending, content.octets());
        let guard = Guard::new(&self.shared, claim.message.id, self.epochs);
        let Some(connection) = self.connection.as_mut() else {
            return Met { left: pending, ..Met::default() };
        };
        let outcomes = connection.deliver(transaction, content, guard).await;
        let feedback = feedback_of(&outcomes);
        let host = connection.opening().host.clone();
        let all_taken = outcomes.iter().all(|outcome| matches!(outcome, Outcome::Delivered { .. }));
        let tail = if all_taken { Vec::new() } else { connection.transcript_tail() };
        let some_taken = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Delivered { .. }));
        let (mut met, mut doubtful) = (Met::default(), Vec::new());
        for (pending, outcome) in pending.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Delivered { reply, takes_dsn } => {
                    if !takes_dsn && meta.dsn.of(pending.recipient.index).wants_success() {
                        settlement.relayed(&pending, &reply, &host);
                    }
                    met.delivered.push(pending);
                }
                Outcome::Refused { reply, command: "RCPT", from_peer: true, .. }
                    if some_taken && is_too_many_recipients(&reply) =>
                {
                    met.again.push(pending);
                }
                Outcome::Refused { reply, command, from_peer, verdict } => {
                    let note = refusal(&reply, command, from_peer, &host).of_verdict(verdict.as_deref());
                    let note = note.with_transcript(&tail).in_session(connection.opening().id);
                    // A partner that does not take us may be mended as we may be: the message waits, as it
                    // does where we do not take the partner. At RCPT it may be the mailbox after all.
                    if verdict.is_some() && command == "MAIL" {
                        met.left.push(pending.met(AttemptNote { permanent: false, ..note }));
                    } else if reply.is_permanent() && from_peer {
                        settlement.bounce(&pending, note);
                    } else {
                        met.left.push(pending.met(note));
                    }
                }
                // No answer: nobody asked for verification.
                Outcome::Taken { reply } => met.left.push(pending.met(refusal(&reply, "RCPT", false, &host))),
                Outcome::Broken { error, in_doubt } => {
                    let note = AttemptNote::broken(&host, &error).with_transcript(&tail);
                    let broken = pending.met(note.in_session(connection.opening().id));
                    // It may have been taken: whoever is asked next makes a second copy of it. So
                    // nobody is, before the retry.
                    if in_doubt { doubtful.push(broken) } else { met.left.push(broken) }
                }
            }
        }
        if let Some(feedback) = feedback {
            self.tell(settings, feedback, self.connected_at);
        }
        settlement.leave(doubtful, &self.worker.destination, meta.tls_required);
        met
    }

    /// The content as this connector sends it.
    async fn outgoing(
        &self,
        settings: &Settings,
        connector: &SendConnector,
        claim: &Claim,
        meta: &MessageMeta,
        pending: &[Pending],
    ) -> Result<Outgoing, AttemptNote> {
        let unreadable = |error: String| {
            let reply = Reply::new(451, (4, 3, 0), "the stored content cannot be read");
            AttemptNote::ours(&reply, format!("the content of this message cannot be read: {error}"))
        };
        let content =
            self.shared.queue.content(claim.message.id).await.map_err(|e| unreadable(e.to_string()))?;
        let domain = pending.first().and_then(|pending| pending.address.domain());
        let inside = domain.is_some_and(|domain| {
            settings.accepted_domain(domain).is_some() && !route::is_send_secure(settings, domain)
        });
        let send_organization_headers = connector.send_organization_headers.unwrap_or(inside);
        let exchange_fields = exchange_fields::render(settings, connector, meta);
        let signer = self.shared.stamp_signer.load_full();
        let rules = HeadRules {
            send_organization_headers,
            exchange_fields: &exchange_fields,
            ours: settings.ours(),
            signer: signer.as_deref(),
        };
        let outgoing = Outgoing::prepare(content, &rules).map_err(|error| unreadable(error.to_string()))?;
        if let Some(reason) = outgoing.unsigned() {
            let (queue_id, reason) = (claim.message.id.to_string(), reason.to_string());
            self.shared.observer.event(Event::StampUnsigned { queue_id, reason });
        }
        Ok(outgoing)
    }
}

/// What one transaction came to, where that is not written down yet.
#[derive(Default)]
struct Met {
    delivered: Vec<Pending>,
    left: Vec<Pending>,
    /// The peer wants them in another transaction.
    again: Vec<Pending>,
}

/// 452 to RCPT, which is said of the number and not of the recipient (RFC 5321 4.5.3.1.10).
fn is_too_many_recipients(reply: &Reply) -> bool {
    let of_the_number = |code: EnhancedCode| (code.subject, code.detail) == (5, 3);
    reply.code == 452 && reply.enhanced.is_none_or(of_the_number)
}

/// What the outcomes of one message tell of the peer's capacity, if anything.
fn feedback_of(outcomes: &[Outcome]) -> Option<Feedback> {
    let enough = |outcome: &Outcome| match outcome {
        Outcome::Refused { reply, from_peer: true, .. } => says_enough(reply.code, &reply.lines.join(" ")),
        Outcome::Broken { .. } => true,
        Outcome::Refused { .. } | Outcome::Delivered { .. } | Outcome::Taken { .. } => false,
    };
    let taken = |outcome: &Outcome| matches!(outcome, Outcome::Delivered { .. });
    match outcomes {
        _ if outcomes.iter().any(enough) => Some(Feedback::Enough),
        _ if outcomes.iter().any(taken) => Some(Feedback::Taken),
        _ => None,
    }
}

/// Of content with `octets` as it goes out.
fn transaction_of(claim: &Claim, meta: &MessageMeta, pending: &[Pending], octets: u64) -> Transaction {
    Transaction {
        message: Some(claim.message.id.to_string()),
        reverse_path: meta.reverse_path.clone(),
        recipients: pending.iter().map(|pending| pending.address.clone()).collect(),
        body: meta.body,
        smtputf8: meta.smtputf8,
        eight_bit: meta.eight_bit,
        binary: meta.binary,
        size: claim.message.size,
        octets,
        dsn: asked_of(meta, pending),
        tls_required: meta.tls_required,
    }
}

/// What the sender asked to hear, the recipients by their place in the transaction.
fn asked_of(meta: &MessageMeta, pending: &[Pending]) -> Requests {
    let mut asked = Requests::from(meta.dsn.message.clone());
    for (place, pending) in (0..).zip(pending) {
        asked.set(place, meta.dsn.of(pending.recipient.index));
    }
    asked
}

fn refusal(reply: &Reply, command: &str, from_peer: bool, host: &str) -> AttemptNote {
    if from_peer {
        AttemptNote::from_reply(reply, command, host)
    } else {
        AttemptNote { host: Some(host.to_owned()), ..AttemptNote::ours(reply, reply.lines.join(" ")) }
    }
}
