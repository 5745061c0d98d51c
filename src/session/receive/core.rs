//! What every state of a receive session shares: the connection's facts, the transcript, unread
//! input and unsent output.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;

use crate::policy::{Limit, Reached, Settings, limits};
use crate::session::tls_facts;
use crate::session::transcript::{LineKind, Transcript};
use crate::smtp::sasl;
use crate::smtp::{LineReader, Reply};
use crate::trust::{CertificateFacts, Connection, OwnCertificateState, TlsEvidence, TlsState, WantedList};

use super::authenticate::Identity;
use super::clock::Clock;
use super::ending::discard_draft;
use super::replies;
use super::state::State;
use super::{Action, Opening, Report, World};

/// Unparsed input kept while an answer is awaited, in octets; a client that sends more is cut off.
const INPUT_BYTES_MAX: usize = 1 << 20;

pub(super) struct Core {
    pub opening: Opening,
    pub transcript: Transcript,
    pub clock: Clock,
    pub input: LineReader,
    /// The handshake's facts, once there was one.
    pub tls: Option<Arc<TlsEvidence>>,
    /// The client's certificate in words, rendered with the first message that needs them.
    peer: OnceLock<Option<Arc<CertificateFacts>>>,
    /// Who has logged in.
    pub identity: Option<Identity>,
    /// Attempts to log in that failed, since one did not.
    pub auth_failures: u32,
    nonces: u32,
    /// AUTH was said: what is no command may be a part of an exchange that we have ended.
    pub auth_tried: bool,
    /// A partner proved itself in this session, or somebody logged in: no tarpit.
    pub proved: bool,
    pub draining: bool,
    protocol_errors: u32,
    permanent_refusals: u32,
    /// Replies not yet handed out, so that those to a pipelined group leave together.
    output: Vec<u8>,
}

/// One call of `handle`.
pub(super) struct Step<'a> {
    pub world: World<'a>,
    pub actions: &'a mut Vec<Action>,
}

/// Whether a refusal may be delayed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tarpit {
    Allowed,
    /// A domain-security refusal: a partner's postmaster is to see it at once.
    Never,
}

impl Core {
    pub fn new(opening: Opening) -> Self {
        Self {
            transcript: Transcript::without_tail(opening.connector.protocol_logging),
            clock: Clock::default(),
            input: LineReader::new(limits::COMMAND_LINE_BYTES_MAX),
            tls: None,
            peer: OnceLock::new(),
            identity: None,
            auth_failures: 0,
            nonces: 0,
            auth_tried: false,
            proved: false,
            draining: false,
            protocol_errors: 0,
            permanent_refusals: 0,
            output: Vec::new(),
            opening,
        }
    }

    /// Takes up what a reload made of this session's connector; false when it is no more. A
    /// session that began under laxer rules must not keep them.
    pub fn follow_settings(&mut self, settings: &Settings) -> bool {
        let name = &self.opening.connector.name;
        let present = settings.receive_connectors.iter().find(|connector| connector.name == *name);
        if let Some(present) = present {
            self.opening.connector = Arc::clone(present);
        }
        present.is_some()
    }

    /// The connection as judgement sees it.
    pub fn connection(&self) -> Connection<'_> {
        Connection {
            tls: match &self.tls {
                Some(evidence) => TlsState::Established(evidence),
                None => TlsState::Clear { offered: self.opening.tls_available },
            },
            own_certificate: OwnCertificateState::NotApplicable,
        }
    }

    /// What the client's certificate says of itself. There is one handshake in a session at most.
    pub fn peer(&self) -> Option<&CertificateFacts> {
        let evidence = self.tls.as_ref()?;
        self.peer.get_or_init(|| evidence.end_entity()).as_deref()
    }

    /// Notes a line of the protocol log.
    pub fn note(&mut self, step: &mut Step<'_>, kind: LineKind, data: &str, context: &str) {
        let line = self.transcript.note(step.world.now.wall, kind, data, context);
        step.actions.extend(line.map(Action::Log));
    }

    /// Notes which lists are about to be fetched.
    pub fn note_fetch(&mut self, step: &mut Step<'_>, wanted: &[WantedList]) {
        for (data, context) in tls_facts::fetch_lines(wanted) {
            self.note(step, LineKind::Information, &data, &context);
        }
    }

    /// Says a line of which the log gets another.
    pub fn say_hidden(&mut self, step: &mut Step<'_>, line: &str, shown: &str) {
        self.note(step, LineKind::Sent, shown, "");
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    /// Printable, and never the same.
    pub fn fresh_nonce(&mut self) -> String {
        self.nonces += 1;
        sasl::nonce(&self.opening.entropy, self.nonces)
    }

    pub fn say(&mut self, step: &mut Step<'_>, reply: &Reply) {
        for line in reply.wire_lines() {
            self.note(step, LineKind::Sent, &line, "");
            self.output.extend_from_slice(line.as_bytes());
            self.output.extend_from_slice(b"\r\n");
        }
    }

    /// Refuses a command or message, later where the connector has a tarpit.
    pub fn refuse(&mut self, step: &mut Step<'_>, reply: &Reply, tarpit: Tarpit) {
        step.actions.push(Action::Report(Report::Refused { reply: reply.to_string() }));
        self.answer(step, reply, tarpit);
    }

    /// The same with a reply that others have worded: 421 means that the channel is closed behind it
    /// (RFC 5321 3.8), whoever says it.
    pub fn turn_down(&mut self, step: &mut Step<'_>, reply: &Reply, tarpit: Tarpit, then: State) -> State {
        self.refuse(step, reply, tarpit);
        if reply.code == 421 { self.close(step, "") } else { then }
    }

    /// Answers a line that is no command we know; too many of them end the session.
    pub fn protocol_error(&mut self, step: &mut Step<'_>, state: State, reply: &Reply) -> State {
        step.actions.push(Action::Report(Report::ProtocolError { what: reply.to_string() }));
        self.protocol_errors += 1;
        if self.protocol_errors >= self.opening.connector.limits.max_protocol_errors {
            self.reached(step, Limit::ProtocolErrors.of_session());
            discard_draft(&state, step);
            return self.hang_up(step, &replies::too_many_errors());
        }
        self.answer(step, reply, Tarpit::Allowed);
        state
    }

    /// Notes and reports a limit that the client ran into.
    pub fn reached(&mut self, step: &mut Step<'_>, reached: Reached) {
        let Reached { limit, scope } = reached;
        self.note(
            step,
            LineKind::Information,
            &format!("{} of the {}", limit.as_str(), scope.as_str()),
            "Limit reached",
        );
        step.actions.push(Action::Report(Report::LimitReached(reached)));
    }

    /// Says `reply`, delayed if it is the second or a later 5xx of a session that proved nothing.
    pub fn answer(&mut self, step: &mut Step<'_>, reply: &Reply, tarpit: Tarpit) {
        if reply.is_permanent() {
            self.permanent_refusals += 1;
            let delay = self.opening.connector.tarpit_interval;
            if tarpit == Tarpit::Allowed && self.permanent_refusals > 1 && !self.proved && !delay.is_zero() {
                self.delay(step, delay);
            }
        }
        self.say(step, reply);
    }

    fn delay(&mut self, step: &mut Step<'_>, delay: Duration) {
        self.flush(step);
        self.clock.delay(delay);
        step.actions.push(Action::Delay(delay));
    }

    /// Says a last reply and closes.
    pub fn hang_up(&mut self, step: &mut Step<'_>, reply: &Reply) -> State {
        self.say(step, reply);
        self.close(step, "")
    }

    /// Closes without a word; `why` goes to the protocol log.
    pub fn close(&mut self, step: &mut Step<'_>, why: &str) -> State {
        self.flush(step);
        self.note(step, LineKind::Disconnect, "", why);
        step.actions.push(Action::Close);
        State::Closed
    }

    /// Hands out what waits to be sent.
    pub fn flush(&mut self, step: &mut Step<'_>) {
        if !self.output.is_empty() {
            step.actions.push(Action::Send(Bytes::from(std::mem::take(&mut self.output))));
        }
    }

    /// Takes bytes from the wire; false when more came than we keep.
    pub fn take_input(&mut self, bytes: &[u8]) -> bool {
        self.input.push(bytes);
        self.input.buffered() <= INPUT_BYTES_MAX
    }
}
