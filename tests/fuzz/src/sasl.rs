//! Clients that log in (RFC 4954): lines of theirs, whatever they are, between exchanges as they should
//! be. An input is a row of deeds, each an octet and, for a line, its octets up to a line feed.
//!
//! Only whoever has said the right password may send; there is one reply to each line; and nothing that
//! was said to log in stands in the protocol log.

use std::sync::Arc;

use sealpost::session::receive::{Action, Input};
use sealpost::smtp::sasl::scram::{self, Binding};
use sealpost::smtp::sasl::{Secret, plain};
use sealpost::trust::{TlsEvidence, TlsVersion};

use super::lab::{LAB, PASSWORD, Shown};
use super::receiver::Receiver;

const BINDING: [u8; 32] = [9; 32];
const DEEDS_MAX: usize = 40;

struct Client {
    receiver: Receiver,
    /// Has said the right password, and was told that it is.
    logged_in: bool,
    /// Said within exchanges that were genuine.
    secrets: Vec<String>,
}

pub fn run(input: &[u8]) {
    let mut client = Client::new();
    let mut script = input;
    for _ in 0..DEEDS_MAX {
        let Some((deed, rest)) = script.split_first().filter(|_| !client.receiver.closed) else { break };
        script = rest;
        match deed % 8 {
            0 => client.scram(PASSWORD, Binding::Bound(BINDING)),
            1 => client.scram("battery staple", Binding::Bound(BINDING)),
            2 => client.scram(PASSWORD, Binding::Bound([0; 32])),
            3 => client.plain(PASSWORD),
            4 => client.plain("battery staple"),
            5 => client.try_to_send(),
            _ => {
                let end = memchr::memchr(b'\n', script).unwrap_or(script.len());
                let line: Vec<u8> = script[..end]
                    .iter()
                    .copied()
                    .filter(|octet| !matches!(octet, b'\r' | 0))
                    .take(1000)
                    .collect();
                script = script.get(end + 1..).unwrap_or_default();
                client.line(&line);
            }
        }
    }
    let log = client.receiver.logged.join("\n");
    for secret in &client.secrets {
        assert!(!log.contains(secret.as_str()), "{secret} stands in the log");
    }
}

fn perform(action: Action) -> Option<Input<'static>> {
    match action {
        Action::StartTls => {
            let evidence = TlsEvidence::clone(&LAB.evidence(Shown::Stranger, TlsVersion::Tls13));
            let evidence = TlsEvidence { channel_binding: Some(BINDING), ..evidence };
            Some(Input::TlsEstablished(Arc::new(evidence)))
        }
        Action::CheckPassword(attempt) => Some(Input::PasswordChecked(Some(attempt.is_right()))),
        Action::OpenDraft => Some(Input::DraftOpened(Ok("0000000000000001".to_owned()))),
        Action::DiscardDraft | Action::Content(_) => None,
        other => panic!("nobody asked for {other:?}"),
    }
}

impl Client {
    fn new() -> Self {
        let mut receiver = Receiver::new(LAB.connector("Users"));
        receiver.input(Input::Connected(None), &mut perform);
        let mut client = Self { receiver, logged_in: false, secrets: Vec::new() };
        client.say("EHLO client.example");
        client
    }

    /// One line, and the last line of the reply to it.
    fn say(&mut self, line: &str) -> String {
        self.send(line.as_bytes())
    }

    fn send(&mut self, line: &[u8]) -> String {
        let before = self.receiver.replies().len();
        let wire = [line, b"\r\n"].concat();
        self.receiver.input(Input::Bytes(&wire), &mut perform);
        let replies = self.receiver.replies();
        // A last reply may tell why the session is over.
        let extra = replies.len() - before;
        assert!(
            extra == 1 || (self.receiver.closed && extra == 2),
            "{extra} replies to {}",
            line.escape_ascii()
        );
        replies.last().cloned().unwrap_or_default()
    }

    /// A line that nobody knows the meaning of. If it leaves us within an exchange or a transaction, that
    /// is given up.
    fn line(&mut self, line: &[u8]) {
        let verb = line.to_ascii_uppercase();
        // These are followed by octets that are no lines, or mean another connection.
        if [&b"BDAT"[..], b"DATA", b"QUIT"].iter().any(|known| verb.starts_with(known)) {
            return;
        }
        let reply = self.send(line);
        assert!(!reply.starts_with("235 "), "logged in without a password: {}", line.escape_ascii());
        if reply.starts_with("334 ") {
            assert!(self.say("*").starts_with("501 "));
        }
    }

    fn scram(&mut self, password: &str, binding: Binding) {
        let right = password == PASSWORD && matches!(binding, Binding::Bound(BINDING));
        let (exchange, first) = scram::begin("alice", password, "fuzz", binding);
        let challenge = self.say(&format!("AUTH SCRAM-SHA-256-PLUS {}", *first.encode_initial()));
        let Some(said) = challenge.strip_prefix("334 ") else { return self.not_now(&challenge) };
        let said = Secret::decode(said.as_bytes()).expect("base64");
        let (proved, proof) = exchange.prove(&said).expect("a challenge");
        self.secrets.push(proof.encode().to_string());
        let mut reply = self.say(&proof.encode());
        if right {
            let signature = reply.strip_prefix("334 ").expect("the server's proof");
            proved
                .verify(&Secret::decode(signature.as_bytes()).expect("base64"))
                .expect("the server knows it");
            reply = self.say("");
        }
        self.told(&reply, right);
    }

    fn plain(&mut self, password: &str) {
        let message = plain::message("alice", password).encode();
        self.secrets.extend([message.to_string(), password.to_owned()]);
        let reply = self.say(&format!("AUTH PLAIN {}", *message));
        if reply.starts_with("235 ") || reply.starts_with("535 ") || reply.starts_with("421 ") {
            self.told(&reply, password == PASSWORD);
        } else {
            self.not_now(&reply);
        }
    }

    fn told(&mut self, reply: &str, right: bool) {
        assert_eq!(reply.starts_with("235 "), right, "{reply}");
        self.logged_in |= right;
    }

    /// Out of place: somebody has logged in, there is no greeting, or a transaction is open.
    fn not_now(&self, reply: &str) {
        assert!(reply.starts_with("503 "), "{reply}");
    }

    fn try_to_send(&mut self) {
        self.say("RSET");
        let reply = self.say("MAIL FROM:<alice@litware.example>");
        if !self.receiver.closed && !reply.starts_with("503 ") {
            assert_eq!(reply.starts_with("250 "), self.logged_in, "{reply}");
        }
        if !self.receiver.closed {
            self.say("RSET");
        }
    }
}
