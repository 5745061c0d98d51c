//! What an operator asks and does: list, suspend, resume, retry, remove, each on what a filter means,
//! or, for a queue of any size, page by page on the recipients that the caller has chosen.

use tokio::sync::oneshot;

use crate::engine::{Reader, Step};
use crate::index::survey::Survey;
use crate::live::{Lease, Live};
use crate::view::View;
use crate::writer::Order;
use crate::{
    Claim, DestinationSummary, Draft, Error, Filter, Message, MessageId, NewMessage, Page, Queue, Recipient,
    Status, Target, UnixMillis,
};

const LISTED_MAX: usize = 10_000;
/// Most messages of one page, and the octets at which it ends whatever their number.
const PAGE_MESSAGES_MAX: usize = 500;
const PAGE_BYTES_MAX: usize = 4 << 20;
/// Messages changed in one transaction, so that mail does not wait for an operator.
const CHANGED_AT_ONCE: usize = 1_000;

impl Queue {
    /// Returns once the writer has come to it: it lives, and is done with what it was writing when this
    /// was asked. That writing failed for good does not matter here. For watchdogs; give it a limit.
    ///
    /// # Errors
    /// `Error::Closed` where the writer has ended.
    pub async fn writer_answers(&self) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        self.shared.orders.send(Order::Answer(answer)).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)
    }

    /// One message with all its recipients.
    pub async fn get(&self, id: MessageId) -> Result<Message, Error> {
        let filter = Filter { id: Some(id), ..Filter::default() };
        self.list(filter).await?.pop().ok_or(Error::NoSuchMessage(id))
    }

    /// Messages of which a recipient meets the filter, oldest first, with all their recipients.
    pub async fn list(&self, filter: Filter) -> Result<Vec<Message>, Error> {
        let limit = filter.limit.unwrap_or(LISTED_MAX);
        let view = self.shared.view.clone();
        let select = move |reader: &mut dyn Reader| {
            let mut found = Vec::new();
            select(reader, &view, &filter, limit, &mut |message| {
                found.push(message);
                true
            })?;
            Ok(found)
        };
        self.shared.readers.read(select).await
    }

    /// The next messages that the filter means, oldest first, behind `Filter::after`: at most
    /// `Filter::limit` or 500, and fewer where they are large.
    pub async fn page(&self, filter: Filter) -> Result<Page, Error> {
        let limit = filter.limit.unwrap_or(PAGE_MESSAGES_MAX).clamp(1, PAGE_MESSAGES_MAX);
        let view = self.shared.view.clone();
        let select = move |reader: &mut dyn Reader| {
            let mut messages: Vec<Message> = Vec::new();
            let mut bytes_left = PAGE_BYTES_MAX;
            select(reader, &view, &filter, limit, &mut |message| {
                bytes_left = bytes_left.saturating_sub(weight(&message));
                messages.push(message);
                bytes_left > 0
            })?;
            let full = messages.len() >= limit || bytes_left == 0;
            let next = messages.last().map(|message| message.id).filter(|_| full);
            Ok(Page { messages, next })
        };
        self.shared.readers.read(select).await
    }

    /// Every delivery queue, the one with the oldest message first, and how many recipients are in
    /// further ones when there are more than 10,000. Reads memory only, and lets mail through between
    /// two pieces, so that what moves meanwhile may be seen twice or not at all.
    pub async fn destinations(&self) -> (Vec<DestinationSummary>, usize) {
        let mut survey = Survey::default();
        let mut after = None;
        loop {
            after = self.shared.live.index().survey(after, &mut survey);
            if after.is_none() {
                return survey.finish();
            }
            tokio::task::yield_now().await;
        }
    }

    /// As `commit`, with these recipients (by their place in the message) held from the start.
    pub async fn commit_held(
        &self,
        draft: Draft,
        message: NewMessage,
        held: &[u32],
    ) -> Result<MessageId, Error> {
        let id = draft.id();
        let mut steps = vec![self.complete(draft, message).await?];
        steps.extend(held.iter().map(|number| Step::Hold { id, recipient: *number, held: true }));
        self.write(steps).await?;
        Ok(id)
    }

    /// Holds these recipients or lets them go, in one change; those that are gone are passed over.
    pub async fn hold_these(&self, targets: &[Target], held: bool) -> Result<(), Error> {
        self.change_these(targets, |id, recipient| Step::Hold { id, recipient, held }).await
    }

    /// Makes these recipients due, in one change; those held stay held.
    pub async fn make_due(&self, targets: &[Target], due: UnixMillis) -> Result<(), Error> {
        self.change_these(targets, |id, recipient| Step::Due { id, recipient, due }).await
    }

    /// Claims these recipients, held ones too. One that is being delivered at this moment is left
    /// alone.
    pub async fn claim_these(&self, targets: &[Target]) -> Result<Vec<Claim>, Error> {
        let mut claims = Vec::with_capacity(targets.len());
        for lease in self.lease(targets) {
            claims.extend(self.claim_of(lease).await?);
        }
        Ok(claims)
    }

    /// Holds matching recipients; those being delivered are held if the attempt fails. Returns the
    /// number of messages, as do the three below.
    pub async fn suspend(&self, filter: Filter) -> Result<usize, Error> {
        let targets = self.targets(filter, |status| status != Status::Suspended).await?;
        self.change(targets, |id, recipient| Step::Hold { id, recipient, held: true }).await
    }

    /// Lets held recipients go on at the time of their next attempt.
    pub async fn resume(&self, filter: Filter) -> Result<usize, Error> {
        let targets = self.targets(filter, |status| status == Status::Suspended).await?;
        self.change(targets, |id, recipient| Step::Hold { id, recipient, held: false }).await
    }

    /// Makes matching recipients due at `now`; those held stay held.
    pub async fn retry(&self, filter: Filter, now: UnixMillis) -> Result<usize, Error> {
        let waiting = |status| matches!(status, Status::Ready | Status::Retry);
        let targets = self.targets(filter, waiting).await?;
        self.change(targets, |id, recipient| Step::Due { id, recipient, due: now }).await
    }

    /// Drops matching recipients, without a delivery status notification: that is the caller's. A
    /// recipient that is being delivered at this moment is left alone.
    pub async fn remove(&self, filter: Filter) -> Result<usize, Error> {
        let targets = self.targets(filter, |status| status != Status::Active).await?;
        let mut removed = 0;
        for part in targets.chunks(CHANGED_AT_ONCE) {
            let leases = self.lease(part);
            let steps = leases.iter().flat_map(|lease| {
                lease
                    .recipients()
                    .iter()
                    .map(|recipient| Step::Remove { id: lease.id(), recipient: *recipient })
            });
            self.write(steps.collect()).await?;
            removed += leases.len();
        }
        Ok(removed)
    }

    /// Claims matching recipients, held ones too, of at most `Filter::limit` messages, for a caller who
    /// gives them up in words. A recipient that is being delivered at this moment is left alone.
    pub async fn claim_matching(&self, filter: Filter) -> Result<Vec<Claim>, Error> {
        let targets = self.targets(filter, |status| status != Status::Active).await?;
        self.claim_these(&targets).await
    }

    /// Claimed, nobody begins to deliver what is about to be removed.
    fn lease(&self, targets: &[Target]) -> Vec<Lease> {
        let live = &self.shared.live;
        let claimed: Vec<_> = {
            let mut index = live.index();
            targets.iter().filter_map(|target| index.claim_these(target.id, &target.recipients)).collect()
        };
        claimed.into_iter().map(|claimed| Lease::new(live, claimed)).collect()
    }

    async fn change(
        &self,
        targets: Vec<Target>,
        step: impl Fn(MessageId, u32) -> Step,
    ) -> Result<usize, Error> {
        for part in targets.chunks(CHANGED_AT_ONCE) {
            self.change_these(part, &step).await?;
        }
        Ok(targets.len())
    }

    async fn change_these(
        &self,
        targets: &[Target],
        step: impl Fn(MessageId, u32) -> Step,
    ) -> Result<(), Error> {
        let each =
            targets.iter().flat_map(|target| target.recipients.iter().map(|number| (target.id, *number)));
        let steps: Vec<Step> = each.map(|(id, number)| step(id, number)).collect();
        if steps.is_empty() { Ok(()) } else { self.write(steps).await }
    }

    async fn targets(&self, filter: Filter, wanted: fn(Status) -> bool) -> Result<Vec<Target>, Error> {
        let limit = filter.limit.unwrap_or(usize::MAX);
        let view = self.shared.view.clone();
        let select = move |reader: &mut dyn Reader| {
            let mut targets = Vec::new();
            select(reader, &view, &filter, limit, &mut |message| {
                let meant = message.recipients.iter().filter(|one| filter.meets(one) && wanted(one.status));
                let recipients: Vec<u32> = meant.map(|recipient| recipient.index).collect();
                if !recipients.is_empty() {
                    targets.push(Target { id: message.id, recipients });
                }
                true
            })?;
            Ok(targets)
        };
        self.shared.readers.read(select).await
    }
}

/// Hands over the messages a filter means, with what is claimed marked so, until `found` wants no more.
fn select(
    reader: &mut dyn Reader,
    view: &View,
    filter: &Filter,
    limit: usize,
    found: &mut dyn FnMut(Message) -> bool,
) -> Result<(), Error> {
    let mut left = limit;
    view.select(reader, filter, &mut |mut message: Message| {
        mark_claimed(&view.live, &mut message);
        if left > 0 && concerns(filter, &message) {
            left = if found(message) { left - 1 } else { 0 };
        }
        left > 0
    })
}

fn mark_claimed(live: &Live, message: &mut Message) {
    let index = live.index();
    for recipient in &mut message.recipients {
        if index.is_claimed(message.id, recipient.index) {
            recipient.status = Status::Active;
        }
    }
}

/// The whole filter, on what a message is now.
fn concerns(filter: &Filter, message: &Message) -> bool {
    let Filter { id, after, sender, received_before, .. } = filter;
    id.is_none_or(|id| id == message.id)
        && after.is_none_or(|after| message.id > after)
        && sender.as_ref().is_none_or(|sender| sender.eq_ignore_ascii_case(&message.sender))
        && received_before.is_none_or(|before| message.received < before)
        && message.recipients.iter().any(|recipient| filter.meets(recipient))
}

/// Octets that a message takes in a page, about.
fn weight(message: &Message) -> usize {
    let of_recipients = message.recipients.iter().map(|recipient| {
        let Recipient { address, destination, note, .. } = recipient;
        256 + address.len() + destination.next_hop.len() + note.len()
    });
    256 + message.meta.len() + of_recipients.sum::<usize>()
}

impl Filter {
    /// Whether a recipient, as it stands, is one of those meant; what the filter says of its message
    /// is not looked at.
    pub fn meets(&self, recipient: &Recipient) -> bool {
        let Self { domain, recipient: address, status, .. } = self;
        let in_domain = |domain: &String| {
            let of_address = recipient.address.rsplit_once('@').map_or("", |(_, domain)| domain);
            of_address.eq_ignore_ascii_case(domain)
                || recipient.destination.next_hop.eq_ignore_ascii_case(domain)
        };
        domain.as_ref().is_none_or(in_domain)
            && address.as_ref().is_none_or(|address| address.eq_ignore_ascii_case(&recipient.address))
            && status.is_none_or(|status| status == recipient.status)
    }
}
