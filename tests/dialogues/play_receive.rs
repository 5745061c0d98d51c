//! Plays a dialogue against a receive session, in the driver's stead.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use sealpost::mail::{Now, TlsRequired};
use sealpost::policy::milter::{DiscardAction, Milter, Milters};
use sealpost::policy::recipient_verification::Verified;
use sealpost::policy::{
    AddressSpace, Check, CheckMode, Finding, HeaderFrom, InboundChecks, Limit, Outcome, Partner, Permissions,
    Pressure, Reached, ReceiveConnector, Scope, SendConnector, Settings,
};
use sealpost::session::receive::{
    Action, Input, Inspection, Kept, MilterQuestion, Opening, ReceiveSession, Report, StoreFault, Submission,
    TurnedAway, World,
};
use sealpost::session::transcript::LineKind;
use sealpost::smtp::SessionId;
use sealpost::trust::{Mode, RevocationSet, TlsEvidence, TlsVersion, Verdict, WantedList};

use crate::milter;
use crate::pki::{Pki, clock};
use crate::script::{Record, Script, Step};
use crate::world;

struct Player<'a> {
    script: &'a Script,
    session: ReceiveSession,
    settings: Arc<Settings>,
    revocation: Arc<RevocationSet>,
    /// What there is once a fetch was asked for.
    published: RevocationSet,
    evidence: Arc<TlsEvidence>,
    now: Instant,
    actions: VecDeque<Action>,
    record: Record,
    /// Content that waits to be inspected, and its header section.
    held: Vec<u8>,
    held_head: usize,
    /// A draft was opened and not given back.
    drafting: bool,
    closed: bool,
}

pub fn play(script: &Script, pki: &mut Pki) -> Result<(), String> {
    let mut player = Player::new(script, pki);
    for step in &script.steps {
        match step {
            Step::Connect => {
                let reached = Some(Reached { limit: Limit::Connections, scope: Scope::Connector });
                let refusal =
                    script.setting("refuse").map(|text| TurnedAway { text: text.to_owned(), reached });
                player.input(Input::Connected(refusal));
            }
            Step::Received(bytes) => player.input(Input::Bytes(bytes)),
            Step::Event(event) => player.event(event)?,
            Step::Expected(wanted) => player.record.expect_action(wanted)?,
            Step::Information(wanted) => player.record.expect_information(wanted)?,
            Step::Content(wanted) => player.record.expect_content(wanted)?,
        }
    }
    player.record.expect_end()
}

impl<'a> Player<'a> {
    fn new(script: &'a Script, pki: &mut Pki) -> Self {
        let mut settings = world::settings(pki);
        let mut connector = world::receive_connector();
        let mut partners: Vec<Partner> = settings.partners.iter().map(|p| Partner::clone(p)).collect();
        for (key, value) in script.settings() {
            if !world::set_partners(&mut settings, &mut partners, key, value)
                && !world::set_trust_of_all(&mut partners, key, value)
            {
                set(&mut settings, &mut connector, key, value);
            }
        }
        settings.partners = partners.into_iter().map(Arc::new).collect();
        let connector = Arc::new(connector);
        settings.receive_connectors.push(Arc::clone(&connector));
        let opening = Opening {
            id: SessionId(0x08D6_75E5_8CA1_DA38),
            entropy: [0; 32],
            tls_available: connector.offer_starttls && script.setting("certificate") != Some("missing"),
            connector,
            local: "192.0.2.25:25".parse().unwrap(),
            remote: "198.51.100.7:40000".parse().unwrap(),
            balancer: script.setting("balancer").map(|text| text.parse().unwrap()),
            certificate: Some(Arc::new(pki.identity("fabrikam").to_own("mail.contoso.example"))),
        };
        let name = script.setting("evidence").unwrap_or("none");
        let (peer_chain, revocation, published) = evidence(pki, name, script);
        settings.crl_fetch.enabled = script.setting("crl_fetch").is_some();
        Self {
            script,
            session: ReceiveSession::new(opening),
            settings: Arc::new(settings),
            revocation: Arc::new(revocation),
            published,
            evidence: Arc::new(TlsEvidence {
                version: match script.setting("tls") {
                    Some("1.2") => TlsVersion::Tls12,
                    _ => TlsVersion::Tls13,
                },
                cipher_suite: "TLS13_AES_256_GCM_SHA384".to_owned(),
                key_exchange: Some("X25519MLKEM768".to_owned()),
                resumed: script.setting("resumed").is_some(),
                peer_chain,
                staple: None,
                channel_binding: None,
            }),
            now: Instant::now(),
            actions: VecDeque::new(),
            record: Record::default(),
            held: Vec::new(),
            held_head: 0,
            drafting: false,
            closed: false,
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.handle(input);
        while let Some(action) = self.actions.pop_front() {
            assert!(!self.closed, "an action behind Close: {action:?}");
            self.perform(action);
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        let world = World {
            settings: &self.settings,
            revocation: &self.revocation,
            now: Now { wall: clock(), mono: self.now },
            pressure: match self.script.setting("back_pressure") {
                Some("medium") => Pressure::Medium,
                Some("high") => Pressure::High,
                _ => Pressure::Normal,
            },
            auth_blocked: self.script.setting("auth") == Some("blocked"),
        };
        let mut actions = Vec::new();
        self.session.handle(input, world, &mut actions);
        self.actions.extend(actions);
    }

    fn event(&mut self, event: &str) -> Result<(), String> {
        match event {
            "timeout" => {
                self.now = self.session.deadline().ok_or("there is no deadline")?;
                self.input(Input::Timeout);
            }
            "closed" => self.input(Input::Closed),
            "shutdown" => self.input(Input::Shutdown),
            other => {
                let seconds = other.strip_prefix("wait ").and_then(|text| text.parse().ok());
                self.now += Duration::from_secs(seconds.ok_or(format!("no event is called {other}"))?);
            }
        }
        Ok(())
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Send(bytes) => self.record.sent(&bytes),
            Action::Delay(delay) => self.record.action(format!("= delay {} s", delay.as_secs())),
            Action::StartTls => match self.script.setting("handshake") {
                Some(error) => self.handle(Input::TlsFailed(error.to_owned())),
                None => self.handle(Input::TlsEstablished(Arc::clone(&self.evidence))),
            },
            Action::AskRate => {
                let exceeded = self.script.setting("rate") == Some("exceeded");
                let reached = Reached { limit: Limit::MessageRate, scope: Scope::Source };
                self.handle(Input::RateChecked(if exceeded { Err(reached) } else { Ok(()) }));
            }
            Action::AskPartnerRate(domain) => {
                self.record.action(format!("= partner rate {domain}"));
                let exceeded = self.script.setting("partner_rate") == Some("exceeded");
                let reached = Reached { limit: Limit::MessageRate, scope: Scope::Partner };
                self.handle(Input::RateChecked(if exceeded { Err(reached) } else { Ok(()) }));
            }
            Action::CountRecipient => {}
            Action::FetchRevocation(wanted) => {
                self.record.action(fetch(&wanted));
                self.revocation = Arc::new(self.published.clone());
                self.handle(Input::RevocationRefreshed);
            }
            Action::OpenDraft => {
                self.record.content.clear();
                let answer = self.fault("draft").map_or(Ok("0000000000000001".to_owned()), Err);
                self.drafting = answer.is_ok();
                self.handle(Input::DraftOpened(answer));
            }
            Action::Content(bytes) => {
                assert!(self.drafting, "content of a message that was given back");
                self.record.content.extend_from_slice(&bytes);
                if let Some(fault) = self.fault("content") {
                    self.handle(Input::StoreFailed(fault));
                }
            }
            Action::Inspect(inspection) => self.inspect(&inspection),
            Action::Hold(bytes) => {
                assert!(self.drafting, "content to be held of a message that was given back");
                self.held.extend_from_slice(&bytes);
                if let Some(fault) = self.fault("held") {
                    self.handle(Input::StoreFailed(fault));
                }
            }
            Action::CheckPassword(attempt) => {
                let is_right = (self.script.setting("auth") != Some("busy")).then(|| attempt.is_right());
                self.handle(Input::PasswordChecked(is_right));
            }
            Action::VerifyRecipient(address) => {
                self.record.action(format!("= verify {address}"));
                let known = match self.script.setting("next_hop").unwrap_or("exists") {
                    "exists" => Verified::Exists,
                    "any" => Verified::AnyIsTaken,
                    "missing" => Verified::Missing("550 5.1.1 who?".to_owned()),
                    why => Verified::Unknown(why.to_owned()),
                };
                self.handle(Input::RecipientVerified(known));
            }
            Action::AskMilters(question) => self.ask_milters(*question),
            Action::AppendHeld => {
                let held = std::mem::take(&mut self.held);
                self.record.content.extend_from_slice(&held[self.held_head..]);
            }
            Action::Commit(submission) => self.commit(&submission),
            Action::DiscardDraft => {
                self.drafting = false;
                self.held.clear();
                self.record.action("= discard");
            }
            Action::Log(line) if line.kind == LineKind::Information => {
                self.record.information(&line.data, &line.context);
            }
            Action::Log(_) => {}
            Action::Report(report) => self.report(&report),
            Action::Close => {
                self.record.action("-");
                self.closed = true;
            }
        }
    }

    /// Finds what the script says, after `= inspect` and what is inspected.
    fn inspect(&mut self, inspection: &Inspection) {
        let found = |of_sender: bool| {
            let all =
                self.script.settings().filter(|(key, _)| *key == "found").map(|(_, value)| finding(value));
            all.filter(|found| matches!(found.check, Check::Spf | Check::DnsBlockList) == of_sender).collect()
        };
        match inspection {
            Inspection::Sender { reverse_path, .. } => {
                let findings = found(true);
                self.record.action(format!("= inspect sender <{reverse_path}>"));
                self.handle(Input::SenderInspected(findings));
            }
            Inspection::Content { head, .. } => {
                let answer = match self.fault("inspection") {
                    Some(fault) => Err(fault),
                    None => Ok((self.held[..*head].to_vec(), found(false))),
                };
                self.held_head = *head;
                self.record.action(format!("= inspect content {} {head}", self.held.len()));
                self.handle(Input::ContentInspected(answer));
            }
        }
    }

    /// Says what the script says that a milter says: `: milter sender reject`.
    fn ask_milters(&mut self, question: MilterQuestion) {
        let said = |of: &str| {
            let all = self.script.settings().filter(|(key, _)| *key == "milter");
            let all = all.filter_map(|(_, value)| value.strip_prefix(of)?.strip_prefix(' '));
            all.map(str::to_owned).collect::<Vec<String>>()
        };
        match question {
            MilterQuestion::Sender { reverse_path, parameters, .. } => {
                let said = said("sender");
                self.record.action(format!("= ask milters <{reverse_path}> {}", parameters.join(" ")).trim());
                self.handle(Input::MiltersAsked(said.iter().map(|text| milter::word(text)).collect()));
            }
            MilterQuestion::Recipient { recipient, .. } => {
                let said = said("recipient");
                self.record.action(format!("= ask milters {recipient}"));
                self.handle(Input::MiltersAsked(said.iter().map(|text| milter::word(text)).collect()));
            }
            MilterQuestion::Content { milter, head, .. } => {
                let said = said("content");
                let fields = head.iter().filter(|octet| **octet == b':').count();
                assert!(fields > 0);
                self.record.action(format!("= ask milter {milter}"));
                let filtered = match self.fault("milter") {
                    Some(fault) => Err(fault),
                    None => Ok(Box::new(milter::filtered(&said))),
                };
                self.handle(Input::MilterAnswered(filtered));
            }
        }
    }

    fn fault(&self, when: &str) -> Option<StoreFault> {
        match self.script.setting("store")?.split_once(' ')? {
            (at, "disk-full") if at == when => Some(StoreFault::DiskFull),
            (at, "error") if at == when => Some(StoreFault::Other),
            _ => None,
        }
    }

    fn commit(&mut self, submission: &Submission) {
        assert_eq!(submission.size, self.record.content.len() as u64);
        let dsn = &submission.envelope.dsn;
        let recipients = (0..).zip(&submission.envelope.recipients);
        let recipients: Vec<String> =
            recipients.map(|(index, recipient)| format!("{recipient}{}", dsn.of(index))).collect();
        let mut text = format!("= commit {}{}", recipients.join(","), dsn.message);
        if let Some(domain) = submission.permit.secured_domain() {
            text.push_str(&format!(" secured {domain}"));
        }
        if let Some(by) = &submission.held_by {
            text.push_str(&format!(" held by {by}"));
        }
        if submission.eight_bit {
            text.push_str(" 8bit");
        }
        if submission.binary {
            text.push_str(" binary");
        }
        match submission.envelope.tls_required {
            TlsRequired::Yes => text.push_str(" requiretls"),
            TlsRequired::No => text.push_str(" tls-required-no"),
            TlsRequired::Unstated => {}
        }
        self.record.action(text);
        let kept = match self.script.setting("store") {
            Some("commit relayed") => Kept::Relayed,
            Some(_) | None => Kept::Durable,
        };
        let answer = self.fault("commit").map_or(Ok(kept), Err);
        self.handle(Input::Stored(answer));
    }

    fn report(&mut self, report: &Report) {
        match report {
            Report::Judged(verdict) => self.record.action(judged(verdict)),
            Report::Discarded { milter, .. } => self.record.action(format!("= discarded by {milter}")),
            Report::HandshakeFailed { .. } => self.record.action("= handshake failed HandshakeFailed"),
            Report::Authentication { mechanism, user, failure: None } => {
                self.record.action(format!("= authenticated {mechanism} {user}"));
            }
            Report::Authentication { mechanism, user, failure: Some(why) } => {
                self.record.action(format!("= not authenticated {mechanism} {user}: {why}"));
            }
            Report::HandshakeDone { .. }
            | Report::Checked { .. }
            | Report::Filtered { .. }
            | Report::Verified { .. }
            | Report::ChangeDenied { .. }
            | Report::Accepted { .. }
            | Report::Refused { .. }
            | Report::LimitReached(_)
            | Report::ProtocolError { .. } => {}
        }
    }
}

/// `spf fail`, `spf fail refused`: a check, what it came to, and whether that asks for a refusal.
fn finding(text: &str) -> Finding {
    let words: Vec<&str> = text.split(' ').collect();
    let check = *Check::ALL.iter().find(|check| check.name() == words[0]).expect("a check");
    let outcome = match words[1] {
        "pass" => Outcome::Pass,
        "fail" => Outcome::Fail,
        "temperror" => Outcome::TempError,
        other => panic!("no outcome {other}"),
    };
    let found = Finding::new(check, outcome, "").with("policy.test", "yes");
    if words.get(2) == Some(&"refused") { found.refused() } else { found }
}

/// `= judged FAULT DOMAIN`, with `report` behind it where that is the mode.
pub fn judged(verdict: &Verdict) -> String {
    let fault = verdict.fault().map_or("good", |fault| fault.name());
    let mode = match verdict.mode {
        Mode::Enforce => "",
        Mode::Report => " report",
    };
    format!("= judged {fault} {}{mode}", verdict.domain)
}

/// `= fetch URLS` of each list.
pub fn fetch(wanted: &[WantedList]) -> String {
    let urls: Vec<&str> = wanted.iter().flat_map(WantedList::urls).collect();
    format!("= fetch {}", urls.join(" "))
}

/// The chain of that name, the lists at hand (`: crl none`, `: crl outdated`), and those after a
/// fetch (`: crl_fetch good`, `revoked` or `fails`).
pub fn evidence(
    pki: &mut Pki,
    name: &str,
    script: &Script,
) -> (Vec<CertificateDer<'static>>, RevocationSet, RevocationSet) {
    if name == "revoked" || name.starts_with("published") {
        let identity = pki.identity(name);
        let naming_it = pki.revocation(1, &[&identity]);
        let at_hand = match script.setting("crl") {
            Some("none") => RevocationSet::default(),
            Some("outdated") => pki.outdated_revocation(),
            Some(_) | None => naming_it.clone(),
        };
        let published = match script.setting("crl_fetch") {
            Some("good") => pki.revocation(2, &[]),
            Some("revoked") => naming_it,
            Some(_) | None => at_hand.clone(),
        };
        return (identity.chain, at_hand, published);
    }
    let lists = match script.setting("crl") {
        Some("none") => RevocationSet::default(),
        Some("outdated") => pki.outdated_revocation(),
        Some(_) | None => pki.revocation(1, &[]),
    };
    (pki.evidence(name), lists.clone(), lists)
}

fn set(settings: &mut Settings, connector: &mut ReceiveConnector, key: &str, value: &str) {
    match (key, value) {
        ("spf" | "dkim" | "dmarc" | "arc" | "dns_block_list_action" | "partner_checks", word) => {
            let mut checks = InboundChecks::clone(&connector.checks);
            *match key {
                "spf" => &mut checks.spf,
                "dkim" => &mut checks.dkim,
                "dmarc" => &mut checks.dmarc,
                "arc" => &mut checks.arc,
                "partner_checks" => &mut checks.of_partners,
                _ => &mut checks.dns_block_list,
            } = match word {
                "off" => CheckMode::Off,
                "mark" => CheckMode::Mark,
                _ => CheckMode::Enforce,
            };
            connector.checks = Arc::new(checks);
        }
        ("recipient_verification", word) => {
            let mode = if word == "mark" { CheckMode::Mark } else { CheckMode::Enforce };
            settings.accepted_domains.iter_mut().for_each(|accepted| accepted.verification = mode);
        }
        ("milters", word) => {
            let mode = if word == "mark" { CheckMode::Mark } else { CheckMode::Enforce };
            connector.milters = Arc::new(Milters { all: vec![Arc::new(milter::settings())], mode });
        }
        ("discard_action", word) => {
            let action = if word == "reject" { DiscardAction::Reject } else { DiscardAction::Quarantine };
            let filter = Milter { discard_action: action, ..milter::settings() };
            connector.milters =
                Arc::new(Milters { all: vec![Arc::new(filter)], ..Milters::clone(&connector.milters) });
        }
        ("header_from", "off") => settings.transport.header_from = HeaderFrom::Off,
        ("header_from", "mark") => settings.transport.header_from = HeaderFrom::Mark,
        ("header_from", "reject") => settings.transport.header_from = HeaderFrom::Reject,
        ("require_tls", "true") => connector.require_tls = true,
        ("permissions", "authenticated-relay") => {
            connector.permissions = Permissions { submit: false, relay: false, authenticated_relay: true };
        }
        ("users", "some") => world::let_users_in(settings, connector),
        ("permissions", "relay") => connector.permissions.relay = true,
        ("implicit_tls", "true") => connector.implicit_tls = true,
        ("auth_mechanism", "none") => connector.offer_starttls = false,
        ("domain_secure_enabled", "false") => connector.domain_secure_enabled = false,
        ("delivery_status_notification_enabled", "false") => connector.offer_dsn = false,
        ("chunking_enabled", "false") => connector.offer_chunking = false,
        ("binary_mime_enabled", "false") => connector.offer_binary_mime = false,
        ("accept_organization_headers", "true") => connector.accept_organization_headers = true,
        // One send connector, for this domain alone.
        ("served", name) => {
            let address_spaces = vec![AddressSpace::Exact(world::domain(name))];
            let served = SendConnector { address_spaces, ..world::send_connector() };
            settings.send_connectors.push(Arc::new(served));
        }
        ("max_message_size", octets) => connector.max_message_size = octets.parse().unwrap(),
        ("session_timeout", seconds) => {
            connector.limits.session_timeout = Duration::from_secs(seconds.parse().unwrap());
        }
        ("tarpit_interval", seconds) => {
            connector.tarpit_interval = Duration::from_secs(seconds.parse().unwrap());
        }
        (
            "evidence" | "tls" | "resumed" | "crl" | "crl_fetch" | "handshake" | "rate" | "partner_rate"
            | "store" | "refuse" | "back_pressure" | "certificate" | "balancer" | "auth" | "found" | "milter"
            | "next_hop",
            _,
        ) => {}
        (key, value) => panic!("no setting {key} = {value}"),
    }
}
