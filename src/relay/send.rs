//! Driving one send session over one connection.

mod content;
mod guard;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::mail::{Address, Domain};
use crate::net::stream::Stream;
use crate::net::tls::{self, ClientTls};
use crate::observe::{ConnectionGuard, Event};
use crate::session::send::{
    Action, DATA_BLOCK_TIMEOUT, Failure, Input, Opening, Outcome, Report, SendSession, Transaction,
};
use crate::trust::{Direction, Fault, RuledBy, TlsEvidence, TlsVersion};

pub use self::guard::Guard;
use super::content::Outgoing;
use super::revocation;
use super::session_log::SessionLog;
use super::shared::Shared;
use super::tls_report::Reported;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);
const READ_BYTES: usize = 4 << 10;

/// A connection on which the peer was judged and admitted.
pub struct SendConnection {
    shared: Arc<Shared>,
    opening: Opening,
    tls: Arc<ClientTls>,
    log: SessionLog,
    stream: Option<Stream>,
    session: SendSession,
    evidence: Option<Arc<TlsEvidence>>,
    actions: VecDeque<Action>,
    out: Vec<u8>,
    buffer: Box<[u8]>,
    content: Option<Outgoing>,
    /// Of the message in hand.
    guard: Option<Guard>,
    ready: bool,
    failed: Option<Failure>,
    outcomes: Option<Vec<Outcome>>,
    closed: bool,
    /// Of the lists that the peer was judged by.
    pub lists_epoch: u64,
    pub messages: usize,
    /// The domain the last transaction was secured for.
    pub secured: Option<Domain>,
    reported: Option<Arc<Reported>>,
    /// A good verdict is told once the peer has not refused us: it takes both sides.
    admitted: Option<Event>,
    _gauge: ConnectionGuard,
}

impl SendConnection {
    /// Greets, starts TLS and has the peer judged. Fails with what made the connection useless.
    pub async fn open(
        shared: Arc<Shared>,
        stream: TcpStream,
        opening: Opening,
        tls: Arc<ClientTls>,
        reported: Option<Arc<Reported>>,
    ) -> Result<Self, (Failure, Vec<String>)> {
        let gauge = shared.observer.connection(Direction::Outbound, &opening.connector.name);
        let Opening { connector, id, local, remote, .. } = &opening;
        let log = SessionLog::new(Direction::Outbound, &connector.name, *id, *local, *remote);
        let lists_epoch = shared.revocation.load().epoch;
        let mut connection = Self {
            log,
            shared,
            session: SendSession::new(opening.clone()),
            evidence: None,
            opening,
            tls,
            stream: Some(Stream::Plain(stream)),
            actions: VecDeque::new(),
            out: Vec::new(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            content: None,
            guard: None,
            ready: false,
            failed: None,
            outcomes: None,
            closed: false,
            lists_epoch,
            messages: 0,
            secured: None,
            reported,
            admitted: None,
            _gauge: gauge,
        };
        connection.input(Input::Connected);
        connection.drive(|this| this.ready).await;
        match connection.failed.take() {
            Some(failure) => {
                connection.tell_admitted();
                let tail = connection.session.transcript_tail();
                connection.drive(|this| this.closed).await;
                Err((failure, tail))
            }
            None if connection.ready => Ok(connection),
            None => {
                connection.tell_admitted();
                let error = "the connection closed before mail could be sent".to_owned();
                let failure = Failure::Broken { error, retry_in_clear: false };
                Err((failure, connection.session.transcript_tail()))
            }
        }
    }

    /// Sends one message; one outcome a recipient.
    pub async fn deliver(
        &mut self,
        transaction: Transaction,
        content: Outgoing,
        guard: Guard,
    ) -> Vec<Outcome> {
        let recipients = transaction.recipients.len();
        self.messages += 1;
        self.ready = false;
        (self.content, self.guard) = (Some(content), Some(guard));
        self.input(Input::Deliver(Box::new(transaction)));
        self.drive(|this| this.outcomes.is_some()).await;
        self.tell_admitted();
        (self.content, self.guard) = (None, None);
        self.outcomes.take().unwrap_or_else(|| unanswered(recipients))
    }

    /// Asks whether the peer would take mail for these recipients; one outcome each.
    pub async fn verify(&mut self, transaction: Transaction) -> Vec<Outcome> {
        let recipients = transaction.recipients.len();
        self.ready = false;
        self.input(Input::Verify(Box::new(transaction)));
        self.drive(|this| this.outcomes.is_some()).await;
        self.tell_admitted();
        self.outcomes.take().unwrap_or_else(|| unanswered(recipients))
    }

    /// Which of these recipients the next transaction may name, each in its place.
    pub fn admits<'a>(&self, recipients: impl IntoIterator<Item = &'a Address>) -> Vec<bool> {
        self.session.admits(recipients)
    }

    /// Waits until another message can go, and says whether one can.
    pub async fn is_ready(&mut self) -> bool {
        self.drive(|this| this.ready).await;
        self.ready && !self.closed
    }

    pub fn transcript_tail(&self) -> Vec<String> {
        self.session.transcript_tail()
    }

    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// QUIT and close.
    pub async fn finish(mut self) {
        self.tell_admitted();
        if !self.closed {
            self.input(Input::Finish);
        }
        self.drive(|this| this.closed).await;
    }

    /// Steps the session until `done`, it failed, or the connection is closed.
    async fn drive(&mut self, done: impl Fn(&Self) -> bool) {
        loop {
            self.act().await;
            if self.closed || done(self) || (self.failed.is_some() && self.stream.is_none()) {
                return;
            }
            if self.failed.is_some() && self.session.deadline().is_none() {
                return;
            }
            let Some(stream) = self.stream.as_mut() else { return };
            let deadline = self.session.deadline().unwrap_or_else(|| Instant::now() + DATA_BLOCK_TIMEOUT);
            let read = tokio::time::timeout_at(deadline.into(), stream.read(&mut self.buffer)).await;
            match read {
                Err(_) => self.input(Input::Timeout),
                Ok(Ok(0)) => self.input(Input::Closed("the peer closed the connection".to_owned())),
                Ok(Err(error)) => self.input(Input::Closed(tls::describe(&error))),
                Ok(Ok(count)) => {
                    let buffer = std::mem::take(&mut self.buffer);
                    self.input(Input::Bytes(&buffer[..count]));
                    self.buffer = buffer;
                }
            }
        }
    }

    fn input(&mut self, input: Input<'_>) {
        let revocation = self.shared.revocation.load();
        let mut actions = Vec::new();
        self.session.handle(input, &revocation, Shared::now(), &mut actions);
        self.actions.extend(actions);
    }

    async fn act(&mut self) {
        loop {
            while let Some(action) = self.actions.pop_front() {
                if self.perform(action).await.is_break() {
                    return;
                }
            }
            self.flush().await;
            if self.actions.is_empty() {
                return;
            }
        }
    }

    async fn perform(&mut self, action: Action) -> ControlFlow<()> {
        match action {
            Action::Send(bytes) => self.out.extend_from_slice(&bytes),
            Action::StartTls => self.start_tls().await,
            Action::FetchRevocation(wanted) => {
                revocation::obtain(&self.shared, wanted).await;
                self.lists_epoch = self.shared.revocation.load().epoch;
                self.input(Input::RevocationRefreshed);
            }
            Action::Ready => self.ready = true,
            Action::SendContent(framing) => self.send_content(framing).await,
            Action::Done(outcomes) => self.outcomes = Some(outcomes),
            Action::Failed(failure) => self.failed = Some(*failure),
            Action::Log(line) => self.log.write(&self.shared, line).await,
            Action::Report(report) => self.report(report),
            Action::Close => {
                self.flush().await;
                self.closed = true;
                self.ready = false;
                if let Some(mut stream) = self.stream.take() {
                    let _ = timeout(Duration::from_secs(2), stream.shutdown()).await;
                }
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// Writes what waits; false when the peer takes nothing more. Then nothing further is said to
    /// it, but what was found is still logged, told and handed back.
    async fn flush(&mut self) -> bool {
        if self.out.is_empty() {
            return true;
        }
        let out = std::mem::take(&mut self.out);
        if let Err(error) = self.write(&out).await {
            self.actions.retain(outlives_the_peer);
            self.input(Input::Closed(error));
            return false;
        }
        true
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(stream) = self.stream.as_mut() else { return Ok(()) };
        let written = timeout(DATA_BLOCK_TIMEOUT, async {
            stream.write_all(bytes).await?;
            stream.flush().await
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(tls::describe(&error)),
            Err(_) => Err("the peer took no data for 3 minutes".to_owned()),
        }
    }

    async fn start_tls(&mut self) {
        if !self.flush().await {
            return;
        }
        let Some(plain) = self.stream.take().and_then(Stream::into_plain) else { return };
        let host = self.opening.requirement.server_name().map_or(self.opening.host.as_str(), Domain::as_str);
        match self.tls.connect(plain, host, HANDSHAKE_TIMEOUT).await {
            Ok((stream, evidence, own)) => {
                self.stream = Some(stream);
                let evidence = Arc::new(evidence);
                self.evidence = Some(Arc::clone(&evidence));
                self.lists_epoch = self.shared.revocation.load().epoch;
                self.input(Input::TlsEstablished(evidence, own));
            }
            Err(error) => self.input(Input::TlsFailed {
                certificate_refused: error.certificate_refused,
                error: error.error,
            }),
        }
    }

    fn report(&mut self, report: Report) {
        if let (Report::Judged(verdict) | Report::Ruled(verdict), Some(reported)) = (&report, &self.reported)
            && verdict.fault() != Some(Fault::RefusedByPartner)
        {
            reported.count(&self.shared, verdict, &self.opening);
        }
        let connector = self.opening.connector.name.clone();
        let session = self.opening.id;
        let event = match report {
            Report::HandshakeDone { version, resumed: _ } => self.handshake(Some(version), None),
            Report::HandshakeFailed { error } => self.handshake(None, Some(error)),
            Report::Judged(verdict) => {
                self.shared.revocation.note_use(&verdict, Shared::now().wall);
                if let (false, Some(stream)) = (verdict.is_good(), &self.stream) {
                    stream.refuse_resumption();
                }
                let (host, evidence) = (self.opening.host.clone(), self.evidence.clone());
                let is_good = verdict.is_good();
                let judged = Event::OutboundJudged { verdict, connector, session, host, evidence };
                self.admitted = None;
                if is_good {
                    self.admitted = Some(judged);
                    return;
                }
                judged
            }
            Report::Ruled(verdict) => {
                self.shared.revocation.note_use(&verdict, Shared::now().wall);
                match verdict.ruled_by {
                    RuledBy::Dane | RuledBy::MtaSts => {
                        let host = self.opening.host.clone();
                        Event::PolicyJudged { verdict, connector, session, host }
                    }
                    RuledBy::Partner | RuledBy::Connector => return,
                }
            }
            // Counted by `delivery`, which knows the queue id.
            Report::Sent { secured } => {
                self.secured = secured;
                return;
            }
        };
        self.shared.observer.event(event);
    }

    fn tell_admitted(&mut self) {
        if let Some(judged) = self.admitted.take() {
            self.shared.observer.event(judged);
        }
    }

    fn handshake(&self, version: Option<TlsVersion>, error: Option<String>) -> Event {
        Event::TlsHandshake {
            direction: Direction::Outbound,
            connector: self.opening.connector.name.clone(),
            session: self.opening.id,
            remote: self.opening.remote,
            version,
            error,
        }
    }
}

fn unanswered(recipients: usize) -> Vec<Outcome> {
    let error = "the connection closed before an answer".to_owned();
    vec![Outcome::Broken { error, in_doubt: false }; recipients]
}

/// What is still to be done when nobody listens any more. The session closes by itself.
fn outlives_the_peer(action: &Action) -> bool {
    match action {
        Action::Done(_) | Action::Failed(_) | Action::Log(_) | Action::Report(_) => true,
        Action::Send(_)
        | Action::StartTls
        | Action::FetchRevocation(_)
        | Action::Ready
        | Action::SendContent(_)
        | Action::Close => false,
    }
}
