//! Banner and EHLO in clear (RFC 5321 3.1, 4.1.1.1), and whether STARTTLS follows.

use crate::smtp::{Extensions, Reply};
use crate::trust::TlsState;

use super::core::{Core, Step};
use super::state::{Admitted, State};
use super::{Action, Failure, admission};

/// What was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hello {
    Ehlo,
    Helo,
}

/// TLS at once (RFC 8314 3), or the banner in clear.
pub(super) fn connected(core: &Core, step: &mut Step<'_>) -> State {
    if core.opening.connector.implicit_tls {
        step.actions.push(Action::StartTls);
        return State::Handshaking;
    }
    State::Connected
}

pub(super) fn banner(core: &mut Core, reply: Reply, step: &mut Step<'_>) -> State {
    if reply.code != 220 {
        return refused(core, reply, "connect", step);
    }
    say_hello(core, "EHLO", step);
    State::Greeting(Hello::Ehlo)
}

pub(super) fn say_hello(core: &mut Core, verb: &str, step: &mut Step<'_>) {
    let command = format!("{verb} {}", core.opening.connector.fqdn);
    core.say(step, &command);
}

pub(super) fn answered(core: &mut Core, hello: Hello, reply: Reply, step: &mut Step<'_>) -> State {
    match hello {
        Hello::Ehlo if reply.code == 250 => {
            let extensions = Extensions::parse_ehlo(&reply);
            if extensions.starttls && !stays_clear(core) {
                core.say(step, "STARTTLS");
                return State::StartingTls(extensions);
            }
            in_clear(core, extensions, step)
        }
        // The peer knows no EHLO (RFC 5321 3.2), and so offers nothing.
        Hello::Ehlo if matches!(reply.code, 500..=504) => {
            if admission::needs_tls(&core.opening) {
                return in_clear(core, Extensions::default(), step);
            }
            say_hello(core, "HELO", step);
            State::Greeting(Hello::Helo)
        }
        Hello::Helo if reply.code == 250 => in_clear(core, Extensions::default(), step),
        Hello::Ehlo => refused(core, reply, "EHLO", step),
        Hello::Helo => refused(core, reply, "HELO", step),
    }
}

/// An earlier handshake with this host failed, and nothing requires TLS.
fn stays_clear(core: &Core) -> bool {
    core.opening.clear_text && !admission::needs_tls(&core.opening)
}

/// No TLS on this connection: judged as it is.
pub(super) fn in_clear(core: &mut Core, extensions: Extensions, step: &mut Step<'_>) -> State {
    let tls = TlsState::Clear { offered: extensions.starttls };
    match admission::judge_connection(core, tls, None, step) {
        Ok(judged) => {
            judged.announce(step);
            step.actions.push(Action::Ready);
            State::Ready(Admitted { permit: judged.permit, extensions })
        }
        Err(refused) => admission::turn_away(core, refused, step),
    }
}

/// The peer answered with an error where nothing can go on without it.
pub(super) fn refused(core: &mut Core, reply: Reply, command: &'static str, step: &mut Step<'_>) -> State {
    let why = format!("the peer refused {command}");
    let verdict = admission::refused_by_partner(core, command, &reply, step);
    if reply.code != 421 {
        core.say(step, "QUIT");
    }
    core.fail(Failure::Refused { reply, command, verdict }, &why, step)
}
