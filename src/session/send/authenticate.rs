//! AUTH on our side of a next hop (RFC 4954): only where the settings name a smart host, only inside TLS,
//! and only once the host has proved its name. Where it cannot be done no mail passes.

use crate::policy::{SmartHostAuth, SmartHostName};
use crate::session::transcript::LineKind;
use crate::smtp::sasl::scram::{self, Binding, ClientExchange, ClientProved};
use crate::smtp::sasl::{HIDDEN, Mechanism, Mechanisms, Secret, nonce, plain};
use crate::smtp::{Command, Reply};
use crate::trust::{Level, Mode, TlsEvidence};

use super::core::{Core, Step};
use super::state::{Admitted, State};
use super::{Action, Failure, greeting};

/// An exchange with the smart host, which is admitted but not yet ours to send to.
pub(super) struct Exchange {
    admitted: Admitted,
    awaits: Awaits,
}

enum Awaits {
    /// SCRAM: the challenge.
    Challenge(Box<ClientExchange>),
    /// SCRAM: the server's proof that it knows the password too.
    Proof(ClientProved),
    /// The server's word that we are who we say.
    Success,
}

/// The peer is admitted and has said what it offers: logs in where the settings say so, else all is ready.
pub(super) fn begin(
    core: &mut Core,
    admitted: Admitted,
    evidence: &TlsEvidence,
    step: &mut Step<'_>,
) -> State {
    let Some(auth) = core.opening.connector.smart_host_auth.clone() else {
        step.actions.push(Action::Ready);
        return State::Ready(admitted);
    };
    if let Err(why) = may_be_told(core) {
        return give_up(core, why, step);
    }
    let offered = admitted.extensions.auth;
    let Some(mechanism) = choose(&auth, offered, evidence) else {
        let host = &core.opening.host;
        let offers = if offered.is_empty() { "none that we know".to_owned() } else { offered.to_string() };
        let why = format!(
            "{host} does not offer the AUTH that smart_host_auth_mechanism asks for; it offers {offers}"
        );
        return give_up(core, &why, step);
    };
    let (initial, awaits) = match mechanism {
        Mechanism::Plain => (plain::message(&auth.user, &auth.password), Awaits::Success),
        Mechanism::External => (Secret::new([]), Awaits::Success),
        Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => {
            let binding = match (mechanism, evidence.channel_binding) {
                (Mechanism::ScramSha256Plus, Some(binding)) => Binding::Bound(binding),
                (_, Some(_)) => Binding::NotOffered,
                (_, None) => Binding::Unknown,
            };
            let own = nonce(&core.opening.entropy, 0);
            let (exchange, first) = scram::begin(&auth.user, &auth.password, &own, binding);
            (first, Awaits::Challenge(Box::new(exchange)))
        }
    };
    let line = format!("AUTH {mechanism} {}", *initial.encode_initial());
    let shown = Command::Auth { mechanism: mechanism.to_string(), initial: Some(initial) };
    core.say_hidden(step, &line, &shown.to_string());
    core.hides_replies = true;
    State::Authenticating(Box::new(Exchange { admitted, awaits }))
}

/// A credential is for the hosts that stand beside it, and for one only that has proved to be it.
fn may_be_told(core: &Core) -> Result<(), &'static str> {
    let opening = &core.opening;
    let named = opening.connector.smart_hosts.iter().any(|known| match &known.host {
        SmartHostName::Name(name) => opening.host == name.as_str(),
        SmartHostName::Address(_) => false,
    });
    if !named {
        return Err("the credential is for the connector's smart hosts, and this host is none of them");
    }
    if opening.requirement.level < Level::DomainValidation || opening.requirement.mode != Mode::Enforce {
        return Err("the credential is told only to a host that has to prove its name");
    }
    Ok(())
}

/// The one that the settings ask for, and nothing weaker.
fn choose(auth: &SmartHostAuth, offered: Mechanisms, evidence: &TlsEvidence) -> Option<Mechanism> {
    let wanted: &[Mechanism] = match auth.way {
        crate::policy::SmartHostWay::Basic => &[Mechanism::Plain],
        crate::policy::SmartHostWay::ScramSha256 => &[Mechanism::ScramSha256Plus, Mechanism::ScramSha256],
        crate::policy::SmartHostWay::External => &[Mechanism::External],
    };
    let usable = |mechanism: &&Mechanism| {
        offered.contains(**mechanism)
            && (**mechanism != Mechanism::ScramSha256Plus || evidence.channel_binding.is_some())
    };
    wanted.iter().find(usable).copied()
}

/// The reply to AUTH, or to what we said in the exchange.
pub(super) fn replied(core: &mut Core, exchange: Exchange, reply: Reply, step: &mut Step<'_>) -> State {
    core.hides_replies = false;
    let Exchange { admitted, awaits } = exchange;
    match (reply.code, awaits) {
        (235, Awaits::Success) => {
            step.actions.push(Action::Ready);
            State::Ready(admitted)
        }
        (235, Awaits::Challenge(_) | Awaits::Proof(_)) => {
            give_up(core, "the server took us without proving that it knows the password", step)
        }
        (334, awaits) => match answer(awaits, &reply) {
            Ok((said, awaits)) => {
                core.say_hidden(step, &said.encode(), HIDDEN);
                core.hides_replies = true;
                State::Authenticating(Box::new(Exchange { admitted, awaits }))
            }
            Err(why) => {
                core.note(step, LineKind::Information, &why, "Authentication failed");
                // RFC 4954 4: the server's next reply is 501, which says nothing new.
                core.say(step, "*");
                give_up_silently(core, &why, step)
            }
        },
        _ => {
            let reply = Reply { lines: reply.lines.into_iter().take(1).collect(), ..reply };
            greeting::refused(core, reply, "AUTH", step)
        }
    }
}

fn answer(awaits: Awaits, reply: &Reply) -> Result<(Secret, Awaits), String> {
    let text = reply.lines.first().map(String::as_str).unwrap_or_default();
    let challenge = Secret::decode(text.as_bytes()).map_err(|error| error.to_string())?;
    match awaits {
        Awaits::Challenge(exchange) => {
            let (proved, proof) = exchange.prove(&challenge).map_err(|error| error.to_string())?;
            Ok((proof, Awaits::Proof(proved)))
        }
        Awaits::Proof(proved) => {
            proved.verify(&challenge).map_err(|error| error.to_string())?;
            Ok((Secret::new([]), Awaits::Success))
        }
        Awaits::Success => Err("the server asks for more than the mechanism has".to_owned()),
    }
}

fn give_up(core: &mut Core, why: &str, step: &mut Step<'_>) -> State {
    core.note(step, LineKind::Information, why, "Authentication failed");
    core.say(step, "QUIT");
    give_up_silently(core, why, step)
}

fn give_up_silently(core: &mut Core, why: &str, step: &mut Step<'_>) -> State {
    let error = format!("cannot log in at {}: {why}", core.opening.host);
    core.fail(Failure::broken(error), "not logged in", step)
}
