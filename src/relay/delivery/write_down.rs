//! Writing an outcome down while the next message is being sent, and telling of it.

use std::sync::Arc;

use sealpost_queue::Claim;

use super::super::settle::Settled;
use super::Delivery;

impl Delivery {
    /// Hands an outcome to the queue; the claim is held until it is durable. At most one waits, so
    /// that a crash leaves at most two messages of a worker delivered and not known to be.
    pub(super) async fn write_down(&mut self, claim: Claim, settled: Settled) {
        self.written_down().await;
        let shared = Arc::clone(&self.shared);
        self.writing = Some(self.shared.tasks.spawn(async move {
            let untold = settled.store(&shared).await;
            drop(claim);
            match untold {
                // The next outcome does not wait for a session.
                Some(untold) if untold.is_early(&shared) => {
                    let tasks = shared.tasks.clone();
                    tasks.spawn(async move { untold.tell(&shared).await });
                }
                Some(untold) => untold.tell(&shared).await,
                None => {}
            }
        }));
    }

    pub(super) async fn written_down(&mut self) {
        if let Some(writing) = self.writing.take() {
            // Fails only by a panic, which has given the claim back.
            let _ = writing.await;
        }
    }
}
