//! What an operator does to many messages: page by page through a live queue of any size, in small
//! changes between which mail flows, with progress for who waits and one line in the audit log.

use std::collections::BTreeMap;

use sealpost_queue::{Change, Claim, Error, Message, Recipient, Status, Target};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::mail::Address;
use crate::observe::Event;
use crate::policy::{Settings, SmartHost};
use crate::relay::holds::HoldRule;
use crate::relay::record::MessageMeta;
use crate::relay::shared::Shared;
use crate::relay::tracked::Telling;
use crate::relay::{report, route};

use super::selection::Selection;

/// What is done to the recipients that are meant.
#[derive(Clone, Debug)]
pub enum Deed {
    Retry,
    Suspend,
    Resume,
    Remove {
        dsn: bool,
    },
    /// `None` gives them back to the route that the settings say.
    Redirect(Option<SmartHost>),
    /// What this rule held as it came in goes on, unless another of the rules holds it.
    EndHold {
        rule: HoldRule,
        others: Vec<HoldRule>,
    },
}

/// What was done.
#[derive(Debug, Default)]
pub struct Done {
    pub messages: usize,
    pub recipients: usize,
    /// Recipients that stay domain-secure on their new way.
    secured: usize,
    /// Recipients it could not be done to, by reason.
    refused: BTreeMap<&'static str, usize>,
    /// Who asked went away before the end.
    pub broken_off: bool,
}

/// Does it to all that `selection` means and that was here when it began; tells `progress`, and
/// stops between two pages when nobody listens any more.
pub async fn carry_out(
    shared: &Shared,
    selection: &Selection,
    deed: &Deed,
    user: &str,
    progress: Option<&mpsc::Sender<Value>>,
) -> (Done, Result<(), Error>) {
    let mut done = Done::default();
    let mut page_of = selection.queue.clone();
    // A server that takes mail faster than this goes would never come to an end.
    let now = Shared::now_millis().saturating_add(1);
    page_of.received_before = Some(page_of.received_before.map_or(now, |before| before.min(now)));
    let mut seen = 0;
    loop {
        let page = match shared.queue.page(page_of.clone()).await {
            Ok(page) => page,
            Err(error) => return (done, Err(error)),
        };
        seen += page.messages.len();
        let chosen = choose(selection, deed, &page.messages);
        match apply(shared, deed, chosen, user, &mut done).await {
            Ok(changed) => tell(shared, deed, &page.messages, &changed, user),
            Err(error) => return (done, Err(error)),
        }
        let Some(next) = page.next else { return (done, Ok(())) };
        page_of.after = Some(next);
        let report = json!({ "seen": seen, "messages": done.messages });
        if let Some(progress) = progress
            && progress.send(report).await.is_err()
        {
            done.broken_off = true;
            return (done, Ok(()));
        }
    }
}

/// Answers an action and writes it down with who asked: what is done cannot be undone by silence.
pub async fn answer(
    shared: &Shared,
    user: &str,
    selection: &Selection,
    deed: &Deed,
    progress: &mpsc::Sender<Value>,
) -> Value {
    let (done, result) = carry_out(shared, selection, deed, user, Some(progress)).await;
    if result.is_ok() || done.messages > 0 {
        let mut outcome = plural(done.messages, "message");
        if let Err(error) = &result {
            outcome += &format!(", then: {error}");
        } else if done.broken_off {
            outcome += ", then broken off by who asked";
        }
        shared.append_audit(user, &deed.name(), &selection.describe(), &outcome).await;
    }
    match result {
        Ok(()) => json!({
            "ok": true,
            "messages": done.messages,
            "recipients": done.recipients,
            "secured": done.secured,
            "refused": done.refused,
        }),
        Err(error) if done.messages > 0 => {
            let so_far = plural(done.messages, "message");
            json!({ "error": format!("{error}; it was done to {so_far} before that") })
        }
        Err(error) => json!({ "error": error.to_string() }),
    }
}

/// "1 message", "2 messages".
pub fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

impl Deed {
    /// As the command is called.
    fn name(&self) -> String {
        match self {
            Deed::Retry => "queue retry".to_owned(),
            Deed::Suspend => "queue suspend".to_owned(),
            Deed::Resume => "queue resume".to_owned(),
            Deed::Remove { dsn: true } => "queue remove".to_owned(),
            Deed::Remove { dsn: false } => "queue remove --no-dsn".to_owned(),
            Deed::Redirect(Some(host)) => format!("queue redirect --to {host}"),
            Deed::Redirect(None) => "queue redirect --undo".to_owned(),
            Deed::EndHold { rule, .. } => format!("queue release {}", rule.number),
        }
    }

    /// Whether there is something to be done to this recipient.
    fn applies(&self, message: &Message, recipient: &Recipient) -> bool {
        let status = recipient.status;
        match self {
            Deed::Retry => matches!(status, Status::Ready | Status::Retry),
            Deed::Suspend => status != Status::Suspended,
            Deed::Resume => status == Status::Suspended,
            Deed::Remove { .. } | Deed::Redirect(Some(_)) => status != Status::Active,
            Deed::Redirect(None) => {
                status != Status::Active && route::redirected_to(&recipient.destination).is_some()
            }
            Deed::EndHold { rule, others } => {
                let held_by = |rule: &HoldRule| rule.subject.matches(&message.sender, &recipient.address);
                status == Status::Suspended && held_by(rule) && !others.iter().any(held_by)
            }
        }
    }
}

/// The recipients of a page that are meant and to whom there is something to do.
fn choose(selection: &Selection, deed: &Deed, messages: &[Message]) -> Vec<Target> {
    let chosen = messages.iter().filter(|message| may_concern(deed, message)).map(|message| {
        let meant = message.recipients.iter();
        let meant = meant.filter(|one| selection.meets(one) && deed.applies(message, one));
        Target { id: message.id, recipients: meant.map(|recipient| recipient.index).collect() }
    });
    chosen.filter(|target| !target.recipients.is_empty()).collect()
}

/// The end of a rule frees only what a rule has held, and nothing that somebody suspended by hand.
fn may_concern(deed: &Deed, message: &Message) -> bool {
    match deed {
        Deed::EndHold { .. } => MessageMeta::from_bytes(&message.meta).is_ok_and(|meta| meta.held),
        Deed::Retry | Deed::Suspend | Deed::Resume | Deed::Remove { .. } | Deed::Redirect(_) => true,
    }
}

/// Which of the chosen it was done to. A removal tells what it did together with its report.
async fn apply(
    shared: &Shared,
    deed: &Deed,
    chosen: Vec<Target>,
    user: &str,
    done: &mut Done,
) -> Result<Vec<Target>, Error> {
    let queue = &shared.queue;
    let changed = match deed {
        Deed::Retry => {
            queue.make_due(&chosen, Shared::now_millis()).await?;
            shared.probe_next_hops();
            chosen
        }
        Deed::Suspend => queue.hold_these(&chosen, true).await.map(|()| chosen)?,
        Deed::Resume | Deed::EndHold { .. } => queue.hold_these(&chosen, false).await.map(|()| chosen)?,
        Deed::Redirect(host) => redirect(shared, &chosen, host.as_ref(), done).await?,
        Deed::Remove { dsn } => {
            remove(shared, &chosen, *dsn, user, done).await?;
            return Ok(Vec::new());
        }
    };
    done.count(&changed);
    Ok(changed)
}

/// The events of what was done, for message tracking.
fn tell(shared: &Shared, deed: &Deed, messages: &[Message], changed: &[Target], user: &str) {
    for target in changed {
        let Ok(place) = messages.binary_search_by_key(&target.id, |message| message.id) else { continue };
        let message = &messages[place];
        let (queue_id, by) = (target.id.to_string(), user.to_owned());
        let event = match deed {
            Deed::Suspend => Event::MessageSuspended { queue_id, by },
            Deed::Resume | Deed::EndHold { .. } => Event::MessageResumed { queue_id, by },
            Deed::Redirect(host) => {
                let next_hop = host.as_ref().map_or("the settings' route".to_owned(), ToString::to_string);
                Event::MessageRedirected { queue_id, next_hop, by }
            }
            Deed::Retry | Deed::Remove { .. } => return,
        };
        let recipients = message.recipients.iter().filter(|one| target.recipients.contains(&one.index));
        let recipients = recipients.map(|recipient| recipient.address.clone()).collect();
        let meta = MessageMeta::from_bytes(&message.meta).ok();
        Telling::of(shared, message, meta.as_ref()).of_recipients(shared, event, recipients);
    }
}

impl Done {
    fn count(&mut self, targets: &[Target]) {
        self.messages += targets.len();
        self.recipients += targets.iter().map(|target| target.recipients.len()).sum::<usize>();
    }
}

async fn remove(
    shared: &Shared,
    chosen: &[Target],
    dsn: bool,
    user: &str,
    done: &mut Done,
) -> Result<(), Error> {
    for claim in shared.queue.claim_these(chosen).await? {
        report::give_up_for_operator(shared, &claim, dsn, user).await?;
        done.messages += 1;
        done.recipients += claim.message.recipients.len();
    }
    Ok(())
}

/// Claimed meanwhile, so that nobody begins to deliver on the old way what is about to take the new.
async fn redirect(
    shared: &Shared,
    chosen: &[Target],
    host: Option<&SmartHost>,
    done: &mut Done,
) -> Result<Vec<Target>, Error> {
    let settings = shared.settings.load_full();
    let claims = shared.queue.claim_these(chosen).await?;
    let mut changes = Vec::new();
    let mut moved = Vec::new();
    for claim in &claims {
        let before = changes.len();
        changes.extend(moves(&settings, claim, host, done));
        if changes.len() > before {
            let recipients = changes[before..].iter().filter_map(moved_recipient).collect();
            moved.push(Target { id: claim.message.id, recipients });
        }
    }
    shared.queue.apply(changes).await?;
    drop(claims);
    // The new way is tried at once: waiting for it is not what was asked.
    shared.queue.make_due(&moved, Shared::now_millis()).await?;
    Ok(moved)
}

fn moved_recipient(change: &Change) -> Option<u32> {
    match change {
        Change::Move { recipient, .. } => Some(*recipient),
        Change::Remove { .. }
        | Change::Taken { .. }
        | Change::Retry { .. }
        | Change::DelayNotified { .. }
        | Change::Insert { .. } => None,
    }
}

/// The steps that take the recipients of a claim to their new next hop. Who has no connector has no
/// terms on which to speak to the host, and stays.
fn moves(settings: &Settings, claim: &Claim, host: Option<&SmartHost>, done: &mut Done) -> Vec<Change> {
    let mut changes = Vec::new();
    for recipient in &claim.message.recipients {
        let destination = match (Address::parse(&recipient.address), host) {
            (Ok(address), Some(host)) => route::redirected(settings, &address, host),
            (Ok(address), None) => Some(route::destination(settings, &address)),
            (Err(_), _) => None,
        };
        let Some(destination) = destination else {
            *done.refused.entry("no send connector serves the recipient's domain").or_default() += 1;
            continue;
        };
        done.secured += usize::from(!destination.tls_domain.is_empty());
        changes.push(Change::Move { id: claim.message.id, recipient: recipient.index, destination });
    }
    changes
}
