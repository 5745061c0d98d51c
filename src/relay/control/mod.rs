//! What operators ask of a running server through `control.sock`.

mod destinations;
mod hold;
mod log_level;
mod overview;
mod render;
mod search;
mod selection;
mod steer;

use std::sync::Arc;

use jiff::Timestamp;
use sealpost_queue::{Message, MessageId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::config::{Problem, parse_smart_host};
use crate::net::local;
use crate::policy::{SmartHost, SmartHostName, routing};

use crate::observe::tracking::follow::Search;
use crate::observe::{LiveLog, Observer};
use crate::policy::Settings;

use super::holds::HoldSubject;
use super::partners::{self, writer};
use super::shared::Shared;
use super::{reload, report, tls_report};

pub use hold::end_holds;
pub use selection::Selection;
pub use steer::plural;

use render::{entry, why};
use steer::Deed;

/// Content of one answer to `queue export`; a control character takes six octets in it.
const EXPORT_BYTES_MAX: u64 = 8 << 20;

/// One request; `cli` writes it, the server answers with JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    Counters,
    Reload {
        user: String,
    },
    /// Which settings are in force: the epoch, and the bundle if there is one.
    Configuration,
    /// One page of messages, and where the next begins.
    QueueList {
        filter: Selection,
    },
    QueueShow {
        id: String,
    },
    QueueWhy {
        id: String,
    },
    QueueRetry {
        filter: Selection,
        user: String,
    },
    QueueSuspend {
        filter: Selection,
        user: String,
    },
    QueueResume {
        filter: Selection,
        user: String,
    },
    QueueRemove {
        filter: Selection,
        user: String,
        dsn: bool,
    },
    /// To `HOST[:PORT]`; without it, back to the route that the settings say.
    QueueRedirect {
        filter: Selection,
        user: String,
        to: Option<String>,
    },
    /// A piece of the content, from `offset` on; an empty one is the end.
    QueueExport {
        id: String,
        offset: u64,
    },
    Hold {
        subject: HoldSubject,
        until: Option<Timestamp>,
        user: String,
    },
    HoldList,
    /// Ends these rules and lets go what they hold.
    Release {
        numbers: Vec<u64>,
        user: String,
    },
    /// The TLS reports of a UTC day, today's without one.
    TlsReports {
        day: Option<String>,
    },
    /// Levels of the event log, after a change if there is one: `[TARGET=]LEVEL` or `configured`.
    LogLevel {
        set: Option<String>,
        user: String,
    },
    /// Every partner, or those of this name or domain.
    Partners {
        name: Option<String>,
    },
    /// The state of the server as a whole.
    Overview,
    /// The delivery queues, the one with the oldest message first.
    Destinations,
    /// Messages received, delivered and so on over time.
    History,
    /// What became of messages, from message tracking.
    Trace {
        wanted: Search,
    },
    /// The lines of a session in the protocol log, written within an hour of `at`.
    Session {
        session: String,
        at: Timestamp,
    },
}

/// Answers requests on behalf of one running server.
#[derive(Clone)]
pub struct Operator {
    shared: Arc<Shared>,
}

impl Operator {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.shared.settings.load_full()
    }

    /// The lines of sessions as they are written.
    pub fn live_log(&self) -> &LiveLog {
        self.shared.protocol_log.live()
    }

    pub fn observer(&self) -> &Observer {
        &self.shared.observer
    }

    /// One line of `audit.log`.
    pub async fn audit(&self, user: &str, what: &str, old: &str, new: &str) {
        self.shared.append_audit(user, what, old, new).await;
    }

    /// One request, one answer; an answer with a member `error` is a refusal. `peer` is the user id
    /// that the system knows of who asks: the name in the request is only what the command says.
    /// What takes long reports its progress, and stops early when nobody receives that any more.
    pub async fn answer(
        &self,
        mut request: Value,
        peer: Option<u32>,
        progress: mpsc::Sender<Value>,
    ) -> Value {
        if let (Some(Value::String(user)), Some(peer)) = (request.get_mut("user"), peer) {
            *user = with_uid(user, peer);
        }
        match serde_json::from_value::<Request>(request) {
            Ok(request) => answer(&self.shared, request, &progress).await,
            Err(error) => failure(format!("the request is not understood: {error}")),
        }
    }
}

/// The name that a command gives, and the user id that the system knows, once where they say the same.
fn with_uid(user: &str, uid: u32) -> String {
    let known = format!("uid {uid}");
    if user == known { known } else { format!("{user} ({known})") }
}

async fn answer(shared: &Arc<Shared>, request: Request, progress: &mpsc::Sender<Value>) -> Value {
    match request {
        Request::Counters => json!({ "metrics": shared.observer.render_metrics() }),
        Request::Reload { user } => match reload::reload(shared, &user).await {
            Ok(reloaded) => in_force(shared.settings.load().epoch, &reloaded),
            Err(problems) => refused(&problems),
        },
        Request::Configuration => {
            let settings = shared.settings.load();
            json!({ "epoch": settings.epoch, "bundle": settings.bundle })
        }
        Request::QueueList { filter } => list(shared, &filter).await,
        Request::TlsReports { day } => tls_report::answer(shared, day.as_deref()),
        Request::Partners { name } => partners_answer(shared, name.as_deref()),
        Request::LogLevel { set, user } => log_level::answer(shared, set.as_deref(), &user).await,
        Request::QueueShow { id } => with_message(shared, &id, entry).await,
        Request::QueueWhy { id } => with_message(shared, &id, why).await,
        Request::QueueExport { id, offset } => export(shared, &id, offset).await,
        Request::QueueRetry { filter, user } => {
            steer::answer(shared, &user, &filter, &Deed::Retry, progress).await
        }
        Request::QueueSuspend { filter, user } => {
            steer::answer(shared, &user, &filter, &Deed::Suspend, progress).await
        }
        Request::QueueResume { filter, user } => {
            steer::answer(shared, &user, &filter, &Deed::Resume, progress).await
        }
        Request::QueueRemove { filter, user, dsn } => {
            steer::answer(shared, &user, &filter, &Deed::Remove { dsn }, progress).await
        }
        Request::QueueRedirect { filter, user, to } => {
            match to.as_deref().map(|to| next_hop(shared, to)).transpose() {
                Ok(host) => steer::answer(shared, &user, &filter, &Deed::Redirect(host), progress).await,
                Err(error) => failure(error),
            }
        }
        Request::Overview => overview::overview(shared),
        Request::Destinations => destinations::list(shared).await,
        Request::History => json!({ "history": shared.observer.history().shown() }),
        Request::Trace { wanted } => search::trace(shared, wanted).await,
        Request::Session { session, at } => search::session(shared, session, at).await,
        Request::Hold { subject, until, user } => hold::add(shared, subject, until, &user).await,
        Request::HoldList => hold::list(shared),
        Request::Release { numbers, user } => hold::release(shared, &numbers, &user, progress).await,
    }
}

/// One page: as many messages as an answer takes, and the id behind which the next page begins.
async fn list(shared: &Shared, selection: &Selection) -> Value {
    match shared.queue.page(selection.queue.clone()).await {
        Ok(page) => {
            let meant = page.messages.iter().filter(|message| selection.concerns(message));
            json!({ "messages": meant.map(entry).collect::<Vec<_>>(), "next": page.next })
        }
        Err(error) => failure(error),
    }
}

/// The host of a redirection, unless it is this server.
fn next_hop(shared: &Shared, text: &str) -> Result<SmartHost, String> {
    let host = parse_smart_host(text).map_err(|wrong| format!("{}; {}", wrong.what, wrong.remedy))?;
    let SmartHostName::Address(ip) = host.host else { return Ok(host) };
    let port = host.port.unwrap_or(25);
    let local: &[std::net::IpAddr] = if local::is_local(ip) { &[ip] } else { &[] };
    match routing::refuse_target((ip, port).into(), &shared.bound.load(), local, false) {
        Some(reply) => Err(format!("{}; name another host", reply.lines.join(" "))),
        None => Ok(host),
    }
}

fn partners_answer(shared: &Shared, name: Option<&str>) -> Value {
    let (settings, lists) = (shared.settings.load(), shared.revocation.load());
    let record = tokio::task::block_in_place(|| writer::snapshot(shared));
    let now = Shared::now().wall;
    let site = partners::Site { settings: &settings, record: &record, lists: &lists, now };
    json!({ "partners": partners::describe(site, name) })
}

fn failure(error: impl std::fmt::Display) -> Value {
    json!({ "error": error.to_string() })
}

/// What a reload put in force, each key with what was before and what is now.
fn in_force(epoch: u64, reloaded: &reload::Reloaded) -> Value {
    let changes = reloaded.changes.iter();
    let changes = changes.map(|change| json!({"key": change.key, "old": change.old, "new": change.new}));
    let certificates = reloaded.certificates.iter();
    let certificates = certificates.map(|one| json!({"user": one.user, "old": one.old, "new": one.new}));
    json!({
        "ok": true, "epoch": epoch, "changes": changes.collect::<Vec<_>>(),
        "certificates": certificates.collect::<Vec<_>>(),
    })
}

fn refused(problems: &[Problem]) -> Value {
    json!({ "error": "the new settings were refused; the old ones stay in force",
            "problems": problems.iter().map(Problem::to_string).collect::<Vec<_>>() })
}

async fn with_message(shared: &Shared, id: &str, render: impl FnOnce(&Message) -> Value) -> Value {
    match find(shared, id).await {
        Ok(message) => render(&message),
        Err(error) => error,
    }
}

async fn find(shared: &Shared, id: &str) -> Result<Message, Value> {
    let id: MessageId =
        id.parse().map_err(|_| failure(format!("{id} is not a queue id (16 hexadecimal digits)")))?;
    match shared.queue.get(id).await {
        Ok(message) => Ok(message),
        Err(sealpost_queue::Error::NoSuchMessage(_)) => Err(failure(format!(
            "no message {id} in the queue; `sealpost trace {id}` says what became of it"
        ))),
        Err(error) => Err(failure(error)),
    }
}

async fn export(shared: &Shared, id: &str, offset: u64) -> Value {
    let message = match find(shared, id).await {
        Ok(message) => message,
        Err(error) => return error,
    };
    let content = match shared.queue.content(message.id).await {
        Ok(content) => content,
        Err(error) => return failure(error),
    };
    match tokio::task::block_in_place(|| report::read_piece(content, offset, EXPORT_BYTES_MAX)) {
        Ok(bytes) => json!({ "id": message.id.to_string(), "content": octets_to_text(&bytes) }),
        Err(error) => failure(format!("the content cannot be exported: {error}")),
    }
}

/// Octets as the characters U+0000 to U+00FF, so that any content survives JSON.
fn octets_to_text(octets: &[u8]) -> String {
    octets.iter().map(|&octet| char::from(octet)).collect()
}

/// The reverse of what `queue-export` answers; `None` where the text is not of that kind.
pub fn text_to_octets(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::with_uid;

    #[test]
    fn a_user_without_a_name_is_named_once() {
        assert_eq!(with_uid("uid 0", 0), "uid 0");
        assert_eq!(with_uid("ann", 1000), "ann (uid 1000)");
        assert_eq!(with_uid("uid 0", 1000), "uid 0 (uid 1000)", "that is what the command claims");
    }
}
