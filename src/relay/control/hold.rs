//! Hold rules: made, shown, and ended by an operator or by their time. What a rule held goes on when
//! it ends.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sealpost_queue::{Filter, Status};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::observe::Event;
use crate::relay::holds::{HoldError, HoldRule, HoldSubject};
use crate::relay::shared::Shared;

use super::selection::Selection;
use super::steer::{self, Deed, Done, plural};

/// How often rules are looked at whose time may be over.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Makes a rule, or gives the one for the same subject another end.
pub async fn add(shared: &Shared, subject: HoldSubject, until: Option<Timestamp>, user: &str) -> Value {
    match shared.holds.add(subject, until, user).await {
        Ok(rule) => {
            let until = rule.until.map_or("until released".to_owned(), |until| format!("until {until}"));
            shared.append_audit(user, "queue hold", "", &format!("{}, {until}", describe(&rule))).await;
            json!({ "ok": true, "rule": rule })
        }
        Err(error) => json!({ "error": error.to_string() }),
    }
}

/// Every rule.
pub fn list(shared: &Shared) -> Value {
    json!({ "rules": &*shared.holds.rules() })
}

/// Ends rules and lets go what they hold.
pub async fn release(shared: &Shared, numbers: &[u64], user: &str, progress: &mpsc::Sender<Value>) -> Value {
    let _one_at_a_time = shared.holds.ending().await;
    let known = shared.holds.rules();
    if let Some(number) = numbers.iter().find(|number| known.iter().all(|rule| rule.number != **number)) {
        return json!({ "error": format!("no hold rule {number}; `sealpost queue hold --list` shows them") });
    }
    if let Err(error) = shared.holds.end(numbers, Timestamp::now()).await {
        return json!({ "error": error.to_string() });
    }
    let mut messages = 0;
    for rule in known.iter().filter(|rule| numbers.contains(&rule.number)) {
        match end(shared, rule, user, Some(progress)).await {
            Ok(done) => messages += done.messages,
            Err(error) => return json!({ "error": error }),
        }
    }
    json!({ "ok": true, "rules": numbers.len(), "messages": messages })
}

/// Ends rules when their time is over, also one whose end a stop of the server cut short. Runs until
/// the server drains.
pub async fn end_holds(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shared.draining.cancelled() => return,
        }
        let _one_at_a_time = shared.holds.ending().await;
        let rules = shared.holds.rules();
        for rule in rules.iter().filter(|rule| rule.is_over(Timestamp::now())) {
            if let Err(error) = end(&shared, rule, "its time", None).await {
                shared.observer.event(Event::StorageFailed { error });
            }
        }
    }
}

/// Lets go what a rule that is over has held, then forgets it. Another rule may hold it on.
async fn end(
    shared: &Shared,
    rule: &HoldRule,
    user: &str,
    progress: Option<&mpsc::Sender<Value>>,
) -> Result<Done, String> {
    shared.holds.stored().await;
    let rules = shared.holds.rules();
    let now = Timestamp::now();
    let others = rules.iter().filter(|other| other.number != rule.number && !other.is_over(now));
    let HoldSubject { domain, sender, recipient } = rule.subject.clone();
    let queue = Filter { domain, sender, recipient, ..Selection::of_status(Status::Suspended).queue };
    let selection = Selection { queue, ..Selection::default() };
    let deed = Deed::EndHold { rule: rule.clone(), others: others.cloned().collect() };
    let (done, result) = steer::carry_out(shared, &selection, &deed, user, progress).await;
    result.map_err(|error| error.to_string())?;
    if done.broken_off {
        // The look at rules that are over goes on with it.
        return Ok(done);
    }
    shared.holds.drop_rule(rule.number).await.map_err(|error: HoldError| error.to_string())?;
    let let_go = format!("{} let go", plural(done.messages, "message"));
    shared.append_audit(user, "queue release", &describe(rule), &let_go).await;
    Ok(done)
}

fn describe(rule: &HoldRule) -> String {
    let HoldSubject { domain, sender, recipient } = &rule.subject;
    let mut text = format!("rule {}:", rule.number);
    for (name, value) in [("domain", domain), ("sender", sender), ("recipient", recipient)] {
        if let Some(value) = value {
            text += &format!(" {name} {}", if value.is_empty() { "<>" } else { value });
        }
    }
    text
}
