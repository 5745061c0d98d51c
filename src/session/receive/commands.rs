//! One command line: logged, parsed, and handed to what it concerns (RFC 5321 4.1.1, 4.1.4).

use std::num::NonZeroU32;

use crate::mail::text::printable;
use crate::policy::{ReceiveConnector, limits};
use crate::session::transcript::LineKind;
use crate::smtp::{Command, Extensions, HeloName, Limits, LineError, SizeLimit, SyntaxError};

use super::core::{Core, Step, Tarpit};
use super::ending::discard_draft;
use super::state::{Hello, State};
use super::{Action, Report, authenticate, chunks, other_protocol, replies, starttls, transaction};

pub(super) fn take(
    core: &mut Core,
    state: State,
    line: Result<Vec<u8>, LineError>,
    step: &mut Step<'_>,
) -> State {
    let line = match line {
        Ok(line) => line,
        Err(fault) => return faulty(core, state, fault, step),
    };
    match Command::parse(&line, &extensions(core, &state)) {
        Ok(command) => {
            core.note(step, LineKind::Received, &shown(&line, &command), "");
            execute(core, state, command, step)
        }
        Err(error) => {
            let shown = if core.auth_tried { "...".to_owned() } else { unparsed(&line) };
            core.auth_tried |= begins_with_auth(&line);
            core.note(step, LineKind::Received, &shown, "");
            if let Some(protocol) = other_protocol::recognise(&line) {
                discard_draft(&state, step);
                return other_protocol(core, protocol, step);
            }
            if error == SyntaxError::BadChunk {
                return chunks::uncounted(core, &state, &error.reply(), step);
            }
            if error.is_of_an_address() {
                core.refuse(step, &error.reply(), Tarpit::Allowed);
                return state;
            }
            core.protocol_error(step, state, &error.reply())
        }
    }
}

/// A line that is none.
pub(super) fn faulty(core: &mut Core, state: State, fault: LineError, step: &mut Step<'_>) -> State {
    core.note(step, LineKind::Received, "", &fault.to_string());
    if core.input.faulty_line_began(*b"BDAT") {
        return chunks::uncounted(core, &state, &fault.reply(), step);
    }
    core.protocol_error(step, state, &fault.reply())
}

/// The rest of what was sent is another protocol's, too, and may hold what looks like commands.
pub(super) fn other_protocol(core: &mut Core, protocol: &str, step: &mut Step<'_>) -> State {
    let reply = replies::other_protocol(protocol);
    step.actions.push(Action::Report(Report::ProtocolError { what: reply.to_string() }));
    core.hang_up(step, &reply)
}

/// What a line that is no command of ours looks like in the protocol log. Of an unknown verb or
/// AUTH only the verb is kept: what follows may be credentials, or content gone astray.
fn unparsed(line: &[u8]) -> String {
    const KNOWN: [&str; 7] = ["EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "STARTTLS"];
    const VERB_SHOWN_MAX: usize = 16;
    let verb = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    if KNOWN.iter().any(|known| verb.eq_ignore_ascii_case(known.as_bytes())) {
        return printable(line);
    }
    let shown = printable(&verb[..verb.len().min(VERB_SHOWN_MAX)]);
    if shown.len() < line.len() { format!("{shown} ...") } else { shown }
}

/// What a client says to log in is nothing for a log.
fn shown(line: &[u8], command: &Command) -> String {
    match command {
        Command::Auth { .. } => command.to_string(),
        _ => printable(line),
    }
}

fn begins_with_auth(line: &[u8]) -> bool {
    line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH"))
}

fn execute(core: &mut Core, state: State, command: Command, step: &mut Step<'_>) -> State {
    match command {
        Command::Ehlo(name) => hello(core, &state, name, true, step),
        Command::Helo(name) => hello(core, &state, name, false, step),
        Command::StartTls => starttls::command(core, state, step),
        Command::Mail { path, params } => transaction::mail(core, state, path, params, step),
        Command::Rcpt { path, dsn } => transaction::rcpt(core, state, &path, dsn, step),
        Command::Data => transaction::data(core, state, step),
        Command::Bdat(chunk) => chunks::command(core, state, chunk, step),
        Command::Auth { mechanism, initial } => {
            core.auth_tried = true;
            authenticate::command(core, state, &mechanism, initial, step)
        }
        Command::Rset => {
            discard_draft(&state, step);
            core.say(step, &replies::ok());
            reset(state)
        }
        Command::Noop => {
            core.say(step, &replies::ok());
            state
        }
        Command::Vrfy => {
            core.say(step, &replies::cannot_verify());
            state
        }
        Command::Help => {
            let offered = core.opening.connector.authentication.is_offered();
            core.say(step, &replies::help(offered));
            state
        }
        Command::Quit => {
            discard_draft(&state, step);
            let goodbye = replies::goodbye(&core.opening.connector.fqdn);
            core.hang_up(step, &goodbye)
        }
    }
}

/// EHLO and HELO also abandon a transaction (RFC 5321 4.1.4).
fn hello(core: &mut Core, state: &State, name: HeloName, extended: bool, step: &mut Step<'_>) -> State {
    discard_draft(state, step);
    let fqdn = &core.opening.connector.fqdn;
    let announced = if extended { offered(core) } else { Extensions::default() };
    let reply = if extended {
        let greeting = format!("Hello [{}]", core.opening.remote.ip().to_canonical());
        announced.ehlo_reply(fqdn, &greeting)
    } else {
        replies::hello(fqdn)
    };
    if !authenticate::offered(core).is_empty() {
        core.input.set_limit(limits::AUTH_LINE_BYTES_MAX);
    }
    core.say(step, &reply);
    State::Ready(Hello { name, extended, announced })
}

fn reset(state: State) -> State {
    match state {
        State::Mailing(transaction) => State::Ready(transaction.hello),
        State::BetweenChunks(content) => State::Ready((*content).hello()),
        other => other,
    }
}

/// The extensions our EHLO reply announces at this moment.
fn offered(core: &Core) -> Extensions {
    let connector = &core.opening.connector;
    Extensions {
        pipelining: true,
        size: SizeLimit::Limit(connector.max_message_size),
        eight_bit_mime: true,
        chunking: connector.offer_chunking,
        binary_mime: connector.offer_chunking && connector.offer_binary_mime,
        smtputf8: true,
        enhanced_status_codes: true,
        starttls: core.opening.tls_available && core.tls.is_none(),
        dsn: connector.offer_dsn,
        requiretls: core.tls.is_some(),
        limits: Limits { rcpt_max: recipients_max(connector), ..Limits::default() },
        auth: authenticate::offered(core),
    }
}

/// As many as one transaction may have, in the digits that RFC 9422 allows.
fn recipients_max(connector: &ReceiveConnector) -> Option<NonZeroU32> {
    const ANNOUNCED_MAX: u32 = 999_999;
    let limit = u32::try_from(connector.max_recipients_per_message).unwrap_or(ANNOUNCED_MAX);
    NonZeroU32::new(limit.min(ANNOUNCED_MAX))
}

/// The extensions in force: those announced, and before any greeting those that would be.
fn extensions(core: &Core, state: &State) -> Extensions {
    match state {
        State::Ready(hello) | State::Mailing(super::transaction::Transaction { hello, .. }) => {
            hello.announced.clone()
        }
        State::BetweenChunks(content) => content.announced().clone(),
        _ => offered(core),
    }
}
