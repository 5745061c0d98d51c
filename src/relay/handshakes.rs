//! TLS handshakes in progress. Before it is known who somebody is, a handshake costs memory for a
//! chain of up to 64 KB and the work of a signature; so there are only so many at one time, known
//! partners have places of their own, and when places run short nobody may sit on one for long.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::policy::limits::{HANDSHAKES_MAX, HANDSHAKES_OF_PARTNERS_MAX};

/// A handshake that takes longer is broken off.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same while more than half of the places are taken.
const PATIENCE_WHEN_BUSY: Duration = Duration::from_secs(5);
/// How long a client waits for a place.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);

pub struct Handshakes {
    strangers: Semaphore,
    partners: Semaphore,
    queue_timeout: Duration,
}

/// A place, and how long it may be held.
pub struct Turn<'a> {
    pub patience: Duration,
    _place: SemaphorePermit<'a>,
}

impl Default for Handshakes {
    fn default() -> Self {
        Self {
            strangers: Semaphore::new(HANDSHAKES_MAX),
            partners: Semaphore::new(HANDSHAKES_OF_PARTNERS_MAX),
            queue_timeout: QUEUE_TIMEOUT,
        }
    }
}

impl Handshakes {
    /// `None` when there was no place for the client in time.
    pub async fn turn(&self, is_known: bool) -> Option<Turn<'_>> {
        let (places, all) = match is_known {
            true => (&self.partners, HANDSHAKES_OF_PARTNERS_MAX),
            false => (&self.strangers, HANDSHAKES_MAX),
        };
        let place = timeout(self.queue_timeout, places.acquire()).await.ok()?.ok()?;
        let is_busy = places.available_permits() < all / 2;
        let patience = if is_busy { PATIENCE_WHEN_BUSY } else { PATIENCE };
        Some(Turn { patience, _place: place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flood_of_handshakes_waits_its_turn_and_takes_no_place_of_a_partner() {
        let handshakes = Handshakes { queue_timeout: Duration::from_millis(20), ..Handshakes::default() };
        let first = handshakes.turn(false).await.unwrap();
        assert_eq!(first.patience, PATIENCE);
        let mut flood = vec![first];
        while flood.len() < HANDSHAKES_MAX {
            flood.push(handshakes.turn(false).await.unwrap());
        }
        assert_eq!(flood.last().unwrap().patience, PATIENCE_WHEN_BUSY);
        assert!(handshakes.turn(false).await.is_none(), "one too many");
        assert_eq!(handshakes.turn(true).await.unwrap().patience, PATIENCE);
        flood.pop();
        assert!(handshakes.turn(false).await.is_some());
    }
}
