//! What the service manager is told while mail flows: that we live, which is more than that the process
//! is there, and in a line what we are at.

use std::sync::Arc;
use std::time::Duration;

use sealpost_queue::Queue;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::observe::Event;

use super::shared::Shared;

/// How often the status line is renewed where no watchdog sets the pace.
const STATUS_INTERVAL: Duration = Duration::from_secs(30);

/// Tells the service manager, until the server drains. A watchdog hears of us only when the runtime gets
/// round to this task *and* the queue's writer has answered: when either is stuck it hears nothing, and
/// restarts us. It is told three times within its limit, so that one slow write is none.
pub async fn run(shared: Arc<Shared>) {
    if !shared.manager.listens() {
        return;
    }
    let pace = shared.manager.watchdog().map_or(STATUS_INTERVAL, |limit| limit / 3);
    let mut ticks = interval(pace.clamp(Duration::from_millis(10), STATUS_INTERVAL));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stuck = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shared.draining.cancelled() => return,
        }
        let alive = is_writing(&shared.queue, pace).await;
        if shared.draining.is_cancelled() {
            return;
        }
        if alive {
            shared.manager.alive();
            shared.manager.status(&status(&shared));
        } else if !stuck {
            let error = format!(
                "the queue's writer has not answered for {} s; the watchdog is not told that all is well",
                pace.as_secs_f32()
            );
            shared.manager.status(&error);
            shared.observer.event(Event::StorageFailed { error });
        }
        stuck = !alive;
    }
}

/// Whether the queue's writer comes round within `limit`.
async fn is_writing(queue: &Queue, limit: Duration) -> bool {
    matches!(timeout(limit, queue.writer_answers()).await, Ok(Ok(())))
}

/// What `systemctl status` shows.
pub fn status(shared: &Shared) -> String {
    let waiting = shared.queue.statistics();
    let messages = waiting.active + waiting.ready + waiting.retry + waiting.suspended;
    let settings = shared.settings.load();
    let listening = shared.listeners.describe(&settings).join(" ");
    format!("{messages} message{} in the queue; {listening}", if messages == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use sealpost_queue::{Options, SystemDisk};

    use super::*;

    #[tokio::test]
    async fn a_writer_that_is_stuck_or_gone_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let clock: sealpost_queue::Clock = Arc::new(|| 0);
        let path = directory.path();
        let opened = Queue::open_driven(path, Options::default(), Arc::new(SystemDisk), clock);
        // Nothing is written but by its steps, so that it is stuck until then.
        let (queue, _, mut driver) = opened.unwrap();
        assert!(!is_writing(&queue, Duration::from_millis(50)).await);
        let asked = is_writing(&queue, Duration::from_secs(10));
        let (alive, ()) = tokio::join!(asked, async {
            tokio::task::yield_now().await;
            while driver.step() {}
        });
        assert!(alive);
        drop(driver);
        assert!(!is_writing(&queue, Duration::from_secs(10)).await);
    }
}
