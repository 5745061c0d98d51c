//! Asking next hops whether they know a recipient (`policy::recipient_verification`): the way and
//! the demands are those of a delivery, MAIL says `<>`, and nothing is sent.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::time::timeout;

use crate::mail::dsn::Requests;
use crate::mail::{Address, BodyType, Domain, ReversePath, TlsRequired};
use crate::observe::{Event, FilterEvent};
use crate::policy::Settings;
use crate::policy::recipient_verification::{Look, VerificationMemory, Verified};
use crate::session::send::{Outcome, Transaction};

use super::open::{self, Opened};
use super::route;
use super::shared::Shared;
use super::targets::{self, NextHop};

/// What all sessions know of recipients.
#[derive(Default)]
pub struct Verifier {
    memory: Mutex<VerificationMemory>,
}

impl Verifier {
    fn look(&self, address: &Address, settings: &Settings) -> Look {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.look(address, &settings.recipient_verification, Instant::now())
    }

    /// The settings changed.
    pub fn forget(&self) {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).forget();
    }
}

/// Whether the next hop knows this address of an accepted domain. Takes at most the `timeout` of the
/// settings.
pub async fn verify(shared: &Arc<Shared>, address: &Address) -> Verified {
    let settings = shared.settings.load_full();
    match shared.verifier.look(address, &settings) {
        Look::Known(known) => known,
        Look::Stale(known) => {
            let (shared, address) = (Arc::clone(shared), address.clone());
            let tasks = shared.tasks.clone();
            tasks.spawn(async move { ask(&shared, &settings, &address, false).await });
            known
        }
        Look::Ask { with_stranger } => ask(shared, &settings, address, with_stranger).await,
        Look::TooMany => Verified::Unknown("the next hop has been asked often enough for now".to_owned()),
    }
}

/// Asks, and remembers what was learned.
async fn ask(
    shared: &Arc<Shared>,
    settings: &Arc<Settings>,
    address: &Address,
    with_stranger: bool,
) -> Verified {
    let patience = settings.recipient_verification.timeout;
    let stranger = address.domain().filter(|_| with_stranger).and_then(stranger_of);
    let asked = timeout(patience, question(shared, settings, address, stranger.as_ref())).await;
    let (known, takes_any) = asked.unwrap_or_else(|_| {
        (Verified::Unknown(format!("the next hop gave no answer within {} s", patience.as_secs())), None)
    });
    let mut news = false;
    {
        let mut memory = shared.verifier.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let (rules, now) = (&settings.recipient_verification, Instant::now());
        memory.learn(address, &known, rules, now);
        if let (Some(takes_any), Some(domain)) = (takes_any, address.domain()) {
            news = memory.learn_of_domain(domain, takes_any, rules, now);
        }
    }
    if let (true, Some(domain)) = (news, address.domain()) {
        shared.observer.event(Event::Filter(FilterEvent::AnyRecipientTaken { domain: domain.clone() }));
    }
    if takes_any == Some(true) { Verified::AnyIsTaken } else { known }
}

/// An address that nobody has.
fn stranger_of(domain: &Domain) -> Option<Address> {
    Address::new(&format!("no-such-user-{:016x}", rand::random::<u64>()), domain.clone()).ok()
}

/// What is said of the address, and whether an address that nobody has is taken.
async fn question(
    shared: &Arc<Shared>,
    settings: &Arc<Settings>,
    address: &Address,
    stranger: Option<&Address>,
) -> (Verified, Option<bool>) {
    let unknown = |why: String| (Verified::Unknown(why), None);
    let destination = route::destination(settings, address);
    let connector = settings.send_connectors.iter().find(|known| known.name == destination.connector);
    let Some(connector) = connector else { return unknown("no send connector serves the domain".to_owned()) };
    let tls_required = TlsRequired::Unstated;
    let hop = NextHop { settings, connector, destination: &destination, recipient: address, tls_required };
    let mut targets = match targets::find(shared, hop).await {
        Ok(targets) => shared.in_order_of_hope(targets),
        Err(note) => return unknown(note.reason),
    };
    let mut why = "no mail host took a connection".to_owned();
    while let Some(host) = targets.first().map(|target| target.host.clone()) {
        let of_host = targets.iter().take_while(|target| target.host == host).count();
        let (opened, tried) = open::open(shared, settings, connector, &targets[..of_host], None).await;
        targets.retain(|target| target.host != host || !tried.contains(&target.address));
        let mut connection = match opened {
            Opened::Ready(connection) => *connection,
            Opened::Failed(note) => {
                why = note.reason;
                continue;
            }
        };
        let recipients: Vec<Address> = std::iter::once(address).chain(stranger).cloned().collect();
        let outcomes = connection.verify(envelope(recipients)).await;
        shared.tasks.spawn(connection.finish());
        let known = outcomes.first().map_or_else(|| Verified::Unknown(why.clone()), verified);
        let takes_any = match outcomes.get(1) {
            Some(Outcome::Taken { .. }) => Some(true),
            Some(Outcome::Refused { .. }) => Some(false),
            Some(Outcome::Delivered { .. } | Outcome::Broken { .. }) | None => None,
        };
        return (known, takes_any);
    }
    unknown(why)
}

fn envelope(recipients: Vec<Address>) -> Transaction {
    let smtputf8 = recipients.iter().any(Address::needs_smtputf8);
    Transaction {
        message: None,
        reverse_path: ReversePath::Null,
        recipients,
        body: BodyType::SevenBit,
        smtputf8,
        eight_bit: false,
        binary: false,
        size: 0,
        octets: 0,
        dsn: Requests::default(),
        tls_required: TlsRequired::Unstated,
    }
}

fn verified(outcome: &Outcome) -> Verified {
    match outcome {
        Outcome::Taken { .. } => Verified::Exists,
        Outcome::Refused { reply, command: "RCPT", from_peer: true, .. } => Verified::of_refusal(reply),
        Outcome::Refused { reply, command, .. } => {
            Verified::Unknown(format!("the next hop refuses {command}: {reply}"))
        }
        Outcome::Broken { error, .. } => Verified::Unknown(error.clone()),
        // Nothing was sent.
        Outcome::Delivered { .. } => Verified::Unknown("the next hop takes what was not sent".to_owned()),
    }
}
