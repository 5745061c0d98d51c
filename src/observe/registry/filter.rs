//! What milters and next hops said of messages and recipients.

use crate::observe::FilterEvent;
use crate::policy::milter::MilterResult;

use super::{Counters, Level};

impl Counters {
    /// Also says how much the event matters.
    pub(in crate::observe) fn filtered(&self, event: &FilterEvent) -> Level {
        match event {
            FilterEvent::MilterAnswered { milter, result, .. } => {
                let labels = [("milter", milter.clone()), ("result", result.as_str().to_owned())];
                self.milters.get_or_create(&labels).inc();
                // That it is down has been told.
                if *result == MilterResult::Failed { Level::Debug } else { Level::Info }
            }
            FilterEvent::RecipientVerified { result, .. } => {
                self.verifications.get_or_create(&[("result", (*result).to_owned())]).inc();
                if matches!(*result, "exists" | "any-is-taken") { Level::Debug } else { Level::Info }
            }
            FilterEvent::AnyRecipientTaken { .. } => Level::Warning,
            FilterEvent::MilterUp { .. } => Level::Info,
            FilterEvent::MilterChangeDenied { .. } | FilterEvent::MessageDiscarded { .. } => Level::Warning,
            FilterEvent::MilterDown { .. } => Level::Error,
        }
    }
}
