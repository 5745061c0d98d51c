//! The matrix: each certificate shown to our server and to our client, in TLS 1.2 and 1.3, fresh and
//! resumed, in memory, with real counters and a real queue. Each cell asserts the verdict, the reply,
//! the counters that rose and no others, the log line, the stamp, and what is in the queue afterwards.
//!
//! By default a quarter of the cells of each certificate and all of the core rows are run;
//! `cargo test --test matrix -- --ignored` runs every cell.

#[path = "matrix/authority.rs"]
mod authority;
#[path = "matrix/edge.rs"]
mod edge;
#[path = "common/ocsp.rs"]
mod ocsp;
#[path = "matrix/peers.rs"]
mod peers;
#[path = "dialogues/pki.rs"]
#[allow(dead_code, reason = "the dialogues use more of it")]
mod pki;
#[path = "matrix/rows.rs"]
mod rows;
#[path = "dialogues/world.rs"]
#[allow(dead_code, reason = "the dialogues use more of it")]
mod world;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use sealpost::mail::dsn::Requests;
use sealpost::mail::{Address, BodyType, Now, ReversePath, TlsRequired};
use sealpost::net::stream::Stream;
use sealpost::net::tls::{ClientTls, ServerTls};
use sealpost::observe::Event;
use sealpost::policy::{OwnCertificate, Partner, Pressure, Settings, secure_domains};
use sealpost::relay::receive_events::{self, Accepted};
use sealpost::session::receive::{self, ReceiveSession, World};
use sealpost::session::send::{self, Failure, SendSession, Transaction};
use sealpost::smtp::{DataEncoder, SessionId};
use sealpost::trust::{Direction, Fault, Mode, RevocationSet, TlsVersion, Verdict};
use sealpost_queue::Draft;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use authority::DOMAIN;
use edge::{Counted, Edge, assert_waits};
use pki::{Pki, clock};
use rows::{Expected, Row};

const HANDSHAKE: Duration = Duration::from_secs(20);

/// What one session of ours told.
#[derive(Default)]
struct Told {
    verdicts: Vec<Arc<Verdict>>,
    log: Vec<(String, String)>,
    resumed: Option<bool>,
    handshake_error: Option<String>,
    counted: Counted,
    failure: Option<Failure>,
    delivered: usize,
}

struct Scene<'a> {
    edge: &'a Edge,
    settings: Arc<Settings>,
    /// The same, but the partner is only reported on.
    lenient: Arc<Settings>,
    ours: Arc<OwnCertificate>,
}

/// One domain, on both lists.
fn settings(pki: &Pki) -> Settings {
    let mut settings = world::settings(pki);
    let listed: BTreeSet<_> = BTreeSet::from([world::domain(DOMAIN)]);
    settings.transport.tls_send_domain_secure_list = listed.clone();
    settings.transport.tls_receive_domain_secure_list = listed;
    settings
}

impl<'a> Scene<'a> {
    fn new(edge: &'a Edge, pki: &Pki, ours: &pki::Identity, row: &Row) -> Self {
        let settings = |mode| {
            let mut settings = settings(pki);
            let partner = world::partner("Woodgrove Bank", &[DOMAIN], row.policy.clone());
            settings.partners = vec![Arc::new(Partner { mode, ..partner })];
            settings.receive_connectors = vec![Arc::new(world::receive_connector())];
            Arc::new(settings)
        };
        Self {
            edge,
            settings: settings(Mode::Enforce),
            lenient: settings(Mode::Report),
            ours: Arc::new(ours.to_own("contoso.example")),
        }
    }
}

/// A stranger with this certificate sends to our server, twice.
async fn at_our_server(row: &Row, scene: &Scene<'_>, version: &'static SupportedProtocolVersion) {
    let ours = ServerTls::new(&scene.ours).unwrap();
    let theirs = peers::client(&row.shown, version);
    for is_resumed in [false, true] {
        let (here, there) = tokio::io::duplex(16 << 10);
        let both = async { tokio::join!(serve(here, &ours, scene, &row.lists), peers::send(there, &theirs)) };
        let (told, replies) = tokio::time::timeout(HANDSHAKE, both).await.expect("it ends");
        let cell = format!("{} at our server, {version:?}, resumed {is_resumed}", row.name);
        match expected(row, version, false) {
            Expected::Admitted => {
                assert_judged(&told, None, is_resumed, &cell);
                assert_eq!(replies.len(), 2, "{cell}: {replies:?}");
                assert!(replies.iter().all(|reply| reply.starts_with("250 2.")), "{cell}: {replies:?}");
                assert_counted(&told, &cell, version, Some("messages_received_total{domain="), None);
                let queued = scene.edge.drain().await;
                assert_eq!(queued.len(), 1, "{cell}: durable at its 250");
                assert_stamped(&told, &queued[0].1, row, &cell);
            }
            Expected::Refused(fault) => {
                assert_judged(&told, Some(fault), is_resumed, &cell);
                assert_eq!(replies.len(), 1, "{cell}: {replies:?}");
                let codes = format!("{} ", basic_and_enhanced(fault));
                assert!(replies[0].starts_with(&codes), "{cell}: {replies:?}");
                assert!(
                    replies[0].contains(fault.name()) && replies[0].contains(DOMAIN),
                    "{cell}: {replies:?}"
                );
                assert_counted(&told, &cell, version, Some("inbound_failures_total{domain="), Some(fault));
                assert!(scene.edge.drain().await.is_empty(), "{cell}");
            }
            Expected::HandshakeFailed => {
                assert!(told.handshake_error.is_some() && replies.is_empty(), "{cell}: {replies:?}");
                assert!(told.verdicts.is_empty(), "{cell}");
                assert_counted(&told, &cell, version, None, None);
                assert!(scene.edge.drain().await.is_empty(), "{cell}");
            }
        }
    }
}

/// Our client has mail for a server with this certificate, twice.
async fn at_our_client(row: &Row, scene: &Scene<'_>, version: &'static SupportedProtocolVersion) {
    let theirs = peers::server(&row.shown, version);
    for is_resumed in [false, true] {
        let ours = ClientTls::new(Some(&scene.ours)).unwrap();
        let connect = async |settings: &Settings| {
            let (here, there) = tokio::io::duplex(16 << 10);
            let sides = (deliver(here, &ours, scene, settings, &row.lists), peers::receive(there, &theirs));
            let both = async { tokio::join!(sides.0, sides.1) };
            tokio::time::timeout(HANDSHAKE, both).await.expect("it ends")
        };
        // In TLS 1.3 what can be resumed comes with the first reads, which a server that is not
        // admitted never gets: so it was only reported on before.
        if is_resumed {
            connect(&scene.lenient).await;
            scene.edge.drain().await;
        }
        let (told, mails) = connect(&scene.settings).await;
        let cell = format!("{} at our client, {version:?}, resumed {is_resumed}", row.name);
        match expected(row, version, true) {
            Expected::Admitted => {
                assert_judged(&told, None, is_resumed, &cell);
                assert_eq!((mails, told.delivered), (1, 1), "{cell}");
                assert_counted(&told, &cell, version, Some("messages_sent_total{domain="), None);
                assert!(scene.edge.drain().await.is_empty(), "{cell}: delivered is gone");
            }
            Expected::Refused(fault) => {
                assert_judged(&told, Some(fault), is_resumed, &cell);
                assert_eq!((mails, told.delivered), (0, 0), "{cell}: no MAIL without a permit");
                assert_counted(
                    &told,
                    &cell,
                    version,
                    Some("outbound_session_failures_total{domain="),
                    Some(fault),
                );
                assert_waits(&scene.edge.drain().await, fault.name(), MESSAGE, &cell);
                let Some(Failure::NotAdmitted(verdict)) = &told.failure else {
                    panic!("{cell}: {:?}", told.failure)
                };
                let (queued, bounced) = (verdict.outbound_reply(false), verdict.outbound_reply(true));
                let detail = basic_and_enhanced(fault).rsplit('.').next().unwrap();
                for (reply, class) in [(&queued, 4), (&bounced, 5)] {
                    let text = format!("{reply:?}");
                    assert_eq!(reply.code / 100, class, "{cell}: {text}");
                    let enhanced = reply.enhanced.map(|code| code.to_string());
                    assert_eq!(enhanced, Some(format!("{class}.7.{detail}")), "{cell}");
                    assert!(text.contains(fault.name()), "{cell}: {text}");
                }
            }
            Expected::HandshakeFailed => {
                assert_eq!((mails, told.delivered), (0, 0), "{cell}");
                let fault = Some(Fault::HandshakeFailed);
                assert_counted(&told, &cell, version, Some("outbound_session_failures_total{domain="), fault);
                assert_waits(&scene.edge.drain().await, "HandshakeFailed", MESSAGE, &cell);
                assert!(told.handshake_error.is_some(), "{cell}");
                let verdict = told.verdicts.first().unwrap_or_else(|| panic!("{cell}: not judged"));
                assert_eq!(verdict.fault(), Some(Fault::HandshakeFailed), "{cell}");
            }
        }
    }
}

fn expected(row: &Row, version: &'static SupportedProtocolVersion, of_server: bool) -> Expected {
    let in_tls12 = row.in_tls12.filter(|_| version.version == TLS12.version);
    in_tls12.or(row.of_server.filter(|_| of_server)).unwrap_or(row.expected)
}

/// CONTRACT section 3, inbound under `reject`.
fn basic_and_enhanced(fault: Fault) -> &'static str {
    match fault {
        Fault::PinMismatch | Fault::NameMismatch => "550 5.7.1",
        Fault::RevocationUnknown => "454 4.7.5",
        _ => "550 5.7.5",
    }
}

/// Verdict, counter label and log lines of one judged session.
fn assert_judged(told: &Told, fault: Option<Fault>, is_resumed: bool, cell: &str) {
    assert_eq!(told.handshake_error, None, "{cell}");
    assert_eq!(told.resumed, Some(is_resumed), "{cell}");
    let faults: Vec<_> = told.verdicts.iter().map(|verdict| verdict.fault()).collect();
    assert_eq!(faults, [fault], "{cell}: {:?}", told.verdicts.first().map(|verdict| &verdict.facts));
    let word = fault.map_or("Admitted", Fault::name);
    let verdict_line = told.log.iter().find(|(_, context)| context == "Domain security verdict");
    let (data, _) = verdict_line.unwrap_or_else(|| panic!("{cell}: no verdict in the log"));
    assert!(data.starts_with(&format!("{word} domain={DOMAIN} ")), "{cell}: {data}");
    assert!(!data.contains(|c: char| c.is_control()), "{cell}: {data:?}");
    if fault != Some(Fault::NoCertificate) {
        let thumbprint = told.log.iter().any(|(_, context)| context == "Certificate thumbprint");
        assert!(thumbprint, "{cell}: the peer's certificate stands in the log");
    }
}

/// One handshake and, where it came to a verdict, one of the counters of secured mail; no other.
fn assert_counted(
    told: &Told,
    cell: &str,
    version: &'static SupportedProtocolVersion,
    counter: Option<&str>,
    fault: Option<Fault>,
) {
    let direction = if cell.contains("at our server") { "inbound" } else { "outbound" };
    let done = told.handshake_error.is_none();
    let protocol = if version.version == TLS12.version { TlsVersion::Tls12 } else { TlsVersion::Tls13 };
    let (protocol, result) = if done { (protocol.as_str(), "ok") } else { ("none", "failed") };
    let handshake =
        format!("sealpost_tls_handshakes_total{{direction={direction},version={protocol},result={result}}}");
    let mut wanted = Counted::from([(handshake, 1.0)]);
    if let Some(counter) = counter {
        let fault = fault.map_or_else(String::new, |fault| format!(",fault={},mode=enforce", fault.name()));
        wanted.insert(format!("sealpost_domain_secure_{counter}{DOMAIN}{fault}}}"), 1.0);
    }
    assert_eq!(told.counted, wanted, "{cell}");
}

fn assert_stamped(told: &Told, content: &[u8], row: &Row, cell: &str) {
    let text = String::from_utf8_lossy(content);
    let stamp = text.lines().find(|line| line.starts_with("Domain-Secured:"));
    let unfolded = text.replace("\r\n\t", " ").replace("\r\n ", " ");
    assert!(
        stamp.is_some() && unfolded.contains(&format!("Domain-Secured: domain={DOMAIN};")),
        "{cell}: {text}"
    );
    let verified = &told.verdicts[0].verified;
    let has_list = verified.contains(&sealpost::trust::Check::Revocation);
    assert_eq!(unfolded.contains("revocation"), has_list, "{cell}: {unfolded}");
    assert!(row.lists.lists.is_empty() || unfolded.contains("verified="), "{cell}");
}

async fn serve(io: DuplexStream, tls: &ServerTls, scene: &Scene<'_>, lists: &RevocationSet) -> Told {
    let before = scene.edge.counters();
    let mut told = converse(io, tls, scene, lists).await;
    told.counted = scene.edge.counted_since(&before);
    told
}

async fn converse(io: DuplexStream, tls: &ServerTls, scene: &Scene<'_>, lists: &RevocationSet) -> Told {
    let lists = Arc::new(lists.clone());
    let opening = receive::Opening {
        id: SessionId(1),
        connector: Arc::new(world::receive_connector()),
        local: "192.0.2.25:25".parse().unwrap(),
        remote: "198.51.100.7:40000".parse().unwrap(),
        balancer: None,
        entropy: [0; 32],
        tls_available: true,
        certificate: None,
    };
    let settings = Arc::clone(&scene.settings);
    let (mut session, mut told) = (ReceiveSession::new(opening.clone()), Told::default());
    let (mut stream, mut actions) = (Some(Stream::Plain(io)), VecDeque::new());
    let (mut draft, mut accepted, mut shown) = (None::<Draft>, None, None);
    let mut input = |input: receive::Input<'_>, actions: &mut VecDeque<receive::Action>| {
        let now = Now { wall: clock(), mono: Instant::now() };
        let mut new = Vec::new();
        session.handle(
            input,
            World {
                settings: &settings,
                revocation: &lists,
                now,
                pressure: Pressure::Normal,
                auth_blocked: false,
            },
            &mut new,
        );
        actions.extend(new);
    };
    input(receive::Input::Connected(None), &mut actions);
    let mut buffer = vec![0; 4096];
    loop {
        while let Some(action) = actions.pop_front() {
            match action {
                receive::Action::Send(bytes) => {
                    let open = stream.as_mut().expect("open");
                    if open.write_all(&bytes).await.is_err() || open.flush().await.is_err() {
                        actions.clear();
                        input(receive::Input::Closed, &mut actions);
                    }
                }
                receive::Action::StartTls => {
                    let plain = stream.take().and_then(Stream::into_plain).expect("in clear");
                    match tls.accept(plain, HANDSHAKE).await {
                        Ok((secured, evidence)) => {
                            stream = Some(secured);
                            told.resumed = Some(evidence.resumed);
                            let evidence = Arc::new(evidence);
                            shown = Some(Arc::clone(&evidence));
                            input(receive::Input::TlsEstablished(evidence), &mut actions);
                        }
                        Err(error) => {
                            told.handshake_error = Some(error.to_string());
                            input(receive::Input::TlsFailed(error.to_string()), &mut actions);
                        }
                    }
                }
                receive::Action::AskRate | receive::Action::AskPartnerRate(_) => {
                    input(receive::Input::RateChecked(Ok(())), &mut actions);
                }
                receive::Action::FetchRevocation(_) => {
                    input(receive::Input::RevocationRefreshed, &mut actions);
                }
                receive::Action::OpenDraft => {
                    let new = scene.edge.draft();
                    input(receive::Input::DraftOpened(Ok(new.id().to_string())), &mut actions);
                    draft = Some(new);
                }
                receive::Action::Content(bytes) => draft.as_mut().unwrap().append(&bytes).unwrap(),
                receive::Action::Commit(submission) => {
                    let envelope = &submission.envelope;
                    let (sender, to) =
                        (envelope.reverse_path.to_string(), envelope.recipients[0].to_string());
                    scene.edge.commit(draft.take().unwrap(), &sender, &to).await;
                    let (size, after) = (submission.size, Duration::ZERO);
                    accepted =
                        Some(Accepted { sender, recipients: 1, size, kept: receive::Kept::Durable, after });
                    input(receive::Input::Stored(Ok(receive::Kept::Durable)), &mut actions);
                }
                receive::Action::Log(line) => told.log.push((line.data, line.context)),
                receive::Action::Report(report) => {
                    if let receive::Report::Judged(verdict) = &report {
                        told.verdicts.push(Arc::clone(verdict));
                    }
                    let event = receive_events::event(&opening, report, &mut accepted, shown.as_ref());
                    event.into_iter().for_each(|event| scene.edge.event(event));
                }
                receive::Action::Close => {
                    if let Some(mut open) = stream.take() {
                        let _ = open.shutdown().await;
                    }
                    return told;
                }
                receive::Action::Inspect(_)
                | receive::Action::Hold(_)
                | receive::Action::AskMilters(_)
                | receive::Action::VerifyRecipient(_)
                | receive::Action::CheckPassword(_)
                | receive::Action::AppendHeld => {
                    unreachable!("this connector checks nothing")
                }
                receive::Action::DiscardDraft => draft = None,
                receive::Action::CountRecipient | receive::Action::Delay(_) => {}
            }
        }
        match stream.as_mut().expect("closed only with Close").read(&mut buffer).await {
            Ok(0) | Err(_) => input(receive::Input::Closed, &mut actions),
            Ok(count) => input(receive::Input::Bytes(&buffer[..count]), &mut actions),
        }
    }
}

const MESSAGE: &[u8] = b"From: adam@contoso.example\r\nSubject: matrix\r\n\r\nHello.\r\n";

async fn deliver(
    io: DuplexStream,
    tls: &ClientTls,
    scene: &Scene<'_>,
    settings: &Settings,
    lists: &RevocationSet,
) -> Told {
    let before = scene.edge.counters();
    let (claim, content) = scene.edge.claim(MESSAGE).await;
    let mut told = say(io, tls, scene, settings, lists, &content).await;
    let why = match &told.failure {
        Some(Failure::NotAdmitted(verdict)) => Some(verdict.outbound_reply(false)),
        Some(other) => panic!("{other:?}"),
        None => None,
    };
    let why = why.map(|reply| reply.wire_lines().collect::<Vec<_>>().join(" "));
    scene.edge.settle(claim, why.as_deref()).await;
    told.counted = scene.edge.counted_since(&before);
    told
}

async fn say(
    io: DuplexStream,
    tls: &ClientTls,
    scene: &Scene<'_>,
    settings: &Settings,
    lists: &RevocationSet,
    content: &[u8],
) -> Told {
    let to = world::domain(DOMAIN);
    let requirement = secure_domains::requirement(settings, Direction::Outbound, &to).expect("listed");
    let opening = send::Opening {
        entropy: [0; 32],
        id: SessionId(2),
        connector: Arc::new(world::send_connector()),
        local: "192.0.2.25:40000".parse().unwrap(),
        remote: "198.51.100.7:25".parse().unwrap(),
        host: "mx.woodgrovebank.example".to_owned(),
        requirement,
        fallback: None,
        own_certificate_fault: None,
        certificate: Some(Arc::clone(&scene.ours)),
        clear_text: false,
        fetch_revocation: false,
        message: None,
    };
    let (mut session, mut told) = (SendSession::new(opening.clone()), Told::default());
    let (mut stream, mut actions) = (Some(Stream::Plain(io)), VecDeque::new());
    let (mut waiting, mut proved) = (1, None);
    let mut input = |input: send::Input<'_>, actions: &mut VecDeque<send::Action>| {
        let now = Now { wall: clock(), mono: Instant::now() };
        let mut new = Vec::new();
        session.handle(input, lists, now, &mut new);
        actions.extend(new);
    };
    input(send::Input::Connected, &mut actions);
    let mut buffer = vec![0; 4096];
    loop {
        while let Some(action) = actions.pop_front() {
            match action {
                send::Action::Send(bytes) => {
                    let open = stream.as_mut().expect("open");
                    if open.write_all(&bytes).await.is_err() || open.flush().await.is_err() {
                        actions.clear();
                        input(send::Input::Closed("broken pipe".to_owned()), &mut actions);
                    }
                }
                send::Action::StartTls => {
                    let plain = stream.take().and_then(Stream::into_plain).expect("in clear");
                    match tls.connect(plain, "mx.woodgrovebank.example", HANDSHAKE).await {
                        Ok((secured, evidence, own)) => {
                            stream = Some(secured);
                            told.resumed = Some(evidence.resumed);
                            input(send::Input::TlsEstablished(Arc::new(evidence), own), &mut actions);
                        }
                        Err(error) => {
                            told.handshake_error = Some(error.error.clone());
                            let certificate_refused = error.certificate_refused;
                            let failed = send::Input::TlsFailed { error: error.error, certificate_refused };
                            input(failed, &mut actions);
                        }
                    }
                }
                send::Action::Ready if waiting == 1 => {
                    waiting = 0;
                    input(send::Input::Deliver(Box::new(transaction())), &mut actions);
                }
                send::Action::Ready => input(send::Input::Finish, &mut actions),
                send::Action::FetchRevocation(_) => input(send::Input::RevocationRefreshed, &mut actions),
                send::Action::SendContent(_) => {
                    let (mut encoder, mut wire) = (DataEncoder::new(), Vec::new());
                    encoder.encode(content, &mut wire);
                    encoder.finish(&mut wire);
                    let open = stream.as_mut().expect("open");
                    open.write_all(&wire).await.unwrap();
                    open.flush().await.unwrap();
                    input(send::Input::ContentSent, &mut actions);
                }
                send::Action::Done(outcomes) => {
                    let delivered =
                        |outcome: &&send::Outcome| matches!(outcome, send::Outcome::Delivered { .. });
                    told.delivered += outcomes.iter().filter(delivered).count();
                    if told.delivered > 0 {
                        scene.edge.event(delivered_event(&opening, proved.take()));
                    }
                }
                send::Action::Failed(failure) => told.failure = Some(*failure),
                send::Action::Log(line) => told.log.push((line.data, line.context)),
                send::Action::Report(send::Report::Sent { secured }) => proved = secured,
                send::Action::Report(report) => {
                    if let send::Report::Judged(verdict) = &report {
                        told.verdicts.push(Arc::clone(verdict));
                    }
                    scene.edge.event(send_event(&opening, report));
                }
                send::Action::Close => {
                    if let Some(mut open) = stream.take() {
                        let _ = open.shutdown().await;
                    }
                    return told;
                }
            }
        }
        match stream.as_mut().expect("closed only with Close").read(&mut buffer).await {
            Ok(0) => input(send::Input::Closed("end of stream".to_owned()), &mut actions),
            Err(error) => input(send::Input::Closed(error.to_string()), &mut actions),
            Ok(count) => input(send::Input::Bytes(&buffer[..count]), &mut actions),
        }
    }
}

fn send_event(opening: &send::Opening, report: send::Report) -> Event {
    let (connector, session) = (opening.connector.name.clone(), opening.id);
    let handshake = |version, error| Event::TlsHandshake {
        direction: Direction::Outbound,
        connector: connector.clone(),
        session,
        remote: opening.remote,
        version,
        error,
    };
    match report {
        send::Report::HandshakeDone { version, .. } => handshake(Some(version), None),
        send::Report::HandshakeFailed { error } => handshake(None, Some(error)),
        send::Report::Judged(verdict) => {
            Event::OutboundJudged { verdict, connector, session, host: opening.host.clone(), evidence: None }
        }
        send::Report::Ruled(_) => unreachable!("every domain here is on the send list"),
        send::Report::Sent { .. } => unreachable!("told with the delivery"),
    }
}

/// Each is a message of its own, and so counts.
static DELIVERED: AtomicUsize = AtomicUsize::new(0);

fn delivered_event(opening: &send::Opening, secured: Option<sealpost::mail::Domain>) -> Event {
    Event::MessageDelivered {
        queue_id: DELIVERED.fetch_add(1, Ordering::Relaxed).to_string(),
        connector: opening.connector.name.clone(),
        session: opening.id,
        host: opening.host.clone(),
        recipient_count: 1,
        secured,
        accept_to_delivered: Duration::ZERO,
    }
}

fn transaction() -> Transaction {
    Transaction {
        message: None,
        reverse_path: ReversePath::Address(Address::parse("adam@contoso.example").unwrap()),
        recipients: vec![Address::parse("kim@woodgrovebank.example").unwrap()],
        body: BodyType::SevenBit,
        smtputf8: false,
        eight_bit: false,
        binary: false,
        size: MESSAGE.len() as u64,
        octets: MESSAGE.len() as u64,
        dsn: Requests::default(),
        tls_required: TlsRequired::Unstated,
    }
}

/// A cell is a side and a version; fresh and resumed belong together.
async fn run(is_chosen: impl Fn(usize, &Row, usize) -> bool) {
    let mut pki = Pki::new();
    let ours = pki.identity("fabrikam");
    let edge = Edge::open(&settings(&pki));
    let rows = rows::all();
    assert!(rows.len() >= 60, "{} certificates", rows.len());
    let names: BTreeSet<_> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len(), "each row has a name of its own");
    for (number, row) in rows.iter().enumerate() {
        let scene = Scene::new(&edge, &pki, &ours, row);
        for (cell, version) in [&TLS12, &TLS13].into_iter().enumerate() {
            if is_chosen(number, row, cell) {
                at_our_server(row, &scene, version).await;
            }
            if is_chosen(number, row, 2 + cell) {
                at_our_client(row, &scene, version).await;
            }
        }
    }
    edge.close().await;
}

#[tokio::test]
async fn certificates_are_judged_alike_whoever_shows_them() {
    run(|number, row, cell| row.is_core || number % 4 == cell).await;
}

#[tokio::test]
#[ignore = "every cell; the other test runs a quarter of them"]
async fn every_certificate_on_both_sides_in_both_versions() {
    run(|_, _, _| true).await;
}
