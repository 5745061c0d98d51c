//! One command line: logged, parsed, and handed to what it concerns (RFC 5321 4.1.1, 4.1.4).

use crate::mail::text::printable;
use crate::session::transcript::LineKind;
use crate::smtp::{Command, Extensions, HeloName, LineError, SizeLimit};

use super::core::{Core, Step, Tarpit};
use super::state::{Hello, State};
use super::{replies, starttls, transaction};

pub(super) fn take(
    core: &mut Core,
    state: State,
    line: Result<Vec<u8>, LineError>,
    step: &mut Step<'_>,
) -> State {
    let line = match line {
        Ok(line) => line,
        Err(fault) => {
            core.note(step, LineKind::Received, "", &fault.to_string());
            return core.protocol_error(step, state, &fault.reply());
        }
    };
    match Command::parse(&line, &extensions(core, &state)) {
        Ok(command) => {
            core.note(step, LineKind::Received, &printable(&line), "");
            execute(core, state, command, step)
        }
        Err(error) => {
            core.note(step, LineKind::Received, &unparsed(&line), "");
            if error.is_of_an_address() {
                core.refuse(step, &error.reply(), Tarpit::Allowed);
                return state;
            }
            core.protocol_error(step, state, &error.reply())
        }
    }
}

/// What a line that is no command of ours looks like in the protocol log. Of an unknown verb or
/// AUTH only the verb is kept: what follows may be credentials, or content gone astray.
fn unparsed(line: &[u8]) -> String {
    const KNOWN: [&str; 6] = ["EHLO", "HELO", "MAIL", "RCPT", "DATA", "STARTTLS"];
    const VERB_SHOWN_MAX: usize = 16;
    let verb = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    if KNOWN.iter().any(|known| verb.eq_ignore_ascii_case(known.as_bytes())) {
        return printable(line);
    }
    let shown = printable(&verb[..verb.len().min(VERB_SHOWN_MAX)]);
    if shown.len() < line.len() { format!("{shown} ...") } else { shown }
}

fn execute(core: &mut Core, state: State, command: Command, step: &mut Step<'_>) -> State {
    match command {
        Command::Ehlo(name) => hello(core, name, true, step),
        Command::Helo(name) => hello(core, name, false, step),
        Command::StartTls => starttls::command(core, state, step),
        Command::Mail { path, params } => transaction::mail(core, state, path, params, step),
        Command::Rcpt { path, dsn } => transaction::rcpt(core, state, &path, dsn, step),
        Command::Data => transaction::data(core, state, step),
        Command::Rset => {
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
            core.say(step, &replies::help());
            state
        }
        Command::Quit => {
            let goodbye = replies::goodbye(&core.opening.connector.fqdn);
            core.hang_up(step, &goodbye)
        }
    }
}

/// EHLO and HELO also abandon a transaction (RFC 5321 4.1.4).
fn hello(core: &mut Core, name: HeloName, extended: bool, step: &mut Step<'_>) -> State {
    let fqdn = &core.opening.connector.fqdn;
    let reply = if extended {
        let greeting = format!("Hello [{}]", core.opening.remote.ip().to_canonical());
        offered(core).ehlo_reply(fqdn, &greeting)
    } else {
        replies::hello(fqdn)
    };
    core.say(step, &reply);
    State::Ready(Hello { name, extended, dsn: core.opening.connector.offer_dsn })
}

fn reset(state: State) -> State {
    match state {
        State::Mailing(transaction) => State::Ready(transaction.hello),
        other => other,
    }
}

/// The extensions our EHLO reply announces at this moment.
fn offered(core: &Core) -> Extensions {
    Extensions {
        pipelining: true,
        size: SizeLimit::Limit(core.opening.connector.max_message_size),
        eight_bit_mime: true,
        smtputf8: true,
        enhanced_status_codes: true,
        starttls: core.opening.tls_available && core.tls.is_none(),
        dsn: core.opening.connector.offer_dsn,
        requiretls: core.tls.is_some(),
    }
}

/// The extensions in force: none after HELO; DSN as it was announced, whatever a reload made of it.
fn extensions(core: &Core, state: &State) -> Extensions {
    match state {
        State::Ready(hello) | State::Mailing(super::transaction::Transaction { hello, .. }) => {
            match hello.extended {
                false => Extensions::default(),
                true => Extensions { dsn: hello.dsn, ..offered(core) },
            }
        }
        _ => offered(core),
    }
}
