//! Plays a dialogue against a send session, in the driver's stead.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use sealpost::mail::dsn::Requests;
use sealpost::mail::{Address, BodyType, Now, ReversePath, TlsRequired};
use sealpost::policy::{Partner, SmartHost, SmartHostAuth, SmartHostName, SmartHostWay, secure_domains};
use sealpost::session::send::{
    Action, Failure, Framing, Input, Opening, Outcome, OwnCertificate, Report, SendSession, Transaction,
};
use sealpost::session::transcript::LineKind;
use sealpost::smtp::{Command, Extensions, SessionId};
use sealpost::trust::tlsa::{TlsaDemand, TlsaRecord};
use sealpost::trust::{
    Direction, Level, Mode, Requirement, RevocationSet, RuledBy, ServerProof, TlsEvidence, TlsVersion,
    Verdict,
};

use crate::pki::{Pki, clock};
use crate::play_receive::{evidence, fetch, judged};
use crate::script::{Record, Script, Step};
use crate::world;

struct Player<'a> {
    script: &'a Script,
    session: SendSession,
    revocation: RevocationSet,
    /// What there is once a fetch was asked for.
    published: RevocationSet,
    evidence: Arc<TlsEvidence>,
    now: Instant,
    actions: VecDeque<Action>,
    record: Record,
    closed: bool,
}

pub fn play(script: &Script, pki: &mut Pki) -> Result<(), String> {
    let mut player = Player::new(script, pki);
    for step in &script.steps {
        match step {
            Step::Connect => player.input(Input::Connected),
            Step::Received(bytes) => player.input(Input::Bytes(bytes)),
            Step::Event(event) => player.event(event)?,
            Step::Expected(wanted) => player.record.expect_action(wanted)?,
            Step::Information(wanted) => player.record.expect_information(wanted)?,
            Step::Content(_) => return Err("a send session stores no message".to_owned()),
        }
    }
    player.record.expect_end()
}

impl<'a> Player<'a> {
    fn new(script: &'a Script, pki: &mut Pki) -> Self {
        let opening = opening(script, pki);
        let name = script.setting("evidence").unwrap_or("woodgrove");
        let (peer_chain, revocation, published) = evidence(pki, name, script);
        Self {
            script,
            session: SendSession::new(opening),
            revocation,
            published,
            evidence: Arc::new(TlsEvidence {
                version: match script.setting("tls") {
                    Some("1.2") => TlsVersion::Tls12,
                    _ => TlsVersion::Tls13,
                },
                cipher_suite: "TLS13_AES_256_GCM_SHA384".to_owned(),
                key_exchange: None,
                resumed: script.setting("resumed").is_some(),
                peer_chain,
                staple: None,
                channel_binding: None,
            }),
            now: Instant::now(),
            actions: VecDeque::new(),
            record: Record::default(),
            closed: false,
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.handle(input);
        while let Some(action) = self.actions.pop_front() {
            assert!(!self.closed || matches!(action, Action::Done(_)), "an action behind Close: {action:?}");
            self.perform(action);
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        let mut actions = Vec::new();
        let now = Now { wall: clock(), mono: self.now };
        self.session.handle(input, &self.revocation, now, &mut actions);
        self.actions.extend(actions);
    }

    fn event(&mut self, event: &str) -> Result<(), String> {
        match event.split_once(' ').unwrap_or((event, "")) {
            ("timeout", minutes) => {
                let deadline = self.session.deadline().ok_or("there is no deadline")?;
                let waited = deadline.duration_since(self.now).as_secs();
                if !minutes.is_empty() && format!("{waited} s") != minutes {
                    return Err(format!("the deadline is in {waited} s, not {minutes}"));
                }
                self.now = deadline;
                self.input(Input::Timeout);
            }
            ("closed", how) => self.input(Input::Closed(how.to_owned())),
            ("finish", _) => self.input(Input::Finish),
            ("sent", _) => self.input(Input::ContentSent),
            ("content-failed", why) => self.input(Input::ContentFailed(why.to_owned())),
            ("deliver", message) => self.input(Input::Deliver(Box::new(transaction(message)))),
            ("verify", message) => self.input(Input::Verify(Box::new(transaction(message)))),
            (other, _) => return Err(format!("no event is called {other}")),
        }
        Ok(())
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Send(bytes) => self.record.sent(&bytes),
            Action::StartTls => match self.script.setting("handshake") {
                Some(error) => {
                    let refused = error.strip_prefix("refused ");
                    self.handle(Input::TlsFailed {
                        error: refused.unwrap_or(error).to_owned(),
                        certificate_refused: refused.is_some(),
                    });
                }
                None => {
                    let own = match self.script.setting("own") {
                        Some("not-requested") => OwnCertificate::NotRequested,
                        _ => OwnCertificate::Sent,
                    };
                    self.handle(Input::TlsEstablished(Arc::clone(&self.evidence), own));
                }
            },
            Action::FetchRevocation(wanted) => {
                self.record.action(fetch(&wanted));
                self.revocation = self.published.clone();
                self.handle(Input::RevocationRefreshed);
            }
            Action::Ready => self.record.action("= ready"),
            Action::SendContent(Framing::Dot) => self.record.action("= content"),
            Action::SendContent(Framing::Counted(octets)) => {
                self.record.action(format!("= content of {octets} octets"));
            }
            Action::Done(outcomes) => {
                let outcomes: Vec<String> = outcomes.iter().map(outcome).collect();
                self.record.action(format!("= done {}", outcomes.join("; ")));
            }
            Action::Failed(failure) => self.record.action(failed(&failure)),
            Action::Log(line) if line.kind == LineKind::Information => {
                self.record.information(&line.data, &line.context);
            }
            Action::Log(_) => {}
            Action::Report(Report::Judged(verdict)) => self.record.action(judged(&verdict)),
            Action::Report(Report::Ruled(verdict)) if verdict.ruled_by != RuledBy::Connector => {
                self.record.action(ruled(&verdict));
            }
            Action::Report(Report::Sent { secured: Some(domain) }) => {
                self.record.action(format!("= sent secured {domain}"));
            }
            Action::Report(
                Report::Sent { secured: None }
                | Report::HandshakeDone { .. }
                | Report::Ruled(_)
                | Report::HandshakeFailed { .. },
            ) => {}
            Action::Close => {
                self.record.action("-");
                self.closed = true;
            }
        }
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Delivered { reply, takes_dsn: false } => format!("delivered {reply}"),
        Outcome::Delivered { reply, takes_dsn: true } => format!("delivered, reports asked for {reply}"),
        Outcome::Taken { reply } => format!("taken {reply}"),
        Outcome::Refused { reply, command, from_peer: true, .. } => format!("refused {command} {reply}"),
        Outcome::Refused { reply, command, from_peer: false, .. } => format!("unfit {command} {reply}"),
        Outcome::Broken { error, in_doubt: false } => format!("broken {error}"),
        Outcome::Broken { error, in_doubt: true } => format!("in doubt {error}"),
    }
}

fn failed(failure: &Failure) -> String {
    match failure {
        Failure::NotAdmitted(verdict) => {
            let fault = verdict.fault().map_or("no fault", |fault| fault.name());
            format!("= failed {fault}: {}", verdict.outbound_reply(false))
        }
        Failure::Refused { reply, command, .. } => format!("= failed {command}: {reply}"),
        Failure::Broken { error, retry_in_clear: false } => format!("= failed broken: {error}"),
        Failure::Broken { error, retry_in_clear: true } => format!("= failed retry in clear: {error}"),
    }
}

/// `FROM TO,TO [8bit] [binary] [smtputf8] [requiretls] [tls-required-no] [size=N]`; `<>` is the null sender. Behind a `/` what the sender asked
/// to hear, for the message and for each recipient, as it stands in MAIL and RCPT.
fn transaction(text: &str) -> Transaction {
    let mut parts = text.split(" / ");
    let mut words = parts.next().unwrap().split(' ');
    let reverse_path = match words.next().unwrap() {
        "<>" => ReversePath::Null,
        address => ReversePath::Address(Address::parse(address).unwrap()),
    };
    let recipients =
        words.next().unwrap().split(',').map(|address| Address::parse(address).unwrap()).collect();
    let mut transaction = Transaction {
        message: None,
        reverse_path,
        recipients,
        body: BodyType::SevenBit,
        smtputf8: false,
        eight_bit: false,
        binary: false,
        size: 100,
        octets: 110,
        dsn: asked(parts),
        tls_required: TlsRequired::Unstated,
    };
    for word in words {
        match word.split_once('=') {
            Some(("size", size)) => transaction.size = size.parse().unwrap(),
            _ if word == "8bit" => transaction.eight_bit = true,
            _ if word == "declared-8bit" => transaction.body = BodyType::EightBitMime,
            _ if word == "binary" => transaction.binary = true,
            _ if word == "declared-binary" => transaction.body = BodyType::BinaryMime,
            _ if word == "smtputf8" => transaction.smtputf8 = true,
            _ if word == "requiretls" => transaction.tls_required = TlsRequired::Yes,
            _ if word == "tls-required-no" => transaction.tls_required = TlsRequired::No,
            _ => panic!("no such property: {word}"),
        }
    }
    transaction
}

fn asked<'a>(mut parts: impl Iterator<Item = &'a str>) -> Requests {
    let extensions = Extensions { dsn: true, ..Extensions::default() };
    let parse = |line: String| Command::parse(line.as_bytes(), &extensions).unwrap();
    let Command::Mail { params, .. } = parse(format!("MAIL FROM:<> {}", parts.next().unwrap_or_default()))
    else {
        unreachable!()
    };
    let mut requests = Requests::from(params.dsn);
    for (index, part) in (0..).zip(parts) {
        let Command::Rcpt { dsn, .. } = parse(format!("RCPT TO:<postmaster> {part}")) else { unreachable!() };
        requests.set(index, dsn);
    }
    requests
}

/// Policy, `wanted:got`, the result, and whether it held anything back.
fn ruled(verdict: &Verdict) -> String {
    let ruling = verdict.ruling();
    let mode = if verdict.mode == Mode::Report { " report" } else { "" };
    format!("= ruled {ruling} {}{mode}", ruling.outcome)
}

/// `: policy dane`, whose record is of another key; `: policy mta-sts` and `: policy mta-sts-testing`,
/// which name the host.
fn published(name: &str, ordinary: &Requirement, host: &str) -> Requirement {
    let host = world::domain(host);
    let (ruled_by, proof, mode) = match name {
        "dane" => {
            let record = TlsaRecord { usage: 3, selector: 1, matching: 1, data: vec![7; 32] };
            let records = vec![record.usable().unwrap()];
            let demand = TlsaDemand { base: host, names: Vec::new(), records };
            (RuledBy::Dane, ServerProof::Tlsa(Arc::new(demand)), Mode::Enforce)
        }
        "mta-sts" => (RuledBy::MtaSts, ServerProof::Host(host), Mode::Enforce),
        "mta-sts-testing" => (RuledBy::MtaSts, ServerProof::Host(host), Mode::Report),
        other => panic!("no policy {other}"),
    };
    Requirement { ruled_by, proof, mode, level: Level::DomainValidation, ..ordinary.clone() }
}

/// `: auth MECHANISM`: what we log in with at the host.
fn credential(way: &str) -> SmartHostAuth {
    let way = match way {
        "basic" => SmartHostWay::Basic,
        "scram-sha-256" => SmartHostWay::ScramSha256,
        "external" => SmartHostWay::External,
        other => panic!("no mechanism {other}"),
    };
    SmartHostAuth { way, user: "edge".to_owned(), password: "s3cret pw".to_owned().into() }
}

/// `: to DOMAIN` and `: level LEVEL`; a listed domain unless a level is given.
fn opening(script: &Script, pki: &mut Pki) -> Opening {
    let mut settings = world::settings(pki);
    let mut partners: Vec<Partner> = settings.partners.iter().map(|p| Partner::clone(p)).collect();
    for (key, value) in script.settings() {
        let known = world::set_trust_of_all(&mut partners, key, value);
        let ours = [
            "to",
            "level",
            "evidence",
            "tls",
            "resumed",
            "crl",
            "crl_fetch",
            "handshake",
            "own",
            "own_certificate",
            "clear_text",
            "policy",
            "implicit_tls",
            "auth",
            "smart_hosts",
        ];
        assert!(known || ours.contains(&key), "no setting {key} = {value}");
    }
    settings.partners = partners.into_iter().map(Arc::new).collect();
    let to = world::domain(script.setting("to").unwrap_or("woodgrovebank.example"));
    let level = match script.setting("level") {
        Some("encryption-only") => Level::EncryptionOnly,
        Some("domain-validation") => Level::DomainValidation,
        Some("none") | None => Level::None,
        Some(other) => panic!("no level {other}"),
    };
    let ordinary: Requirement = secure_domains::ordinary(&settings, Direction::Outbound, &to, level);
    let listed = secure_domains::requirement(&settings, Direction::Outbound, &to)
        .filter(|_| script.setting("level").is_none());
    let host = "mx.woodgrovebank.example";
    let published = script.setting("policy").map(|name| published(name, &ordinary, host));
    let mut connector = world::send_connector();
    connector.implicit_tls = script.setting("implicit_tls").is_some();
    if let Some(way) = script.setting("auth") {
        let name = script.setting("smart_hosts").unwrap_or(host);
        connector.smart_hosts =
            vec![SmartHost { host: SmartHostName::Name(world::domain(name)), port: None }];
        connector.smart_host_auth = Some(Arc::new(credential(way)));
    }
    Opening {
        entropy: [0; 32],
        id: SessionId(0x08D6_75E5_8CA1_DA39),
        connector: Arc::new(connector),
        local: "192.0.2.25:40000".parse().unwrap(),
        remote: "203.0.113.25:25".parse().unwrap(),
        host: host.to_owned(),
        fallback: (listed.is_some() || published.is_some()).then(|| ordinary.clone()),
        requirement: published.or(listed).unwrap_or(ordinary),
        own_certificate_fault: script.setting("own_certificate").map(str::to_owned),
        certificate: Some(Arc::new(pki.identity("fabrikam").to_own("mail.contoso.example"))),
        clear_text: script.setting("clear_text").is_some(),
        fetch_revocation: script.setting("crl_fetch").is_some(),
        message: script.setting("message").map(str::to_owned),
    }
}
