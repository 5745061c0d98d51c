//! AUTH on our side (RFC 4954): inside TLS only, and only where the connector says so. Who has logged in
//! may relay where the connector grants that; it replaces no verdict. Nothing said in an exchange gets
//! into the log, and a wrong name is answered as a wrong password is.

use std::sync::Arc;

use crate::mail::ReversePath;
use crate::policy::User;
use crate::session::transcript::LineKind;
use crate::smtp::sasl::scram::{self, ServerExchange};
use crate::smtp::sasl::{self, HIDDEN, Mechanism, Mechanisms, Secret, plain};
use crate::smtp::{LineError, Reply, SyntaxError};
use crate::trust::{Fault, judge};

use super::admission::Lists;
use super::awaiting::Awaiting;
use super::core::{Core, Step, Tarpit};
use super::state::{Hello, State};
use super::{Action, Report, commands, replies};

/// Attempts that fail in one session before it is closed.
const FAILURES_MAX: u32 = 3;

/// An exchange that awaits the client's next line.
pub(super) struct Exchange {
    hello: Hello,
    mechanism: Mechanism,
    awaits: Awaits,
}

enum Awaits {
    /// The client's first message.
    Message,
    /// SCRAM: its proof; the user, if there is one.
    Proof(Box<ServerExchange>, Option<Arc<User>>),
    /// SCRAM: its word that it has heard our proof.
    Acknowledgement(Arc<User>),
}

/// A certificate that was shown to log in with; the verdict lacks revocation lists.
pub(super) struct Showing {
    hello: Hello,
    /// Who it is to stand for; empty where it says so itself.
    acts_as: String,
}

/// A password that is being looked at.
pub(super) struct LogIn {
    hello: Hello,
    /// Whose it is to be, if there is such a user.
    user: Option<Arc<User>>,
}

/// Who has logged in, and how.
pub(super) struct Identity {
    pub user: Arc<User>,
    mechanism: Mechanism,
}

impl Identity {
    /// For others to judge by.
    pub fn shown(&self) -> (Mechanism, String) {
        (self.mechanism, self.user.name.clone())
    }
}

/// What our EHLO reply offers at this moment. Nothing in clear, where passwords could be read and
/// proofs passed on.
pub(super) fn offered(core: &Core) -> Mechanisms {
    let Some(evidence) = &core.tls else { return Mechanisms::default() };
    let ways = core.opening.connector.authentication;
    Mechanisms {
        plain: ways.basic,
        scram_sha_256: ways.scram_sha_256,
        scram_sha_256_plus: ways.scram_sha_256 && evidence.channel_binding.is_some(),
        external: ways.external && !evidence.peer_chain.is_empty(),
    }
}

/// `AUTH`.
pub(super) fn command(
    core: &mut Core,
    state: State,
    mechanism: &str,
    initial: Option<Secret>,
    step: &mut Step<'_>,
) -> State {
    if !core.opening.connector.authentication.is_offered() {
        return core.protocol_error(step, state, &SyntaxError::NotImplemented("AUTH").reply());
    }
    let hello = match state {
        State::Ready(hello) if hello.extended => hello,
        within @ (State::Mailing(_) | State::BetweenChunks(_)) => {
            core.answer(step, &replies::auth_in_transaction(), Tarpit::Allowed);
            return within;
        }
        other => {
            core.answer(step, &replies::hello_first(), Tarpit::Allowed);
            return other;
        }
    };
    if !core.follow_settings(step.world.settings) {
        return core.hang_up(step, &replies::connector_gone());
    }
    let offered = offered(core);
    let chosen = Mechanism::parse(mechanism).filter(|chosen| offered.contains(*chosen));
    let refusal = match chosen {
        _ if core.identity.is_some() => replies::authenticated_already(),
        _ if core.tls.is_none() => replies::auth_needs_tls(),
        None => replies::mechanism_not_offered(),
        Some(_) if step.world.auth_blocked => {
            return core.hang_up(step, &replies::too_many_auth_failures());
        }
        Some(mechanism) => {
            let exchange = Exchange { hello, mechanism, awaits: Awaits::Message };
            return match initial {
                Some(message) => take(core, exchange, &message, step),
                None => challenge(core, exchange, &Secret::new([]), step),
            };
        }
    };
    core.answer(step, &refusal, Tarpit::Allowed);
    State::Ready(hello)
}

/// A line of an exchange.
pub(super) fn line(
    core: &mut Core,
    exchange: Exchange,
    line: Result<Vec<u8>, LineError>,
    step: &mut Step<'_>,
) -> State {
    let line = match line {
        Ok(line) => line,
        Err(fault) => return commands::faulty(core, State::Ready(exchange.hello), fault, step),
    };
    if line == b"*" {
        core.note(step, LineKind::Received, "*", "");
        core.answer(step, &replies::auth_cancelled(), Tarpit::Allowed);
        return State::Ready(exchange.hello);
    }
    core.note(step, LineKind::Received, HIDDEN, "");
    match Secret::decode(&line) {
        Ok(message) => take(core, exchange, &message, step),
        Err(sasl::NotBase64) => {
            core.protocol_error(step, State::Ready(exchange.hello), &SyntaxError::NotBase64.reply())
        }
    }
}

/// Asks for the next line, with what the mechanism says.
fn challenge(core: &mut Core, exchange: Exchange, said: &Secret, step: &mut Step<'_>) -> State {
    let shown = if said.octets().is_empty() { "334 ".to_owned() } else { format!("334 {HIDDEN}") };
    core.say_hidden(step, &format!("334 {}", *said.encode()), &shown);
    State::Authenticating(Box::new(exchange))
}

fn take(core: &mut Core, exchange: Exchange, message: &Secret, step: &mut Step<'_>) -> State {
    let Exchange { hello, mechanism, awaits } = exchange;
    match (awaits, mechanism) {
        (Awaits::Message, Mechanism::Plain) => log_in(core, hello, message, step),
        (Awaits::Message, Mechanism::ScramSha256 | Mechanism::ScramSha256Plus) => {
            begin_scram(core, hello, mechanism, message, step)
        }
        (Awaits::Message, Mechanism::External) => match std::str::from_utf8(message.octets()) {
            Ok(acts_as) => {
                let fetches = step.world.settings.crl_fetch.enabled;
                let lists = if fetches { Lists::MayBeFetched } else { Lists::AsTheyAre };
                show(core, Showing { hello, acts_as: acts_as.to_owned() }, lists, step)
            }
            Err(_) => fail(core, hello, mechanism, None, "the message is malformed", step),
        },
        (Awaits::Proof(server, user), _) => match (server.finish(message), user) {
            (Ok(proof), Some(user)) => {
                let awaits = Awaits::Acknowledgement(user);
                challenge(core, Exchange { hello, mechanism, awaits }, &proof, step)
            }
            // What nobody's password is made of proves nobody.
            (Ok(_), None) => fail(core, hello, mechanism, None, "there is no such user", step),
            (Err(error), user) => fail(core, hello, mechanism, user.as_deref(), &error.to_string(), step),
        },
        (Awaits::Acknowledgement(user), _) if message.octets().is_empty() => {
            succeed(core, hello, user, mechanism, step)
        }
        (Awaits::Acknowledgement(user), _) => {
            fail(core, hello, mechanism, Some(&user), "something was said behind the proof", step)
        }
    }
}

fn log_in(core: &mut Core, hello: Hello, message: &Secret, step: &mut Step<'_>) -> State {
    let Some(login) = plain::parse(message) else {
        return fail(core, hello, Mechanism::Plain, None, "the message is malformed", step);
    };
    let (user, verifier) = step.world.settings.users.with_password(&login.user);
    let user = user.cloned();
    core.flush(step);
    let attempt = plain::Attempt { verifier, password: login.password };
    step.actions.push(Action::CheckPassword(Box::new(attempt)));
    Awaiting::CheckingPassword(LogIn { hello, user }).into()
}

/// Whether the password is right; `None`: too many were being looked at, which is nobody's fault.
pub(super) fn password_checked(
    core: &mut Core,
    LogIn { hello, user }: LogIn,
    is_right: Option<bool>,
    step: &mut Step<'_>,
) -> State {
    match (user, is_right) {
        (_, None) => {
            let why = "too many passwords are being looked at";
            core.note(step, LineKind::Information, why, "Authentication failed");
            core.answer(step, &replies::auth_not_now(), Tarpit::Allowed);
            State::Ready(hello)
        }
        (Some(user), Some(true)) => succeed(core, hello, user, Mechanism::Plain, step),
        (Some(user), Some(false)) => {
            fail(core, hello, Mechanism::Plain, Some(&user), "the password is wrong", step)
        }
        (None, Some(_)) => fail(core, hello, Mechanism::Plain, None, "there is no such user", step),
    }
}

fn begin_scram(
    core: &mut Core,
    hello: Hello,
    mechanism: Mechanism,
    message: &Secret,
    step: &mut Step<'_>,
) -> State {
    let binding = core.tls.as_ref().and_then(|evidence| evidence.channel_binding);
    let plus = binding.filter(|_| mechanism == Mechanism::ScramSha256Plus);
    match scram::client_first(message, plus, binding.is_some()) {
        Ok(first) => {
            let (user, verifier) = step.world.settings.users.with_password(&first.user);
            let user = user.cloned();
            let (server, said) = first.challenge(&core.fresh_nonce(), verifier);
            let awaits = Awaits::Proof(Box::new(server), user);
            challenge(core, Exchange { hello, mechanism, awaits }, &said, step)
        }
        Err(error) => fail(core, hello, mechanism, None, &error.to_string(), step),
    }
}

/// EXTERNAL: the certificate of the handshake is judged, as a partner's is, for the names of the user.
pub(super) fn show(core: &mut Core, showing: Showing, lists: Lists, step: &mut Step<'_>) -> State {
    let users = Arc::clone(&step.world.settings.users);
    let user = match showing.acts_as.as_str() {
        "" => core.peer().and_then(|facts| users.of_certificate(facts)),
        name => users.find(name),
    };
    let demand = user.and_then(|user| Some((user, user.certificate.as_ref()?)));
    let (hello, mechanism) = (showing.hello, Mechanism::External);
    let Some((user, demand)) = demand else {
        return fail(core, hello, mechanism, None, "there is no user with such a certificate", step);
    };
    let verdict = judge(demand, &core.connection(), step.world.revocation, step.world.now.wall);
    if lists == Lists::MayBeFetched && !verdict.missing_lists.is_empty() {
        let wanted = verdict.missing_lists;
        core.note_fetch(step, &wanted);
        core.flush(step);
        step.actions.push(Action::FetchRevocation(wanted));
        return Awaiting::Showing(Box::new(Showing { hello, acts_as: showing.acts_as })).into();
    }
    if verdict.is_good() {
        return succeed(core, hello, Arc::clone(user), mechanism, step);
    }
    if verdict.fault() == Some(Fault::RevocationUnknown) {
        told(core, mechanism, Some(user), Some(verdict.sentence()), step);
        core.answer(step, &replies::auth_not_now(), Tarpit::Allowed);
        return State::Ready(hello);
    }
    fail(core, hello, mechanism, Some(user), &verdict.sentence(), step)
}

fn succeed(
    core: &mut Core,
    hello: Hello,
    user: Arc<User>,
    mechanism: Mechanism,
    step: &mut Step<'_>,
) -> State {
    told(core, mechanism, Some(&user), None, step);
    core.proved = true;
    core.auth_failures = 0;
    core.identity = Some(Identity { user, mechanism });
    core.say(step, &replies::authenticated());
    State::Ready(hello)
}

/// One reply for every reason; the reason is ours to know.
fn fail(
    core: &mut Core,
    hello: Hello,
    mechanism: Mechanism,
    user: Option<&User>,
    why: &str,
    step: &mut Step<'_>,
) -> State {
    told(core, mechanism, user, Some(why.to_owned()), step);
    core.auth_failures += 1;
    core.answer(step, &replies::not_authenticated(), Tarpit::Allowed);
    if core.auth_failures >= FAILURES_MAX {
        return core.hang_up(step, &replies::too_many_auth_failures());
    }
    State::Ready(hello)
}

/// Notes and reports how it ended. A name that is no user's may be a password in the wrong place.
fn told(
    core: &mut Core,
    mechanism: Mechanism,
    user: Option<&User>,
    failure: Option<String>,
    step: &mut Step<'_>,
) {
    let name = user.map_or("", |user| user.name.as_str());
    match &failure {
        None => core.note(step, LineKind::Information, name, "Authenticated user"),
        Some(why) => {
            let data = if name.is_empty() { why.clone() } else { format!("{name}: {why}") };
            core.note(step, LineKind::Information, &data, "Authentication failed");
        }
    }
    let report = Report::Authentication { mechanism, user: name.to_owned(), failure };
    step.actions.push(Action::Report(report));
}

/// Whether who logged in could still do so: users, settings and revocation lists change while sessions
/// last. Asked before each transaction.
pub(super) fn still_holds(core: &mut Core, step: &Step<'_>) -> bool {
    let Some(Identity { user, mechanism }) = &core.identity else { return true };
    let mechanism = *mechanism;
    let Some(present) = step.world.settings.users.find(&user.name).cloned() else { return false };
    let holds = offered(core).contains(mechanism)
        && match mechanism {
            Mechanism::Plain | Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => {
                present.verifier == user.verifier
            }
            Mechanism::External => present.certificate.as_ref().is_some_and(|demand| {
                let world = step.world;
                judge(demand, &core.connection(), world.revocation, world.now.wall).is_good()
            }),
        };
    core.identity = Some(Identity { user: present, mechanism });
    holds
}

/// Whether a transaction with this reverse-path may begin, as far as logging in has a say.
pub(super) fn may_send(core: &Core, path: &ReversePath) -> Result<(), Reply> {
    let permissions = core.opening.connector.permissions;
    match &core.identity {
        Some(Identity { user, .. }) if !user.may_send_as(path) => Err(replies::not_your_address()),
        Some(_) => Ok(()),
        None if permissions.submit || permissions.relay => Ok(()),
        None if permissions.authenticated_relay => Err(replies::authentication_required()),
        None => Ok(()),
    }
}

impl Core {
    /// Whether this session may send to any recipient.
    pub fn relays(&self) -> bool {
        let permissions = self.opening.connector.permissions;
        permissions.relay || (permissions.authenticated_relay && self.identity.is_some())
    }
}
