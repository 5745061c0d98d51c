//! Pairs: our send session against our receive session in memory, over real TLS as `net` sets it
//! up. A seed decides messages, recipients and how the network cuts the octets.

#[path = "dialogues/pki.rs"]
#[allow(dead_code, reason = "the dialogues use more of it")]
mod pki;
#[path = "dialogues/world.rs"]
#[allow(dead_code, reason = "the dialogues use more of it")]
mod world;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use sealpost::mail::dsn::Requests;
use sealpost::mail::{Address, BodyType, Domain, Now, ReversePath, TlsRequired};
use sealpost::net::stream::Stream;
use sealpost::net::tls::{ClientTls, ServerTls};
use sealpost::policy::{AcceptedDomain, AllowedSenders, CheckMode, OwnCertificate, Settings, secure_domains};
use sealpost::session::receive::{self, ReceiveSession, Submission, World};
use sealpost::session::send::{self, Failure, Framing, Outcome, SendSession, Transaction};
use sealpost::smtp::{DataEncoder, SessionId};
use sealpost::trust::{Direction, Fault, RevocationSet};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use pki::{Identity, Pki, clock};

const HANDSHAKE: Duration = Duration::from_secs(20);

/// Xorshift: the same seed, the same run.
struct Seed(u64);

impl Seed {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    /// Lines full of dots, empty lines and octets above 127.
    fn message(&mut self) -> Vec<u8> {
        let mut message = b"From: kim@woodgrovebank.example\r\nSubject: seeded\r\n\r\n".to_vec();
        for _ in 0..self.below(60) {
            for _ in 0..self.below(120) {
                message.push([b'.', b'a', b' ', b'-', 0xC3, 0xBC][self.below(6)]);
            }
            message.extend_from_slice(b"\r\n");
        }
        message
    }
}

/// Two organisations and what they know of each other.
struct Pair {
    settings: Arc<Settings>,
    woodgrove: Identity,
    fabrikam: Identity,
    server: ServerTls,
    client: ClientTls,
    own: Arc<OwnCertificate>,
    pki: Pki,
}

/// What a connection came to, on both sides.
struct Outcomes {
    resumed: bool,
    outcomes: Vec<Vec<Outcome>>,
    failure: Option<Failure>,
    stored: Vec<(Submission, Vec<u8>)>,
    server_faults: Vec<Option<Fault>>,
}

impl Pair {
    fn new(version: &'static SupportedProtocolVersion) -> Self {
        let mut pki = Pki::new();
        let mut settings = world::settings(&pki);
        settings.accepted_domains.push(AcceptedDomain {
            name: world::domain("fabrikam.example"),
            recipients: None,
            from: AllowedSenders::Partners,
            verification: CheckMode::Off,
        });
        let mut connector = world::receive_connector();
        connector.max_message_size = 1 << 20;
        settings.receive_connectors.push(Arc::new(connector));
        let (woodgrove, fabrikam) = (pki.identity("woodgrove"), pki.identity("fabrikam"));
        let own = Arc::new(woodgrove.to_own("woodgrovebank.example"));
        Self {
            settings: Arc::new(settings),
            server: ServerTls::new(&fabrikam.to_own("fabrikam.example")).unwrap(),
            client: ClientTls::with_versions(Some(&own), &[version]).unwrap(),
            own,
            woodgrove,
            fabrikam,
            pki,
        }
    }

    fn nothing_revoked(&self) -> RevocationSet {
        self.pki.revocation(1, &[])
    }

    /// One connection that carries these messages.
    async fn connect(&self, messages: &[Vec<u8>], lists: &Lists, seed: &mut Seed) -> Outcomes {
        let (ours, theirs) = tokio::io::duplex(8192 + seed.below(8192));
        let opening = receive::Opening {
            id: SessionId(1),
            connector: Arc::clone(&self.settings.receive_connectors[0]),
            local: "192.0.2.25:25".parse().unwrap(),
            remote: "198.51.100.7:40000".parse().unwrap(),
            balancer: None,
            entropy: [0; 32],
            tls_available: true,
            certificate: None,
        };
        let server = Server {
            pair: self,
            revocation: Arc::new(lists.server.clone()),
            session: ReceiveSession::new(opening),
            stream: Some(Stream::Plain(theirs)),
            actions: VecDeque::new(),
            content: Vec::new(),
            stored: Vec::new(),
            faults: Vec::new(),
            piece: 1 + seed.below(700),
        };
        let client = Client {
            pair: self,
            revocation: &lists.client,
            session: SendSession::new(self.send_opening()),
            stream: Some(Stream::Plain(ours)),
            actions: VecDeque::new(),
            messages: messages.iter().cloned().collect(),
            current: Vec::new(),
            outcomes: Vec::new(),
            failure: None,
            resumed: false,
            piece: 1 + seed.below(700),
        };
        let both = async { tokio::join!(server.run(), client.run()) };
        let (server, client) =
            tokio::time::timeout(Duration::from_secs(20), both).await.expect("both sides come to an end");
        Outcomes {
            resumed: client.resumed,
            outcomes: client.outcomes,
            failure: client.failure,
            stored: server.stored,
            server_faults: server.faults,
        }
    }

    fn send_opening(&self) -> send::Opening {
        let to = world::domain("fabrikam.example");
        let requirement =
            secure_domains::requirement(&self.settings, Direction::Outbound, &to).expect("it is listed");
        send::Opening {
            entropy: [0; 32],
            id: SessionId(2),
            connector: Arc::new(world::send_connector()),
            local: "198.51.100.7:40000".parse().unwrap(),
            remote: "192.0.2.25:25".parse().unwrap(),
            host: "mx.fabrikam.example".to_owned(),
            requirement,
            fallback: None,
            own_certificate_fault: None,
            certificate: Some(Arc::clone(&self.own)),
            clear_text: false,
            fetch_revocation: false,
            message: None,
        }
    }
}

/// The revocation lists each side has.
struct Lists {
    server: RevocationSet,
    client: RevocationSet,
}

struct Server<'a> {
    pair: &'a Pair,
    revocation: Arc<RevocationSet>,
    session: ReceiveSession,
    stream: Option<Stream<DuplexStream>>,
    actions: VecDeque<receive::Action>,
    content: Vec<u8>,
    stored: Vec<(Submission, Vec<u8>)>,
    faults: Vec<Option<Fault>>,
    piece: usize,
}

impl Server<'_> {
    async fn run(mut self) -> Self {
        self.input(receive::Input::Connected(None));
        let mut buffer = vec![0; self.piece];
        loop {
            while let Some(action) = self.actions.pop_front() {
                if matches!(action, receive::Action::Close) {
                    if let Some(mut stream) = self.stream.take() {
                        let _ = stream.shutdown().await;
                    }
                    return self;
                }
                self.perform(action).await;
            }
            let stream = self.stream.as_mut().expect("closed only with Close");
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => self.input(receive::Input::Closed),
                Ok(count) => self.input(receive::Input::Bytes(&buffer[..count])),
            }
        }
    }

    fn input(&mut self, input: receive::Input<'_>) {
        let world = World {
            pressure: sealpost::policy::Pressure::Normal,
            auth_blocked: false,
            settings: &self.pair.settings,
            revocation: &self.revocation,
            now: Now { wall: clock(), mono: Instant::now() },
        };
        let mut actions = Vec::new();
        self.session.handle(input, world, &mut actions);
        self.actions.extend(actions);
    }

    async fn perform(&mut self, action: receive::Action) {
        match action {
            receive::Action::Send(bytes) => {
                let stream = self.stream.as_mut().expect("open");
                let written = stream.write_all(&bytes).await;
                if written.is_err() || stream.flush().await.is_err() {
                    self.actions.clear();
                    self.input(receive::Input::Closed);
                }
            }
            receive::Action::StartTls => {
                let plain = self.stream.take().and_then(Stream::into_plain).expect("in clear");
                match self.pair.server.accept(plain, HANDSHAKE).await {
                    Ok((stream, evidence)) => {
                        self.stream = Some(stream);
                        self.input(receive::Input::TlsEstablished(Arc::new(evidence)));
                    }
                    Err(error) => self.input(receive::Input::TlsFailed(error.to_string())),
                }
            }
            receive::Action::AskRate | receive::Action::AskPartnerRate(_) => {
                self.input(receive::Input::RateChecked(Ok(())));
            }
            receive::Action::FetchRevocation(_) => self.input(receive::Input::RevocationRefreshed),
            receive::Action::OpenDraft => {
                self.content.clear();
                self.input(receive::Input::DraftOpened(Ok("0000000000000001".to_owned())));
            }
            receive::Action::Content(bytes) => self.content.extend_from_slice(&bytes),
            receive::Action::Commit(submission) => {
                self.stored.push((*submission, std::mem::take(&mut self.content)));
                self.input(receive::Input::Stored(Ok(receive::Kept::Durable)));
            }
            receive::Action::Report(receive::Report::Judged(verdict)) => self.faults.push(verdict.fault()),
            receive::Action::Delay(_)
            | receive::Action::Inspect(_)
            | receive::Action::Hold(_)
            | receive::Action::AskMilters(_)
            | receive::Action::VerifyRecipient(_)
            | receive::Action::CheckPassword(_)
            | receive::Action::AppendHeld
            | receive::Action::DiscardDraft
            | receive::Action::Log(_)
            | receive::Action::Report(_)
            | receive::Action::CountRecipient
            | receive::Action::Close => {}
        }
    }
}

struct Client<'a> {
    pair: &'a Pair,
    revocation: &'a RevocationSet,
    session: SendSession,
    stream: Option<Stream<DuplexStream>>,
    actions: VecDeque<send::Action>,
    messages: VecDeque<Vec<u8>>,
    current: Vec<u8>,
    outcomes: Vec<Vec<Outcome>>,
    failure: Option<Failure>,
    resumed: bool,
    piece: usize,
}

impl Client<'_> {
    async fn run(mut self) -> Self {
        self.input(send::Input::Connected);
        let mut buffer = vec![0; self.piece];
        loop {
            while let Some(action) = self.actions.pop_front() {
                if matches!(action, send::Action::Close) {
                    if let Some(mut stream) = self.stream.take() {
                        let _ = stream.shutdown().await;
                    }
                    return self;
                }
                self.perform(action).await;
            }
            let stream = self.stream.as_mut().expect("closed only with Close");
            match stream.read(&mut buffer).await {
                Ok(0) => self.input(send::Input::Closed("end of stream".to_owned())),
                Err(error) => self.input(send::Input::Closed(error.to_string())),
                Ok(count) => self.input(send::Input::Bytes(&buffer[..count])),
            }
        }
    }

    fn input(&mut self, input: send::Input<'_>) {
        let now = Now { wall: clock(), mono: Instant::now() };
        let mut actions = Vec::new();
        self.session.handle(input, self.revocation, now, &mut actions);
        self.actions.extend(actions);
    }

    async fn write(&mut self, bytes: &[u8]) {
        let stream = self.stream.as_mut().expect("open");
        if stream.write_all(bytes).await.is_err() || stream.flush().await.is_err() {
            self.actions.clear();
            self.input(send::Input::Closed("broken pipe".to_owned()));
        }
    }

    async fn perform(&mut self, action: send::Action) {
        match action {
            send::Action::Send(bytes) => self.write(&bytes).await,
            send::Action::StartTls => {
                let plain = self.stream.take().and_then(Stream::into_plain).expect("in clear");
                match self.pair.client.connect(plain, "mx.fabrikam.example", HANDSHAKE).await {
                    Ok((stream, evidence, own)) => {
                        self.stream = Some(stream);
                        self.resumed = evidence.resumed;
                        self.input(send::Input::TlsEstablished(Arc::new(evidence), own));
                    }
                    Err(error) => self.input(send::Input::TlsFailed {
                        certificate_refused: error.certificate_refused,
                        error: error.error,
                    }),
                }
            }
            send::Action::FetchRevocation(_) => self.input(send::Input::RevocationRefreshed),
            send::Action::Ready => match self.messages.pop_front() {
                Some(message) => {
                    self.current = message;
                    let transaction = transaction(&self.current);
                    self.input(send::Input::Deliver(Box::new(transaction)));
                }
                None => self.input(send::Input::Finish),
            },
            send::Action::SendContent(framing) => {
                let message = std::mem::take(&mut self.current);
                let wire = match framing {
                    Framing::Dot => {
                        let (mut encoder, mut wire) = (DataEncoder::new(), Vec::new());
                        for piece in message.chunks(self.piece) {
                            encoder.encode(piece, &mut wire);
                        }
                        encoder.finish(&mut wire);
                        wire
                    }
                    Framing::Counted(octets) => {
                        assert_eq!(octets, message.len() as u64);
                        message
                    }
                };
                self.write(&wire).await;
                self.input(send::Input::ContentSent);
            }
            send::Action::Done(outcomes) => self.outcomes.push(outcomes),
            send::Action::Failed(failure) => self.failure = Some(*failure),
            send::Action::Log(_) | send::Action::Report(_) | send::Action::Close => {}
        }
    }
}

fn transaction(message: &[u8]) -> Transaction {
    let address = |text: &str| Address::parse(text).unwrap();
    let binary = message.contains(&0);
    Transaction {
        message: None,
        reverse_path: ReversePath::Address(address("kim@woodgrovebank.example")),
        recipients: vec![address("adam@fabrikam.example"), address("eve@elsewhere.example")],
        body: if binary { BodyType::BinaryMime } else { BodyType::SevenBit },
        smtputf8: false,
        eight_bit: !message.is_ascii(),
        binary,
        size: message.len() as u64,
        octets: message.len() as u64,
        dsn: Requests::default(),
        tls_required: TlsRequired::Unstated,
    }
}

fn assert_delivered(outcomes: &Outcomes, messages: &[Vec<u8>]) {
    assert!(outcomes.failure.is_none(), "{:?}", outcomes.failure);
    assert_eq!(outcomes.outcomes.len(), messages.len());
    for outcome in &outcomes.outcomes {
        assert!(
            matches!(
                outcome.as_slice(),
                [Outcome::Delivered { .. }, Outcome::Refused { command: "RCPT", from_peer: true, .. }]
            ),
            "{outcome:?}"
        );
    }
    assert_eq!(outcomes.stored.len(), messages.len());
    for ((submission, stored), message) in outcomes.stored.iter().zip(messages) {
        assert!(stored.ends_with(message), "content arrives octet by octet");
        assert!(stored.starts_with(b"Received: from mail.contoso.example"));
        let secured = submission.permit.secured_domain().map(Domain::as_str);
        assert_eq!(secured, Some("woodgrovebank.example"));
        let body = &message[message.windows(4).position(|four| four == b"\r\n\r\n").unwrap()..];
        assert_eq!(submission.eight_bit, !body.is_ascii());
    }
}

#[tokio::test]
async fn seeded_messages_arrive_octet_by_octet() {
    for seed in 1..=24 {
        let mut random = Seed::new(seed);
        let version = if random.below(2) == 0 { &TLS12 } else { &TLS13 };
        let pair = Pair::new(version);
        let lists = Lists { server: pair.nothing_revoked(), client: pair.nothing_revoked() };
        for connection in 0..2 {
            let messages: Vec<Vec<u8>> = (0..=random.below(3)).map(|_| random.message()).collect();
            let outcomes = pair.connect(&messages, &lists, &mut random).await;
            assert_eq!(outcomes.resumed, connection > 0, "seed {seed}");
            assert_delivered(&outcomes, &messages);
        }
    }
}

/// Lines that are none, dots, NUL and all other octets; the end may stand anywhere.
fn binary_message(seed: &mut Seed) -> Vec<u8> {
    let mut message = b"From: kim@woodgrovebank.example\r\nSubject: binary\r\n\r\n\0".to_vec();
    for _ in 0..seed.below(6000) {
        message.push([b'.', b'\r', b'\n', 0, 0xFF, b'Q'][seed.below(6)]);
    }
    message
}

/// By BDAT, between messages that go by DATA.
#[tokio::test]
async fn binary_messages_arrive_octet_by_octet() {
    for seed in 1..=8 {
        let mut random = Seed::new(seed);
        let pair = Pair::new(&TLS13);
        let lists = Lists { server: pair.nothing_revoked(), client: pair.nothing_revoked() };
        let messages = [binary_message(&mut random), random.message(), binary_message(&mut random)];
        let outcomes = pair.connect(&messages, &lists, &mut random).await;
        assert_delivered(&outcomes, &messages);
        let binary: Vec<bool> = outcomes.stored.iter().map(|(submission, _)| submission.binary).collect();
        assert_eq!(binary, [true, false, true], "seed {seed}");
    }
}

/// The certificate the client shows is revoked between a first session and one that resumes it.
#[tokio::test]
async fn a_client_revoked_between_first_and_resumed_session_is_refused() {
    for version in [&TLS12, &TLS13] {
        let pair = Pair::new(version);
        let mut seed = Seed::new(7);
        let message = vec![seed.message()];
        let good = Lists { server: pair.nothing_revoked(), client: pair.nothing_revoked() };
        assert_delivered(&pair.connect(&message, &good, &mut seed).await, &message);

        let revoked =
            Lists { server: pair.pki.revocation(2, &[&pair.woodgrove]), client: pair.nothing_revoked() };
        let outcomes = pair.connect(&message, &revoked, &mut seed).await;
        assert!(outcomes.resumed, "{version:?}");
        assert_eq!(outcomes.server_faults, vec![Some(Fault::Revoked)]);
        assert!(outcomes.stored.is_empty());
        for outcome in &outcomes.outcomes[0] {
            assert!(
                matches!(outcome, Outcome::Refused { reply, command: "MAIL", from_peer: true, .. } if reply.code == 550),
                "{outcome:?}"
            );
        }
    }
}

/// The same with the server's certificate: the client says no MAIL.
#[tokio::test]
async fn a_server_revoked_between_first_and_resumed_session_gets_no_mail() {
    for version in [&TLS12, &TLS13] {
        let pair = Pair::new(version);
        let mut seed = Seed::new(11);
        let message = vec![seed.message()];
        let good = Lists { server: pair.nothing_revoked(), client: pair.nothing_revoked() };
        assert_delivered(&pair.connect(&message, &good, &mut seed).await, &message);

        let revoked =
            Lists { server: pair.nothing_revoked(), client: pair.pki.revocation(2, &[&pair.fabrikam]) };
        let outcomes = pair.connect(&message, &revoked, &mut seed).await;
        assert!(outcomes.resumed, "{version:?}");
        assert!(outcomes.stored.is_empty() && outcomes.outcomes.is_empty());
        assert!(
            matches!(&outcomes.failure, Some(Failure::NotAdmitted(v)) if v.fault() == Some(Fault::Revoked)),
            "{:?}",
            outcomes.failure
        );
    }
}
