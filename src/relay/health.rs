//! What the service manager is told while mail flows: that we live, which is more than that the process
//! is there, and in a line what we are at.

use std::sync::Arc;
use std::time::Duration;

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
        let alive = matches!(timeout(pace, shared.queue.writer_answers()).await, Ok(Ok(())));
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

/// What `systemctl status` shows.
pub fn status(shared: &Shared) -> String {
    let waiting = shared.queue.statistics();
    let messages = waiting.active + waiting.ready + waiting.retry + waiting.suspended;
    let settings = shared.settings.load();
    let listening = shared.listeners.describe(&settings).join(" ");
    format!("{messages} message{} in the queue; {listening}", if messages == 1 { "" } else { "s" })
}
