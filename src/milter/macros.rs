//! Macros: facts about session and message that go before a command, under the names that Sendmail
//! gave them. A milter may say at the start which ones it wants at which step.

use std::collections::BTreeMap;

use super::Stage;
use super::packet;

/// The names that have a meaning here; those of more than one letter stand in braces.
pub mod names {
    pub const HOST: &str = "j";
    pub const PROGRAM: &str = "v";
    pub const QUEUE_ID: &str = "i";
    pub const CLIENT: &str = "_";
    pub const DAEMON_NAME: &str = "{daemon_name}";
    pub const DAEMON_ADDRESS: &str = "{daemon_addr}";
    pub const DAEMON_PORT: &str = "{daemon_port}";
    pub const CLIENT_ADDRESS: &str = "{client_addr}";
    pub const CLIENT_NAME: &str = "{client_name}";
    pub const CLIENT_PORT: &str = "{client_port}";
    pub const CLIENT_RESOLVE: &str = "{client_resolve}";
    pub const TLS_VERSION: &str = "{tls_version}";
    pub const CIPHER: &str = "{cipher}";
    pub const CERT_SUBJECT: &str = "{cert_subject}";
    pub const CERT_ISSUER: &str = "{cert_issuer}";
    pub const VERIFY: &str = "{verify}";
    pub const MAIL_ADDRESS: &str = "{mail_addr}";
    pub const MAIL_HOST: &str = "{mail_host}";
    pub const MAIL_MAILER: &str = "{mail_mailer}";
    pub const RCPT_ADDRESS: &str = "{rcpt_addr}";
    pub const RCPT_HOST: &str = "{rcpt_host}";
    pub const RCPT_MAILER: &str = "{rcpt_mailer}";
    pub const AUTH_TYPE: &str = "{auth_type}";
    pub const AUTH_IDENTITY: &str = "{auth_authen}";
}

use names as n;

/// What is known so far, name → value.
#[derive(Clone, Debug, Default)]
pub struct Macros {
    known: BTreeMap<&'static str, String>,
}

impl Macros {
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.known.insert(name, value.into());
    }

    pub fn unset(&mut self, name: &'static str) {
        self.known.remove(name);
    }

    /// Appends the packet that goes before a command of this letter; none where nothing is known
    /// that is wanted. `wanted` are the names that the milter asked for at this step.
    pub(super) fn write(&self, stage: Stage, letter: u8, wanted: Option<&[String]>, out: &mut Vec<u8>) {
        let mut body = vec![letter];
        let mut put = |name: &str, value: &str| {
            body.extend_from_slice(name.as_bytes());
            body.push(0);
            body.extend(value.bytes().filter(|byte| !matches!(byte, 0 | b'\r' | b'\n')));
            body.push(0);
        };
        match wanted {
            Some(wanted) => {
                for name in wanted {
                    if let Some((known, value)) = self.find(name) {
                        put(known, value);
                    }
                }
            }
            None => {
                for name in by_default(stage) {
                    if let Some(value) = self.known.get(name) {
                        put(name, value);
                    }
                }
            }
        }
        if body.len() > 1 {
            packet::write(out, b'D', &[&body]);
        }
    }

    /// `{name}` and `name` are one; a milter may write either.
    fn find(&self, wanted: &str) -> Option<(&'static str, &String)> {
        let bare = |name: &'_ str| name.trim_start_matches('{').trim_end_matches('}').to_owned();
        let wanted = bare(wanted);
        self.known.iter().find(|(name, _)| bare(name) == wanted).map(|(name, value)| (*name, value))
    }
}

/// What Sendmail and Postfix send at each step unless told otherwise.
fn by_default(stage: Stage) -> &'static [&'static str] {
    match stage {
        Stage::Connect => &[
            n::HOST,
            n::CLIENT,
            n::DAEMON_NAME,
            n::DAEMON_ADDRESS,
            n::DAEMON_PORT,
            n::PROGRAM,
            n::CLIENT_ADDRESS,
            n::CLIENT_NAME,
            n::CLIENT_PORT,
            n::CLIENT_RESOLVE,
        ],
        Stage::Helo => &[n::TLS_VERSION, n::CIPHER, n::CERT_SUBJECT, n::CERT_ISSUER, n::VERIFY],
        Stage::Mail => {
            &[n::QUEUE_ID, n::AUTH_TYPE, n::AUTH_IDENTITY, n::MAIL_ADDRESS, n::MAIL_HOST, n::MAIL_MAILER]
        }
        Stage::Rcpt => &[n::QUEUE_ID, n::RCPT_ADDRESS, n::RCPT_HOST, n::RCPT_MAILER],
        Stage::Data | Stage::EndOfHeader | Stage::EndOfMessage => &[n::QUEUE_ID],
        Stage::Header | Stage::Body => &[],
    }
}
