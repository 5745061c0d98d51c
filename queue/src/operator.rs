//! What an operator asks and does: list, suspend, resume, retry, remove, each on what a filter means.

use std::sync::Arc;

use crate::engine::{Reader, Step};
use crate::live::{Lease, Live};
use crate::{Claim, Error, Filter, Message, MessageId, Queue, Recipient, Status, UnixMillis};

const LISTED_MAX: usize = 10_000;
/// Messages changed in one transaction, so that mail does not wait for an operator.
const CHANGED_AT_ONCE: usize = 1_000;

/// Recipients of one message.
type Target = (MessageId, Vec<u32>);

impl Queue {
    /// One message with all its recipients.
    pub async fn get(&self, id: MessageId) -> Result<Message, Error> {
        let filter = Filter { id: Some(id), ..Filter::default() };
        self.list(filter).await?.pop().ok_or(Error::NoSuchMessage(id))
    }

    /// Messages of which a recipient meets the filter, oldest first, with all their recipients.
    pub async fn list(&self, filter: Filter) -> Result<Vec<Message>, Error> {
        let limit = filter.limit.unwrap_or(LISTED_MAX);
        let live = self.shared.live.clone();
        let select = move |reader: &mut dyn Reader| {
            let mut found = Vec::new();
            select(reader, &live, &filter, limit, &mut |message| found.push(message))?;
            Ok(found)
        };
        self.shared.readers.read(select).await
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
        let mut claims = Vec::with_capacity(targets.len());
        for lease in self.lease(&targets) {
            claims.extend(self.claim_of(lease).await?);
        }
        Ok(claims)
    }

    /// Claimed, nobody begins to deliver what is about to be removed.
    fn lease(&self, targets: &[Target]) -> Vec<Lease> {
        let live = &self.shared.live;
        let claimed: Vec<_> = {
            let mut index = live.index();
            targets.iter().filter_map(|(id, numbers)| index.claim_these(*id, numbers)).collect()
        };
        claimed.into_iter().map(|claimed| Lease::new(live, claimed)).collect()
    }

    async fn change(
        &self,
        targets: Vec<Target>,
        step: impl Fn(MessageId, u32) -> Step,
    ) -> Result<usize, Error> {
        for part in targets.chunks(CHANGED_AT_ONCE) {
            let each = part.iter().flat_map(|(id, numbers)| numbers.iter().map(|number| (*id, *number)));
            self.write(each.map(|(id, number)| step(id, number)).collect()).await?;
        }
        Ok(targets.len())
    }

    async fn targets(&self, filter: Filter, wanted: fn(Status) -> bool) -> Result<Vec<Target>, Error> {
        let limit = filter.limit.unwrap_or(usize::MAX);
        let live = self.shared.live.clone();
        let select = move |reader: &mut dyn Reader| {
            let mut targets = Vec::new();
            select(reader, &live, &filter, limit, &mut |message| {
                let meant = message.recipients.iter().filter(|one| meets(&filter, one) && wanted(one.status));
                let numbers: Vec<u32> = meant.map(|recipient| recipient.index).collect();
                if !numbers.is_empty() {
                    targets.push((message.id, numbers));
                }
            })?;
            Ok(targets)
        };
        self.shared.readers.read(select).await
    }
}

/// Hands over the messages a filter means, with what is claimed marked so.
fn select(
    reader: &mut dyn Reader,
    live: &Arc<Live>,
    filter: &Filter,
    limit: usize,
    found: &mut dyn FnMut(Message),
) -> Result<(), Error> {
    let mut left = limit;
    let mut take = |mut message: Message| {
        mark_claimed(live, &mut message);
        if left > 0 && concerns(filter, &message) {
            left -= 1;
            found(message);
        }
        left > 0
    };
    if filter.status != Some(Status::Active) {
        return reader.select(filter, &mut take);
    }
    // Few are claimed at a time: ask for them one by one.
    let claimed = live.index().claimed();
    for id in claimed {
        if let Some(message) = reader.message(id)?
            && !take(message)
        {
            break;
        }
    }
    Ok(())
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
    let Filter { id, sender, received_before, .. } = filter;
    id.is_none_or(|id| id == message.id)
        && sender.as_ref().is_none_or(|sender| sender.eq_ignore_ascii_case(&message.sender))
        && received_before.is_none_or(|before| message.received < before)
        && message.recipients.iter().any(|recipient| meets(filter, recipient))
}

fn meets(filter: &Filter, recipient: &Recipient) -> bool {
    let Filter { domain, recipient: address, status, .. } = filter;
    let in_domain = |domain: &String| {
        let of_address = recipient.address.rsplit_once('@').map_or("", |(_, domain)| domain);
        of_address.eq_ignore_ascii_case(domain) || recipient.destination.next_hop.eq_ignore_ascii_case(domain)
    };
    domain.as_ref().is_none_or(in_domain)
        && address.as_ref().is_none_or(|address| address.eq_ignore_ascii_case(&recipient.address))
        && status.is_none_or(|status| status == recipient.status)
}
