//! A receive session with a driver that does what always is the same; what is peculiar to a target is
//! left to it.

use std::sync::Arc;

use sealpost::policy::{Pressure, ReceiveConnector};
use sealpost::session::receive::{Action, Input, Opening, ReceiveSession, World};
use sealpost::smtp::SessionId;

use super::lab::LAB;

pub struct Receiver {
    session: ReceiveSession,
    pub sent: Vec<u8>,
    /// Lines of the protocol log.
    pub logged: Vec<String>,
    pub closed: bool,
}

/// Carries out what a target wants to see; the input that answers it, if it has one.
pub type Desk<'a> = dyn FnMut(Action) -> Option<Input<'static>> + 'a;

impl Receiver {
    pub fn new(connector: &Arc<ReceiveConnector>) -> Self {
        let opening = Opening {
            id: SessionId(0x08D6_75E5_8CA1_DA38),
            local: connector.bindings[0],
            remote: "198.51.100.7:40000".parse().expect("an address"),
            tls_available: true,
            certificate: None,
            balancer: None,
            entropy: [7; 32],
            connector: Arc::clone(connector),
        };
        let session = ReceiveSession::new(opening);
        Self { session, sent: Vec::new(), logged: Vec::new(), closed: false }
    }

    pub fn input(&mut self, input: Input<'_>, desk: &mut Desk<'_>) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let world = World {
                settings: &LAB.settings,
                revocation: &LAB.lists,
                now: LAB.now,
                pressure: Pressure::Normal,
                auth_blocked: false,
            };
            let mut actions = Vec::new();
            self.session.handle(input, world, &mut actions);
            for action in actions {
                assert!(!self.closed, "{action:?} behind Close");
                inputs.extend(self.perform(action, desk));
            }
            assert!(inputs.len() <= 1, "more than one answer is awaited at a time");
        }
    }

    fn perform(&mut self, action: Action, desk: &mut Desk<'_>) -> Option<Input<'static>> {
        match action {
            Action::Send(bytes) => self.sent.extend_from_slice(&bytes),
            Action::Log(line) => self.logged.push(line.to_string()),
            Action::AskRate | Action::AskPartnerRate(_) => return Some(Input::RateChecked(Ok(()))),
            Action::FetchRevocation(_) => return Some(Input::RevocationRefreshed),
            Action::Delay(_) | Action::CountRecipient | Action::Report(_) => {}
            Action::Close => self.closed = true,
            peculiar => return desk(peculiar),
        }
        None
    }

    /// The last lines of all replies so far: a reply each.
    pub fn replies(&self) -> Vec<String> {
        let sent = std::str::from_utf8(&self.sent).expect("replies are text");
        let last = sent.lines().filter(|line| line.as_bytes().get(3) == Some(&b' '));
        last.map(str::to_owned).collect()
    }
}
