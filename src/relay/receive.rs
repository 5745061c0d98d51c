//! Driving one receive session: the only async code between a peer and the queue on the way in.

mod accept;
mod counting;
mod filter;
mod inspect;
mod keep;
mod logging_in;
mod reading;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use sealpost_queue::{Draft, Offer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::net::stream::Stream;
use crate::observe::Event;
use crate::observe::tracking::Tracked;
use crate::policy::quota::{Charge, source_of};
use crate::policy::{Limit, Reached, Scope};
use crate::session::receive::{
    Action, Input, Opening, ReceiveSession, Report, StoreFault, TurnedAway, World,
};
use crate::trust::{Direction, WantedList};

use self::inspect::Pending;
use self::reading::{Heard, sleep_until};
use super::connections::Counted;
use super::milters::Party;
use super::receive_events::{self, Accepted};
use super::session_log::SessionLog;
use super::shared::{ListenerTls, Shared};
use super::{linger, revocation};

/// Replies are flushed within this or the peer is taken to be gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Content gathered before it is appended to a message that has outgrown memory: each append may
/// block on the disk, and handing the thread's other work over for it costs more than the copy.
const APPEND_BYTES: usize = 256 << 10;

/// One connection being served.
struct Driver {
    shared: Arc<Shared>,
    opening: Opening,
    tls: Option<ListenerTls>,
    log: SessionLog,
    /// `None` only while the handshake has it.
    stream: Option<Stream>,
    session: ReceiveSession,
    actions: VecDeque<Action>,
    out: BytesMut,
    draft: Option<Draft>,
    /// Content of the draft not yet appended.
    gathered: Vec<u8>,
    /// What is held back until it has been checked.
    pending: Pending,
    milters: Party,
    /// Content failed to be kept; the rest of it is dropped.
    draft_failed: bool,
    /// When the content began, for accept-to-durable.
    draft_since: Instant,
    message: Option<Accepted>,
    /// Of that message, until it is told: what next hops did to it is told later.
    offer: Option<Offer>,
    /// The same for message tracking; and who holds the message.
    tracked: Tracked,
    held_by: Option<String>,
    closed: bool,
    /// `None`: turned away with the banner. Nothing was heard, and no time is lost on it.
    place: Option<Counted>,
    /// Not yet counted against the source.
    read_octets: u64,
}

/// Serves a connection to its end; one that got no place is told so and closed.
pub async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    opening: Opening,
    tls: Option<ListenerTls>,
    place: Result<Counted, TurnedAway>,
) {
    // One that is refused at once never was a connection of the connector.
    let gauge =
        place.is_ok().then(|| shared.observer.connection(Direction::Inbound, &opening.connector.name));
    let (place, refusal) = match place {
        Ok(place) => (Some(place), None),
        Err(refusal) => (None, Some(refusal)),
    };
    let Opening { connector, id, local, remote, .. } = &opening;
    let log = SessionLog::new(Direction::Inbound, &connector.name, *id, *local, *remote);
    let mut driver = Driver {
        log,
        session: ReceiveSession::new(opening.clone()),
        shared,
        opening,
        tls,
        stream: Some(Stream::Plain(stream)),
        actions: VecDeque::new(),
        out: BytesMut::new(),
        draft: None,
        gathered: Vec::new(),
        pending: Pending::default(),
        milters: Party::default(),
        draft_failed: false,
        draft_since: Instant::now(),
        message: None,
        offer: None,
        tracked: Tracked::default(),
        held_by: None,
        closed: false,
        place,
        read_octets: 0,
    };
    driver.input(Input::Connected(refusal));
    driver.run().await;
    driver.count_octets();
    drop(gauge);
}

impl Driver {
    async fn run(&mut self) {
        let draining = self.shared.draining.clone();
        let mut told_of_shutdown = false;
        self.act().await;
        while !self.closed {
            let deadline = self.session.deadline().map(tokio::time::Instant::from_std);
            let heard = tokio::select! {
                heard = self.hear() => Some(heard),
                () = sleep_until(deadline) => None,
                () = draining.cancelled(), if !told_of_shutdown => {
                    told_of_shutdown = true;
                    self.input(Input::Shutdown);
                    self.act().await;
                    continue;
                }
            };
            match heard {
                None => self.input(Input::Timeout),
                Some(Heard::End) => self.input(Input::Closed),
                Some(Heard::Bytes) => {}
            }
            self.act().await;
        }
    }

    /// Feeds the session and queues what it wants done.
    fn input(&mut self, input: Input<'_>) {
        let settings = self.shared.settings.load();
        let revocation = self.shared.revocation.load();
        let pressure = self.shared.back_pressure.level();
        let now = Shared::now();
        let auth_blocked = self.auth_blocked(now.mono);
        let world = World { settings: &settings, revocation: &revocation, now, pressure, auth_blocked };
        let mut actions = Vec::new();
        self.session.handle(input, world, &mut actions);
        self.actions.extend(actions);
    }

    /// Carries out all actions, and those that follow from their answers; then flushes.
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

    /// One action; `Break` after the last of a session.
    async fn perform(&mut self, action: Action) -> ControlFlow<()> {
        match action {
            Action::Send(bytes) => self.out.extend_from_slice(&bytes),
            Action::Delay(wait) => self.delay(wait).await,
            Action::StartTls => self.start_tls().await,
            Action::AskRate => self.ask_rate(),
            Action::AskPartnerRate(domain) => self.ask_partner_rate(&domain),
            Action::CountRecipient => self.count(Charge::Recipient, 1),
            Action::FetchRevocation(wanted) => self.fetch_revocation(wanted).await,
            Action::CheckPassword(attempt) => self.check_password(*attempt).await,
            Action::OpenDraft => self.open_draft(),
            Action::Content(bytes) => self.keep(&bytes),
            Action::Inspect(inspection) => self.inspect(inspection).await,
            Action::Hold(bytes) => self.hold(&bytes),
            Action::VerifyRecipient(address) => self.verify_recipient(&address).await,
            Action::AskMilters(question) => self.ask_milters(*question).await,
            Action::AppendHeld => self.append_held(),
            Action::Commit(submission) => {
                self.commit(*submission).await;
                self.milters.rest().await;
            }
            Action::DiscardDraft => {
                self.discard_draft();
                self.milters.rest().await;
            }
            Action::Log(line) => self.log.write(&self.shared, line).await,
            Action::Report(report) => self.report(report),
            Action::Close => {
                self.flush().await;
                self.close().await;
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// Keeps the client waiting, unless it is gone or the server drains.
    async fn delay(&mut self, wait: Duration) {
        if self.flush().await {
            let _ = timeout(wait, self.shared.draining.cancelled()).await;
        }
    }

    /// Writes what waits; false when the peer takes nothing more. Then nothing further is done for
    /// it, but what was found is still logged and told.
    async fn flush(&mut self) -> bool {
        if self.out.is_empty() {
            return true;
        }
        let out = self.out.split();
        let Some(stream) = self.stream.as_mut() else { return false };
        let written = timeout(WRITE_TIMEOUT, async {
            stream.write_all(&out).await?;
            stream.flush().await
        });
        let taken = matches!(written.await, Ok(Ok(())));
        if !taken {
            self.actions.retain(outlives_the_peer);
            self.input(Input::Closed);
        }
        taken
    }

    async fn close(&mut self) {
        self.closed = true;
        self.discard_draft();
        self.milters.leave().await;
        if let Some(mut stream) = self.stream.take() {
            let _ = timeout(Duration::from_secs(5), stream.shutdown()).await;
            if self.place.is_some() {
                linger::until_silent(&mut stream).await;
            }
        }
    }

    async fn start_tls(&mut self) {
        if !self.flush().await {
            return;
        }
        let plain = self.stream.take().and_then(Stream::into_plain);
        let (Some(plain), Some(tls)) = (plain, self.tls.clone()) else {
            self.input(Input::TlsFailed("no certificate is loaded for this connector".to_owned()));
            return;
        };
        let shared = Arc::clone(&self.shared);
        let is_known = self.place.as_ref().is_some_and(Counted::is_known);
        let Some(turn) = shared.handshakes.turn(is_known).await else {
            let reached = Reached { limit: Limit::Handshakes, scope: Scope::Connector };
            self.report(Report::LimitReached(reached));
            return self.input(Input::TlsFailed("too many TLS handshakes at one time".to_owned()));
        };
        match tls.tls.accept(plain, turn.patience).await {
            Ok((stream, evidence)) => {
                self.stream = Some(stream);
                self.input(Input::TlsEstablished(Arc::new(evidence)));
            }
            Err(error) => {
                if error.timed_out {
                    self.report(Report::LimitReached(Limit::HandshakeTime.of_session()));
                }
                self.input(Input::TlsFailed(error.to_string()));
            }
        }
    }

    async fn fetch_revocation(&mut self, wanted: Vec<WantedList>) {
        if self.flush().await {
            revocation::obtain(&self.shared, wanted).await;
            self.input(Input::RevocationRefreshed);
        }
    }

    fn open_draft(&mut self) {
        // Nothing that an earlier message may have left becomes a part of this one.
        self.discard_draft();
        self.draft_since = Instant::now();
        self.draft_failed = false;
        let opened = match self.begin_draft() {
            Ok(draft) => {
                let id = draft.id().to_string();
                self.draft = Some(draft);
                Ok(id)
            }
            Err(error) => Err(self.store_fault(&error)),
        };
        self.input(Input::DraftOpened(opened));
    }

    /// Takes content: into memory while the message is small, in large pieces to the disk then.
    fn keep(&mut self, bytes: &[u8]) {
        let Some(draft) = self.draft.as_mut().filter(|_| !self.draft_failed) else { return };
        if self.gathered.is_empty() && draft.has_room_in_memory(bytes.len()) {
            let appended = draft.append(bytes);
            return self.appended(appended);
        }
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= APPEND_BYTES {
            self.append_gathered();
        }
    }

    fn append_gathered(&mut self) {
        let gathered = std::mem::take(&mut self.gathered);
        let Some(draft) = self.draft.as_mut().filter(|_| !gathered.is_empty()) else { return };
        let appended = tokio::task::block_in_place(|| draft.append(&gathered));
        self.appended(appended);
    }

    fn appended(&mut self, appended: Result<(), sealpost_queue::Error>) {
        if let Err(error) = appended {
            self.draft_failed = true;
            self.discard_draft();
            let fault = self.store_fault(&error);
            self.input(Input::StoreFailed(fault));
        }
    }

    fn discard_draft(&mut self) {
        self.draft = None;
        self.pending.discard();
        self.gathered = Vec::new();
    }

    fn store_fault(&self, error: &sealpost_queue::Error) -> StoreFault {
        self.shared.observer.event(Event::StorageFailed { error: error.to_string() });
        match error {
            sealpost_queue::Error::DiskFull(_) => StoreFault::DiskFull,
            _ => StoreFault::Other,
        }
    }

    fn report(&mut self, report: Report) {
        if let Report::Authentication { failure: Some(_), .. } = &report {
            self.shared.auth_failures.failed(source_of(self.opening.remote.ip()), Instant::now());
        }
        self.count_report(&report);
        let evidence = self.session.evidence();
        if let Some(event) = receive_events::event(&self.opening, report, &mut self.message, evidence) {
            self.tell(event);
        }
    }
}

/// What is still to be done when nobody listens any more. The session closes by itself.
fn outlives_the_peer(action: &Action) -> bool {
    match action {
        Action::DiscardDraft | Action::Log(_) | Action::Report(_) | Action::CountRecipient => true,
        Action::Send(_)
        | Action::Delay(_)
        | Action::StartTls
        | Action::AskRate
        | Action::AskPartnerRate(_)
        | Action::FetchRevocation(_)
        | Action::CheckPassword(_)
        | Action::OpenDraft
        | Action::Content(_)
        | Action::Inspect(_)
        | Action::Hold(_)
        | Action::VerifyRecipient(_)
        | Action::AskMilters(_)
        | Action::AppendHeld
        | Action::Commit(_)
        | Action::Close => false,
    }
}
