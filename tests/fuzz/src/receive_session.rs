//! The receive session, played by a client that means harm, with TLS, store and clock as inputs. The
//! first octet says what the client shows in the handshake, the second which connector it meets; the
//! rest is a script (`lab::steps`).
//!
//! Besides not panicking, the session must: answer in clean lines and the same however the octets
//! are split; take the end of content nowhere but behind CRLF "." CRLF; store what the client sent,
//! no bare CR, LF or NUL in it; keep its promises to the driver (each draft committed or given back,
//! nothing behind Close); and store mail of a listed domain only from a client that proved it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sealpost::mail::ReversePath;
use sealpost::mail::header::{Field, HeaderSection, split};
use sealpost::policy::limits;
use sealpost::policy::{Check, Finding, Limit, Outcome, Pressure, ReceiveConnector};
use sealpost::session::receive::{
    Action, Input, Inspection, Kept, Opening, ReceiveSession, Report, StoreFault, Submission, World,
};
use sealpost::smtp::SessionId;
use sealpost::trust::{RevocationSet, TlsVersion};

use super::lab::{LAB, PARTNER, REHEARSING, Shown, Step, assert_same, lines, steps};

/// Sessions are played twice: in the pieces of the script, and octet by octet.
const OCTETS: usize = 1;
const PIECES: usize = usize::MAX;

const TIMED_OUT: &[u8] = b"421 4.4.2 Connection timed out, closing transmission channel\r\n";

/// As the settings of the lab have it.
const SIZE_MAX: u64 = 1024;

pub fn run(input: &[u8]) {
    let [shown, way, script @ ..] = input else { return };
    let script = steps(script);
    let by_pieces = Player::new(*shown, *way, PIECES).play(&script);
    let by_octets = Player::new(*shown, *way, OCTETS).play(&script);
    // Clear text behind STARTTLS is noticed before the 220 or behind it; a draft that fails does so at
    // the first octets handed to it; of content with a bare CR, LF or NUL and a header section that is
    // refused as well, that is said which came to notice first; behind a line that was dropped, a session
    // out of time may answer one line more. All four depend on the pieces.
    let is_bare = |played: &Played| memchr::memmem::find(&played.sent, b"550 5.6.0 ").is_some();
    let is_bare = is_bare(&by_pieces) || is_bare(&by_octets);
    let store_failed = by_pieces.store_failed || by_octets.store_failed;
    let out_of_time = [&by_pieces, &by_octets].iter().any(|played| played.sent.ends_with(TIMED_OUT));
    if !by_octets.injected && !is_bare && !store_failed {
        let (by_pieces_sent, by_octets_sent) = (lines(&by_pieces.sent), lines(&by_octets.sent));
        if out_of_time {
            let before = by_pieces_sent.len().min(by_octets_sent.len()).saturating_sub(1);
            assert_same("what is answered", &by_pieces_sent[..before], &by_octets_sent[..before]);
        } else {
            assert_same("what is answered", &by_pieces_sent, &by_octets_sent);
            assert_same("what happens", &by_pieces.happened, &by_octets.happened);
        }
        let stored = |played: &Played| lines(&played.stored.concat());
        assert_same("what is stored", &stored(&by_pieces), &stored(&by_octets));
    }
}

struct Player {
    session: ReceiveSession,
    shown: Shown,
    version: TlsVersion,
    piece: usize,
    /// The connector has domain security.
    judges: bool,
    lists: Arc<RevocationSet>,
    pressure: Pressure,
    passed: Duration,
    /// STARTTLS awaits the handshake, which begins with the next event or at the end.
    handshaking: bool,
    encrypted: bool,
    closed: bool,
    fails: Fails,
    draft: Option<Vec<u8>>,
    /// Content that waits to be inspected, and how much of it is header section.
    held: Vec<u8>,
    held_head: usize,
    /// What is there of the draft is not the whole.
    draft_failed: bool,
    /// Octets since the last 354, until it is answered.
    content: Option<Vec<u8>>,
    played: Played,
}

/// What is to fail next.
#[derive(Default)]
struct Fails {
    handshake: bool,
    rate: bool,
    draft: Option<StoreFault>,
    content: Option<StoreFault>,
    commit: Option<StoreFault>,
    inspection: Option<StoreFault>,
    check: bool,
}

#[derive(Default)]
struct Played {
    sent: Vec<u8>,
    happened: Vec<String>,
    stored: Vec<Vec<u8>>,
    store_failed: bool,
    injected: bool,
    accepted: usize,
}

impl Player {
    fn new(shown: u8, way: u8, piece: usize) -> Self {
        let name = match (way & 1, way & 32) {
            (0, 0) => "Internet, checked",
            (0, _) => "Internet",
            (_, 0) => "Internal, checked",
            (_, _) => "Internal",
        };
        let mut connector = ReceiveConnector::clone(LAB.connector(name));
        connector.implicit_tls = way & 128 != 0;
        let judges = connector.domain_secure_enabled;
        let opening = Opening {
            id: SessionId(0x08D6_75E5_8CA1_DA38),
            local: connector.bindings[0],
            remote: "198.51.100.7:40000".parse().expect("an address"),
            tls_available: way & 2 == 0,
            certificate: LAB.settings.certificates.first().cloned(),
            balancer: None,
            entropy: [7; 32],
            connector: Arc::new(connector),
        };
        Self {
            session: ReceiveSession::new(opening),
            shown: Shown::of(shown),
            version: if shown & 8 == 0 { TlsVersion::Tls13 } else { TlsVersion::Tls12 },
            piece,
            judges,
            lists: if way & 4 == 0 { Arc::clone(&LAB.lists) } else { Arc::default() },
            pressure: match way >> 3 & 3 {
                0 | 1 => Pressure::Normal,
                2 => Pressure::Medium,
                _ => Pressure::High,
            },
            passed: Duration::ZERO,
            handshaking: false,
            encrypted: false,
            closed: false,
            fails: Fails::default(),
            draft: None,
            held: Vec::new(),
            held_head: 0,
            draft_failed: false,
            content: None,
            played: Played::default(),
        }
    }

    fn play(mut self, script: &[Step<'_>]) -> Played {
        self.input(Input::Connected(None));
        for step in script {
            match step {
                Step::Bytes(bytes) => bytes.chunks(self.piece).for_each(|piece| self.bytes(piece)),
                Step::Event(event) => self.event(*event),
            }
        }
        self.handshake();
        self.input(Input::Closed);
        assert!(self.closed, "a session whose peer is gone lives on");
        assert!(self.draft.is_none(), "a draft was neither committed nor given back");
        assert!(self.session.deadline().is_none());
        check_replies(&self.played.sent);
        let queued = memchr::memmem::find_iter(&self.played.sent, b"Queued mail for delivery\r\n").count();
        assert_eq!((queued, self.played.stored.len()), (self.played.accepted, self.played.accepted));
        self.played
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if self.closed {
            return;
        }
        if let Some(content) = &mut self.content {
            content.extend_from_slice(bytes);
        }
        let injected = self.handshaking;
        self.played.injected |= injected;
        self.input(Input::Bytes(bytes));
        assert!(!injected || self.closed, "clear text behind STARTTLS was let pass");
        if self.piece == OCTETS && !self.closed {
            let ended = self.content.as_deref().is_some_and(|content| end_of_data(content).is_some());
            assert!(!ended, "the end of content was passed over");
        }
    }

    /// T timeout, W a while, C closed, S shutdown; H, R, D, F, K, k, P, Q: what fails next.
    fn event(&mut self, event: u8) {
        self.handshake();
        match event {
            b'T' => {
                if let Some(deadline) = self.session.deadline() {
                    self.passed = self.passed.max(deadline.duration_since(LAB.now.mono));
                    self.input(Input::Timeout);
                }
            }
            b'W' => self.passed += Duration::from_secs(20),
            b'C' => self.input(Input::Closed),
            b'S' => self.input(Input::Shutdown),
            b'H' => self.fails.handshake = true,
            b'R' => self.fails.rate = true,
            b'D' => self.fails.draft = Some(StoreFault::DiskFull),
            b'F' => self.fails.content = Some(StoreFault::Other),
            b'K' => self.fails.commit = Some(StoreFault::DiskFull),
            b'P' => self.fails.inspection = Some(StoreFault::Other),
            b'Q' => self.fails.check = true,
            b'k' => self.fails.commit = Some(StoreFault::Other),
            _ => {}
        }
    }

    fn handshake(&mut self) {
        if !std::mem::take(&mut self.handshaking) || self.closed {
            return;
        }
        if std::mem::take(&mut self.fails.handshake) {
            return self.input(Input::TlsFailed("no cipher suite in common".to_owned()));
        }
        self.encrypted = true;
        self.input(Input::TlsEstablished(LAB.evidence(self.shown, self.version)));
    }

    fn input(&mut self, input: Input<'_>) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let world = World {
                settings: &LAB.settings,
                revocation: &self.lists,
                now: LAB.now_and(self.passed),
                pressure: self.pressure,
                auth_blocked: false,
            };
            let mut actions = Vec::new();
            let unanswered = !matches!(input, Input::Bytes(_));
            self.session.handle(input, world, &mut actions);
            for action in actions {
                assert!(
                    !self.closed || unanswered && matches!(action, Action::Close),
                    "{action:?} behind Close"
                );
                inputs.extend(self.perform(action));
            }
            // That content could not be kept is news, whatever is awaited.
            let answers = inputs.iter().filter(|input| !matches!(input, Input::StoreFailed(_))).count();
            assert!(answers <= 1, "more than one answer is awaited at a time");
        }
    }

    /// Carries out an action; the input that answers it, if it has one.
    fn perform(&mut self, action: Action) -> Option<Input<'static>> {
        match action {
            Action::Send(bytes) => {
                self.answered(&bytes);
                self.played.sent.extend_from_slice(&bytes);
            }
            Action::Delay(delay) => self.note(format!("delay {delay:?}")),
            Action::StartTls => {
                assert!(!self.encrypted && !self.handshaking);
                self.note("starttls".to_owned());
                self.handshaking = true;
            }
            Action::AskRate | Action::AskPartnerRate(_) => {
                let exceeded = std::mem::take(&mut self.fails.rate);
                let answer = if exceeded { Err(Limit::MessageRate.of_session()) } else { Ok(()) };
                return Some(Input::RateChecked(answer));
            }
            Action::CountRecipient => {}
            Action::FetchRevocation(_) => {
                self.lists = Arc::clone(&LAB.lists);
                return Some(Input::RevocationRefreshed);
            }
            Action::OpenDraft => {
                let answer = self.fails.draft.take().map_or(Ok("0000000000000001".to_owned()), Err);
                assert!(self.draft.is_none(), "two drafts at a time");
                self.draft = answer.is_ok().then(Vec::new);
                self.draft_failed = false;
                return Some(Input::DraftOpened(answer));
            }
            Action::Content(bytes) => {
                self.draft.as_mut().expect("content without a draft").extend_from_slice(&bytes);
                return self.keep_failed();
            }
            Action::Hold(bytes) => {
                self.held.extend_from_slice(&bytes);
                return self.keep_failed();
            }
            Action::CheckPassword(attempt) => return Some(Input::PasswordChecked(Some(attempt.is_right()))),
            Action::VerifyRecipient(_) | Action::AskMilters(_) => panic!("the settings name nobody to ask"),
            Action::Inspect(inspection) => return Some(self.inspect(&inspection)),
            Action::AppendHeld => {
                let held = std::mem::take(&mut self.held);
                self.draft.as_mut().expect("a draft").extend_from_slice(&held[self.held_head..]);
            }
            Action::Commit(submission) => return Some(Input::Stored(self.commit(&submission))),
            Action::DiscardDraft => {
                self.draft.take().expect("a draft to give back");
                self.held.clear();
                self.note("discard".to_owned());
            }
            Action::Log(line) => self.note(line.to_string()),
            Action::Report(report) => self.report(&report),
            Action::Close => self.closed = true,
        }
        None
    }

    fn keep_failed(&mut self) -> Option<Input<'static>> {
        let fault = self.fails.content.take();
        self.played.store_failed |= fault.is_some();
        self.draft_failed |= fault.is_some();
        fault.map(Input::StoreFailed)
    }

    fn inspect(&mut self, inspection: &Inspection) -> Input<'static> {
        let refused = std::mem::take(&mut self.fails.check);
        let found = |check| match refused {
            true => vec![Finding::new(check, Outcome::Fail, "").refused()],
            false => vec![Finding::new(check, Outcome::Pass, "")],
        };
        match inspection {
            Inspection::Sender { .. } => Input::SenderInspected(found(Check::Spf)),
            Inspection::Content { head, .. } => {
                self.held_head = *head;
                let head = self.held.get(..*head).expect("the header section is held").to_vec();
                let fault = self.fails.inspection.take();
                Input::ContentInspected(fault.map_or_else(|| Ok((head, found(Check::Dkim))), Err))
            }
        }
    }

    fn note(&mut self, what: String) {
        self.played.happened.push(what);
    }

    /// A reply while content comes in: only its end may bring it about, or the end of the session.
    fn answered(&mut self, reply: &[u8]) {
        if let Some(content) = self.content.take() {
            // Of what is far too large no end is waited for.
            let endless = content.len() as u64 > SIZE_MAX * limits::OVERSIZE_FACTOR;
            let hangs_up = reply.starts_with(b"421 ") || endless && reply.starts_with(b"552 5.3.4 ");
            let whole = end_of_data(&content).is_some_and(|end| self.piece != OCTETS || end == content.len());
            assert!(hangs_up || whole, "an answer within the content: {}", reply.escape_ascii());
        }
        if reply.ends_with(b"\r\n354 Start mail input; end with <CRLF>.<CRLF>\r\n")
            || reply.starts_with(b"354 ")
        {
            self.content = (self.piece == OCTETS).then(Vec::new);
        }
    }

    fn commit(&mut self, submission: &Submission) -> Result<Kept, StoreFault> {
        let draft = self.draft.take().expect("a draft to commit");
        if self.draft_failed {
            return Err(StoreFault::Other);
        }
        assert_eq!(submission.size, draft.len() as u64);
        let (head, body) = split(&draft);
        assert!(!has_stray_octet(&draft), "{}", draft.escape_ascii());
        if let Some(content) = &self.content {
            let sent = unstuffed(content);
            assert!(!has_stray_octet(&sent), "{}", sent.escape_ascii());
            let (_, sent_body) = split(&sent);
            assert_eq!(&draft[body..], &sent[sent_body..]);
        }
        let stamps: Vec<Vec<u8>> = HeaderSection::new(head)
            .fields()
            .filter(|field| field.is_named("Domain-Secured"))
            .map(Field::value)
            .collect();
        self.check_trust(submission, &stamps);
        let recipients: Vec<String> =
            submission.envelope.recipients.iter().map(ToString::to_string).collect();
        assert!((1..=200).contains(&recipients.len()));
        self.note(format!("commit {} for {}", submission.envelope.reverse_path, recipients.join(",")));
        match self.fails.commit.take() {
            Some(fault) => Err(fault),
            None => {
                self.played.stored.push(draft);
                Ok(Kept::Durable)
            }
        }
    }

    /// What the client did not prove is neither believed nor stamped.
    fn check_trust(&self, submission: &Submission, stamps: &[Vec<u8>]) {
        let internal = !self.judges;
        let proved = self.encrypted && self.shown == Shown::Partner && !internal;
        let secured = submission.permit.secured_domain().map(ToString::to_string);
        let from = match &submission.envelope.reverse_path {
            ReversePath::Null => None,
            ReversePath::Address(address) => address.domain().map(ToString::to_string),
        };
        if from.as_deref() == Some(PARTNER) && !internal {
            assert!(proved, "mail of a listed domain without its proof");
            assert_eq!(secured.as_deref(), Some(PARTNER));
        }
        assert!(secured.is_none() || proved, "secured without proof");
        assert_ne!(secured.as_deref(), Some(REHEARSING), "report mode secures nothing");
        if internal {
            return;
        }
        // A warning that the author is not who he says he is proves nothing.
        let is_stamp = |stamp: &&Vec<u8>| !stamp.starts_with(b"none; from=");
        let stamps: Vec<_> = stamps.iter().filter(is_stamp).collect();
        for stamp in &stamps {
            let stamp = String::from_utf8_lossy(stamp);
            assert!(proved && stamp.contains("domain=woodgrove.example;"), "forged: {stamp}");
        }
        assert_eq!(stamps.len(), usize::from(secured.is_some()));
    }

    fn report(&mut self, report: &Report) {
        match report {
            Report::Accepted { secured, .. } => {
                self.played.accepted += 1;
                self.note(format!("accepted, secured {secured:?}"));
            }
            Report::Judged(verdict) => self.note(format!("judged {:?}", verdict.fault())),
            Report::HandshakeDone { .. }
            | Report::HandshakeFailed { .. }
            | Report::Refused { .. }
            | Report::Checked { .. }
            | Report::Verified { .. }
            | Report::Filtered { .. }
            | Report::ChangeDenied { .. }
            | Report::Discarded { .. }
            | Report::Authentication { .. }
            | Report::LimitReached(_)
            | Report::ProtocolError { .. } => {}
        }
    }
}

/// Where content ends (RFC 5321 4.1.1.4): behind the first line that is a dot alone.
fn end_of_data(content: &[u8]) -> Option<usize> {
    if content.starts_with(b".\r\n") {
        return Some(3);
    }
    memchr::memmem::find(content, b"\r\n.\r\n").map(|at| at + 5)
}

/// Content as it is meant (RFC 5321 4.5.2), its final dot removed.
fn unstuffed(content: &[u8]) -> Vec<u8> {
    let end = end_of_data(content).expect("content that was committed has an end");
    let mut meant = Vec::new();
    let mut line_begins = true;
    for octet in &content[..end - 3] {
        if !(line_begins && *octet == b'.') {
            meant.push(*octet);
        }
        line_begins = *octet == b'\n';
    }
    meant
}

fn has_stray_octet(content: &[u8]) -> bool {
    let ends = memchr::memmem::find_iter(content, b"\r\n").count();
    let (cr, lf) = (memchr::memchr_iter(b'\r', content).count(), memchr::memchr_iter(b'\n', content).count());
    cr != ends || lf != ends || content.contains(&0)
}

/// RFC 5321 4.2 and 4.5.3.1.5.
fn check_replies(sent: &[u8]) {
    let sent = std::str::from_utf8(sent).expect("replies are text");
    assert!(sent.is_empty() || sent.ends_with("\r\n"));
    for line in sent.split_terminator("\r\n") {
        let code = line.get(..3).expect("a code");
        assert!(code.parse::<u16>().is_ok_and(|code| (200..600).contains(&code)), "{line}");
        assert!(matches!(line.as_bytes().get(3), None | Some(b' ' | b'-')), "{line}");
        assert!(!line.chars().any(char::is_control) && line.len() <= 510, "{line:?}");
    }
}
