//! One conversation with a next hop that sends no mail: the server's own send session, asked for no
//! more than encryption, so that it goes on to the first words inside TLS whatever the certificates
//! are worth. What they are worth is judged afterwards, by the same judge.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::net::stream::Stream;
use crate::net::tls::{self, ClientTls, HandshakeError};
use crate::relay::shared::Shared;
use crate::session::send::{Action, Failure, Input, Opening, OwnCertificate, SendSession};
use crate::session::transcript::{Line, LineKind};
use crate::trust::{RevocationSet, TlsEvidence};

/// A reply, a write or the handshake; the server itself is more patient.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);
/// Lines kept of a conversation.
const LINES_MAX: usize = 200;

/// What came of it.
#[derive(Default)]
pub struct Talk {
    pub lines: Vec<String>,
    /// How the handshake ended, if it came to one.
    pub tls: Option<Result<(Arc<TlsEvidence>, OwnCertificate), HandshakeError>>,
    pub failure: Option<Failure>,
    /// The peer said something inside TLS.
    pub heard_inside: bool,
}

struct Driver<'a> {
    stream: Option<Stream>,
    session: SendSession,
    actions: VecDeque<Action>,
    tls: &'a ClientTls,
    host: String,
    lists: RevocationSet,
    talk: Talk,
}

/// Greets, starts TLS, greets again, says goodbye.
pub async fn talk(stream: TcpStream, opening: Opening, tls: &ClientTls) -> Talk {
    let mut driver = Driver {
        stream: Some(Stream::Plain(stream)),
        host: opening.host.clone(),
        session: SendSession::new(opening),
        actions: VecDeque::new(),
        tls,
        lists: RevocationSet::default(),
        talk: Talk::default(),
    };
    driver.input(Input::Connected);
    driver.run().await;
    driver.talk
}

impl Driver<'_> {
    async fn run(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            while let Some(action) = self.actions.pop_front() {
                if matches!(action, Action::Close) {
                    if let Some(mut stream) = self.stream.take() {
                        let _ = timeout(Duration::from_secs(2), stream.shutdown()).await;
                    }
                    return;
                }
                self.perform(action).await;
            }
            let Some(stream) = self.stream.as_mut() else { return };
            let latest = Instant::now() + STEP_TIMEOUT;
            let deadline = self.session.deadline().unwrap_or(latest).min(latest);
            match tokio::time::timeout_at(deadline.into(), stream.read(&mut buffer)).await {
                Err(_) => self.input(Input::Timeout),
                Ok(Ok(0)) => self.input(Input::Closed("the peer closed the connection".to_owned())),
                Ok(Err(error)) => self.input(Input::Closed(tls::describe(&error))),
                Ok(Ok(count)) => {
                    self.talk.heard_inside |= matches!(self.talk.tls, Some(Ok(_)));
                    self.input(Input::Bytes(&buffer[..count]));
                }
            }
        }
    }

    fn input(&mut self, input: Input<'_>) {
        let mut actions = Vec::new();
        self.session.handle(input, &self.lists, Shared::now(), &mut actions);
        self.actions.extend(actions);
    }

    async fn perform(&mut self, action: Action) {
        match action {
            Action::Send(bytes) => self.write(&bytes).await,
            Action::StartTls => self.start_tls().await,
            // Judged afterwards, by the lists at hand.
            Action::FetchRevocation(_) => self.input(Input::RevocationRefreshed),
            // No mail: what was to be learned is learned.
            Action::Ready => self.input(Input::Finish),
            Action::Failed(failure) => self.talk.failure = Some(*failure),
            Action::Log(line) => self.keep(&line),
            Action::SendContent(_) | Action::Done(_) | Action::Report(_) | Action::Close => {}
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        let Some(stream) = self.stream.as_mut() else { return };
        let written = timeout(STEP_TIMEOUT, async {
            stream.write_all(bytes).await?;
            stream.flush().await
        });
        let error = match written.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => tls::describe(&error),
            Err(_) => format!("the peer took no data for {} s", STEP_TIMEOUT.as_secs()),
        };
        self.actions.clear();
        self.input(Input::Closed(error));
    }

    async fn start_tls(&mut self) {
        let Some(plain) = self.stream.take().and_then(Stream::into_plain) else { return };
        let shaken = self.tls.connect(plain, &self.host, STEP_TIMEOUT).await;
        match shaken {
            Ok((stream, evidence, own)) => {
                let evidence = Arc::new(evidence);
                self.stream = Some(stream);
                self.talk.tls = Some(Ok((Arc::clone(&evidence), own)));
                self.input(Input::TlsEstablished(evidence, own));
            }
            Err(error) => {
                self.talk.tls = Some(Err(error.clone()));
                let HandshakeError { error, certificate_refused, timed_out: _ } = error;
                self.input(Input::TlsFailed { error, certificate_refused });
            }
        }
    }

    /// Certificates and verdict are told in their own words; the rest as in the protocol log.
    fn keep(&mut self, line: &Line) {
        let told = match line.kind {
            LineKind::Sent | LineKind::Received => true,
            LineKind::Information => matches!(line.context.as_str(), "TLS not started" | "Protocol error"),
            LineKind::Connect | LineKind::Disconnect => false,
        };
        if told && self.talk.lines.len() < LINES_MAX {
            self.talk.lines.push(line.to_string());
        }
    }
}
