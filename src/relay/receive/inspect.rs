//! Inspections of a session: content held back, and answers to what the session wants known.

use crate::net::authentication::SpfEvidence;
use crate::observe::Event;
use crate::session::receive::{Input, Inspection, StoreFault};

use super::super::inspection::{Held, Inspector, Sender};
use super::Driver;

/// What a session has held and heard for its transaction.
#[derive(Default)]
pub(super) struct Pending {
    held: Option<Held>,
    /// Octets of its header section.
    head: usize,
    spf: Option<SpfEvidence>,
}

impl Pending {
    /// What is held, and where its body begins.
    pub(super) fn held(&mut self, inspector: &Inspector) -> (&mut Held, u64) {
        (self.held.get_or_insert_with(|| inspector.hold()), self.head as u64)
    }

    /// Another body behind the same header section.
    pub(super) fn replace_body(&mut self, inspector: &Inspector, body: &[u8]) -> std::io::Result<()> {
        let mut held = inspector.hold();
        if let Some(before) = self.held.as_mut() {
            held.push(&before.first(self.head)?)?;
        }
        held.push(body)?;
        self.held = Some(held);
        Ok(())
    }

    pub(super) fn discard(&mut self) {
        self.held = None;
    }
}

impl Driver {
    pub(super) async fn inspect(&mut self, inspection: Inspection) {
        if !self.flush().await {
            return;
        }
        let ip = self.opening.remote.ip();
        let shared = std::sync::Arc::clone(&self.shared);
        match inspection {
            Inspection::Sender { checks, helo, reverse_path } => {
                let settings = shared.settings.load_full();
                let (helo, reverse_path) = (&helo, &reverse_path);
                let sender = Sender { checks: &checks, ip, helo, reverse_path, hostname: &settings.hostname };
                let (findings, spf) = shared.inspector.inspect_sender(&sender).await;
                self.pending.spf = spf;
                self.input(Input::SenderInspected(findings));
            }
            // The session knows of it already, and what is not there cannot be looked at.
            Inspection::Content { .. } if self.draft_failed => {
                self.input(Input::ContentInspected(Err(StoreFault::Other)));
            }
            Inspection::Content { checks, head } => {
                let mut held = self.pending.held.take().unwrap_or_else(|| shared.inspector.hold());
                let spf = self.pending.spf.as_ref();
                let found = shared.inspector.inspect_content(&checks, ip, spf, &mut held, head).await;
                let answer = found.and_then(|findings| Ok((held.first(head)?, findings)));
                self.pending.held = Some(held);
                self.pending.head = head;
                let answer = answer.map_err(|error| self.held_fault(&error));
                self.input(Input::ContentInspected(answer));
            }
        }
    }

    pub(super) fn hold(&mut self, bytes: &[u8]) {
        if self.draft_failed {
            return;
        }
        let held = self.pending.held.get_or_insert_with(|| self.shared.inspector.hold());
        if let Err(error) = held.push(bytes) {
            self.draft_failed = true;
            self.discard_draft();
            let fault = self.held_fault(&error);
            self.input(Input::StoreFailed(fault));
        }
    }

    /// The body of what was held goes where its header section has gone.
    pub(super) fn append_held(&mut self) {
        let head = self.pending.head;
        let Some(held) = self.pending.held.take() else { return };
        let read = held.rest(head, |piece| {
            self.keep(piece);
            !self.draft_failed
        });
        if let Err(error) = read {
            self.draft_failed = true;
            self.discard_draft();
            let fault = self.held_fault(&error);
            self.input(Input::StoreFailed(fault));
        }
    }

    pub(super) fn held_fault(&self, error: &std::io::Error) -> StoreFault {
        self.shared.observer.event(Event::StorageFailed { error: format!("content to be checked: {error}") });
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreFault::DiskFull,
            _ => StoreFault::Other,
        }
    }
}
