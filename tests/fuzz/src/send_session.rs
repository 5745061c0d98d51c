//! The send session, played by a server that means harm. The first octet says what the server shows
//! in the handshake, the second what is demanded of it, the third which message goes first; the rest
//! is a script (`lab::steps`): what the server says, and events.
//!
//! Besides not panicking, the session must: say MAIL to nobody who did not prove what is demanded;
//! say clean lines only, and the same however the octets are split; take nothing for delivered
//! without a 2xx to the end of content that was sent; answer each message with one outcome for each
//! recipient; and do nothing behind Close.

use std::sync::Arc;
use std::time::Duration;

use sealpost::mail::dsn::Requests;
use sealpost::mail::{Address, BodyType, Domain, ReversePath, TlsRequired};
use sealpost::policy::{SendConnector, secure_domains};
use sealpost::session::send::{
    Action, Failure, Input, Opening, Outcome, OwnCertificate, SendSession, Transaction,
};
use sealpost::smtp::SessionId;
use sealpost::trust::{Direction, Level, Requirement, RevocationSet, TlsVersion};

use super::lab::{LAB, OURS, PARTNER, REHEARSING, Shown, Step, assert_same, lines, steps};

const OCTETS: usize = 1;
const PIECES: usize = usize::MAX;
/// Messages that wait for the connection.
const MESSAGES: usize = 4;

pub fn run(input: &[u8]) {
    let [shown, way, first, script @ ..] = input else { return };
    let script = steps(script);
    let by_pieces = Player::new(*shown, *way, *first, PIECES).play(&script);
    let by_octets = Player::new(*shown, *way, *first, OCTETS).play(&script);
    // Clear text behind the 220 is noticed before the handshake or behind it, as the pieces are.
    if !by_octets.injected {
        assert_same("what is said", &lines(&by_pieces.sent), &lines(&by_octets.sent));
        assert_same("what comes of it", &by_pieces.outcomes, &by_octets.outcomes);
    }
}

/// What is demanded of the server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Demanded {
    /// It is a listed partner's.
    Listed,
    Nothing,
    /// A partner's in report mode: TLS, and no more.
    Rehearsing,
    /// A chain to an anchor, and there is none.
    Validation,
}

/// What the session awaits of its driver; given before the next step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Handshake,
    Lists,
    Message,
    Content,
}

struct Player {
    session: SendSession,
    shown: Shown,
    version: TlsVersion,
    own: OwnCertificate,
    own_is_valid: bool,
    demanded: Demanded,
    piece: usize,
    lists: Arc<RevocationSet>,
    passed: Duration,
    handshake_fails: Option<bool>,
    awaited: Option<Awaited>,
    encrypted: bool,
    closed: bool,
    next: usize,
    left: usize,
    /// Recipients of the message in hand, and whether its content went out.
    in_hand: Option<(usize, bool)>,
    played: Played,
}

#[derive(Default)]
struct Played {
    sent: Vec<u8>,
    outcomes: Vec<String>,
    injected: bool,
}

impl Player {
    fn new(shown: u8, way: u8, first: u8, piece: usize) -> Self {
        let demanded = match way & 3 {
            0 => Demanded::Listed,
            1 => Demanded::Nothing,
            2 => Demanded::Rehearsing,
            _ => Demanded::Validation,
        };
        let own_is_valid = way & 8 == 0;
        let (requirement, fallback) = demanded.requirement();
        let lists = if way & 32 == 0 { Arc::clone(&LAB.lists) } else { Arc::default() };
        let mut connector = SendConnector::clone(&LAB.settings.send_connectors[0]);
        connector.implicit_tls = way & 128 != 0;
        let opening = Opening {
            id: SessionId(0x08D6_75E5_8CA1_DA39),
            connector: Arc::new(connector),
            local: "192.0.2.25:40000".parse().expect("an address"),
            remote: "203.0.113.25:25".parse().expect("an address"),
            host: "mx.woodgrove.example".to_owned(),
            entropy: [7; 32],
            requirement,
            fallback,
            own_certificate_fault: (!own_is_valid).then(|| "it expired yesterday".to_owned()),
            certificate: LAB.settings.certificates.first().cloned(),
            clear_text: way & 16 != 0,
            fetch_revocation: way & 32 != 0,
            message: None,
        };
        Self {
            session: SendSession::new(opening),
            shown: Shown::of(shown),
            version: if shown & 8 == 0 { TlsVersion::Tls13 } else { TlsVersion::Tls12 },
            own: if way & 4 == 0 { OwnCertificate::Sent } else { OwnCertificate::NotRequested },
            own_is_valid,
            demanded,
            piece,
            lists,
            passed: Duration::ZERO,
            handshake_fails: None,
            awaited: None,
            encrypted: false,
            closed: false,
            next: usize::from(first),
            left: MESSAGES,
            in_hand: None,
            played: Played::default(),
        }
    }

    fn play(mut self, script: &[Step<'_>]) -> Played {
        self.input(Input::Connected);
        for step in script {
            match step {
                Step::Bytes(bytes) => {
                    self.answer();
                    for piece in bytes.chunks(self.piece) {
                        self.played.injected |= self.awaited == Some(Awaited::Handshake);
                        self.input(Input::Bytes(piece));
                    }
                }
                Step::Event(event) => self.event(*event),
            }
        }
        self.answer();
        self.input(Input::Closed("the peer closed the connection".to_owned()));
        assert!(self.closed, "a session whose peer is gone lives on");
        assert!(self.in_hand.is_none(), "nobody told what became of a message");
        assert!(self.session.deadline().is_none());
        for line in self.session.transcript_tail() {
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
        check_commands(&self.played.sent);
        self.played
    }

    /// T timeout, C closed, H and h a handshake that fails, s content that cannot be read, E and
    /// whatever else: nothing, so that what stands on both sides of it comes one after the other;
    /// E leaves content unfinished.
    fn event(&mut self, event: u8) {
        match event {
            b'H' => self.handshake_fails = Some(false),
            b'h' => self.handshake_fails = Some(true),
            b'E' if self.awaited == Some(Awaited::Content) => return,
            b's' if self.awaited == Some(Awaited::Content) => {
                self.awaited = None;
                return self.input(Input::ContentFailed("disk error".to_owned()));
            }
            _ => {}
        }
        self.answer();
        match event {
            b'T' => {
                if let Some(deadline) = self.session.deadline() {
                    self.passed = self.passed.max(deadline.duration_since(LAB.now.mono));
                    self.input(Input::Timeout);
                }
            }
            b'C' => self.input(Input::Closed("connection reset by peer".to_owned())),
            _ => {}
        }
    }

    /// Gives what the session awaits.
    fn answer(&mut self) {
        while let Some(awaited) = self.awaited.take() {
            match awaited {
                Awaited::Handshake => match self.handshake_fails.take() {
                    Some(certificate_refused) => {
                        let error = "the peer sent an alert".to_owned();
                        self.input(Input::TlsFailed { error, certificate_refused });
                    }
                    None => {
                        self.encrypted = true;
                        let evidence = LAB.evidence(self.shown, self.version);
                        self.input(Input::TlsEstablished(evidence, self.own));
                    }
                },
                Awaited::Lists => {
                    self.lists = Arc::clone(&LAB.lists);
                    self.input(Input::RevocationRefreshed);
                }
                Awaited::Message if self.left == 0 => self.input(Input::Finish),
                Awaited::Message => {
                    let transaction = transaction(self.next);
                    self.left -= 1;
                    self.next += 1;
                    self.in_hand = Some((transaction.recipients.len(), false));
                    self.input(Input::Deliver(Box::new(transaction)));
                }
                Awaited::Content => {
                    if let Some((_, sent)) = &mut self.in_hand {
                        *sent = true;
                    }
                    self.input(Input::ContentSent);
                }
            }
        }
    }

    fn input(&mut self, input: Input<'_>) {
        let was_closed = self.closed;
        let may_close_again = matches!(input, Input::Timeout | Input::Closed(_));
        let mut actions = Vec::new();
        self.session.handle(input, &self.lists, LAB.now_and(self.passed), &mut actions);
        for action in actions {
            let told =
                matches!(action, Action::Done(_)) || may_close_again && matches!(action, Action::Close);
            assert!(!was_closed || told, "{action:?} behind Close");
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Send(bytes) => {
                if bytes.starts_with(b"MAIL ") || memchr::memmem::find(&bytes, b"\r\nMAIL ").is_some() {
                    assert!(self.is_permitted(), "MAIL without a permit");
                }
                self.played.sent.extend_from_slice(&bytes);
            }
            Action::StartTls => {
                assert!(!self.encrypted, "TLS within TLS");
                self.awaits(Awaited::Handshake);
            }
            Action::FetchRevocation(_) => self.awaits(Awaited::Lists),
            Action::Ready => self.awaits(Awaited::Message),
            Action::SendContent(_) => self.awaits(Awaited::Content),
            Action::Done(outcomes) => self.done(&outcomes),
            Action::Failed(failure) => {
                let text = match *failure {
                    Failure::NotAdmitted(verdict) => format!("{:?}", verdict.fault()),
                    Failure::Refused { reply, command, .. } => format!("{command} {reply}"),
                    Failure::Broken { retry_in_clear, .. } => {
                        assert!(!retry_in_clear || self.demanded == Demanded::Nothing);
                        "broken".to_owned()
                    }
                };
                self.played.outcomes.push(text);
            }
            Action::Log(_) | Action::Report(_) => {}
            Action::Close => {
                self.closed = true;
                self.awaited = None;
            }
        }
    }

    fn awaits(&mut self, awaited: Awaited) {
        assert!(self.awaited.replace(awaited).is_none(), "two answers are awaited at a time");
    }

    fn is_permitted(&self) -> bool {
        match self.demanded {
            Demanded::Listed => {
                let ours = self.own_is_valid && self.own == OwnCertificate::Sent;
                self.encrypted && self.shown == Shown::Partner && ours
            }
            Demanded::Nothing => true,
            Demanded::Rehearsing => self.encrypted,
            Demanded::Validation => false,
        }
    }

    fn done(&mut self, outcomes: &[Outcome]) {
        let (recipients, content_sent) = self.in_hand.take().expect("outcomes of a message in hand");
        assert_eq!(outcomes.len(), recipients);
        for outcome in outcomes {
            let text = match outcome {
                Outcome::Delivered { reply, takes_dsn } => {
                    assert!(content_sent && reply.code / 100 == 2, "delivered by {reply}");
                    format!("delivered {takes_dsn} {reply}")
                }
                Outcome::Taken { reply } => panic!("nobody asked whether it would be taken: {reply}"),
                Outcome::Refused { reply, command, .. } => {
                    assert!(reply.is_permanent() || reply.is_transient(), "refused by {reply}");
                    format!("refused {command} {reply}")
                }
                Outcome::Broken { in_doubt, .. } => {
                    assert!(!in_doubt || content_sent);
                    format!("broken {in_doubt}")
                }
            };
            self.played.outcomes.push(text);
        }
    }
}

impl Demanded {
    fn requirement(self) -> (Requirement, Option<Requirement>) {
        let settings = &LAB.settings;
        let domain = |name| Domain::parse(name).expect("a domain");
        let ordinary =
            |name, level| secure_domains::ordinary(settings, Direction::Outbound, &domain(name), level);
        let listed = |name| {
            secure_domains::requirement(settings, Direction::Outbound, &domain(name))
                .expect("a listed domain")
        };
        match self {
            Demanded::Listed => (listed(PARTNER), None),
            Demanded::Nothing => (ordinary("litware.example", Level::None), None),
            Demanded::Rehearsing => (listed(REHEARSING), Some(ordinary(REHEARSING, Level::EncryptionOnly))),
            Demanded::Validation => (ordinary("litware.example", Level::DomainValidation), None),
        }
    }
}

/// Messages that need something different of a server each.
fn transaction(number: usize) -> Transaction {
    let address = |text: &str| Address::parse(text).expect("an address");
    let ordinary = Transaction {
        message: None,
        reverse_path: ReversePath::Address(address(&format!("alice@{OURS}"))),
        recipients: vec![address(&format!("bob@{PARTNER}")), address(&format!("eve@{PARTNER}"))],
        body: BodyType::SevenBit,
        smtputf8: false,
        eight_bit: false,
        binary: false,
        size: 4096,
        octets: 4096,
        dsn: Requests::default(),
        tls_required: TlsRequired::Unstated,
    };
    match number % 5 {
        0 => ordinary,
        1 => Transaction { eight_bit: true, body: BodyType::EightBitMime, ..ordinary },
        2 => {
            Transaction {
                smtputf8: true, recipients: vec![address(&format!("bjørn@{PARTNER}"))], ..ordinary
            }
        }
        3 => Transaction { tls_required: TlsRequired::Yes, ..ordinary },
        _ => Transaction { reverse_path: ReversePath::Null, ..ordinary },
    }
}

/// Lines that no server could take for two (RFC 5321 2.3.8).
fn check_commands(sent: &[u8]) {
    let sent = std::str::from_utf8(sent).expect("commands are text");
    assert!(sent.is_empty() || sent.ends_with("\r\n"));
    for line in sent.split_terminator("\r\n") {
        assert!(!line.chars().any(char::is_control) && line.len() <= 510, "{line:?}");
    }
}
