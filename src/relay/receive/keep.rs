//! Where the 250 behind the final dot comes from: the message is durable or, with `[queue]
//! cut_through`, next hops have taken it for every recipient (docs/decisions/cut-through.md).

use std::sync::Arc;
use std::time::Duration;

use sealpost_queue::{Draft, Error, NewMessage, Offer, OfferedOr, Safe};
use tokio::time::timeout;

use crate::policy::{Settings, cut_through};
use crate::session::receive::Kept;

use super::super::shared::Shared;
use super::Driver;

impl Driver {
    /// Begins a draft. One that may be offered needs no room on the disk.
    pub(super) fn begin_draft(&self) -> Result<Draft, Error> {
        match self.shared.settings.load().queue.cut_through {
            true => self.shared.queue.begin_to_offer(),
            false => self.shared.queue.begin(),
        }
    }

    /// Keeps a message of which no recipient is held.
    pub(super) async fn see_kept(
        &mut self,
        draft: Draft,
        message: NewMessage,
        settings: &Settings,
    ) -> Result<Kept, Error> {
        let shared = Arc::clone(&self.shared);
        let delivers = !shared.draining.is_cancelled() && !shared.protocol_log.must_stop_mail();
        let offering = match settings.queue.cut_through && delivers {
            true => shared.delivery_queues.offering(&message, !draft.has_room()),
            false => None,
        };
        let Some(offering) = offering else {
            return shared.queue.commit(draft, message).await.map(|_| Kept::Durable);
        };
        let patience = cut_through::patience(draft.len());
        let mut offer = match shared.queue.offer(draft, message).await? {
            OfferedOr::Offered(offer) => offer,
            OfferedOr::Durable(_) => return Ok(Kept::Durable),
        };
        let safe = see_through(&shared, &mut offer, patience).await;
        shared.delivery_queues.note_offering(&offering, matches!(safe, Ok(Safe::Taken)));
        let kept = match safe? {
            Safe::Durable => Kept::Durable,
            Safe::Taken => Kept::Relayed,
        };
        self.offer = Some(offer);
        Ok(kept)
    }
}

/// Until next hops have the message, or it is durable. Where it cannot be made so, the delivery that
/// is under way may still take it.
async fn see_through(shared: &Shared, offer: &mut Offer, patience: Duration) -> Result<Safe, Error> {
    let delivered = tokio::select! {
        outcome = offer.outcome() => Some(outcome),
        () = tokio::time::sleep(patience) => None,
        () = shared.draining.cancelled() => None,
    };
    if let Some(outcome) = delivered {
        return outcome;
    }
    let error = match offer.commit().await {
        Ok(safe) => return Ok(safe),
        Err(error) => error,
    };
    if matches!(error, Error::Closed) {
        return Err(error);
    }
    if let Ok(outcome) = timeout(cut_through::LATE_START, offer.outcome()).await {
        return outcome;
    }
    match timeout(cut_through::LAST_HOPE, offer.outcome_in_hand()).await {
        Ok(Some(outcome)) => outcome,
        Ok(None) | Err(_) => Err(error),
    }
}
