//! The part for programs: message/delivery-status (RFC 3464 2), or
//! message/global-delivery-status (RFC 6533 4).

use jiff::Timestamp;

use super::encode::{LINE_OCTETS_MAX, wrap};
use super::{Diagnostic, Kind, ReceivedFrom, Recipient, Report};
use crate::mail::{Address, date, xtext};

/// The part with its MIME fields.
pub(super) fn part(report: &Report<'_>) -> Vec<u8> {
    let (kind, encoding) = match report.needs_smtputf8() {
        true => ("message/global-delivery-status", "8bit"),
        false => ("message/delivery-status", "7bit"),
    };
    let mut out = format!(
        "Content-Type: {kind}\r\nContent-Description: Delivery status\r\n\
         Content-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    .into_bytes();
    let mut fields = Fields { report, out: &mut out };
    let original = &report.original;
    if let Some(id) = original.envelope_id {
        fields.add_unfolded("Original-Envelope-Id", &id.decoded());
    }
    fields.add("Reporting-MTA", &format!("dns; {}", report.reporting_mta));
    if let Some(ReceivedFrom { helo, ip }) = original.received_from {
        fields.add("Received-From-MTA", &format!("dns; {helo} ([{ip}])"));
    }
    fields.add("X-Sealpost-Queue-ID", original.queue_id);
    fields.date("Arrival-Date", Some(original.arrival));
    for recipient in report.recipients {
        fields.out.extend_from_slice(b"\r\n");
        fields.recipient(recipient);
    }
    out
}

struct Fields<'a, 'r> {
    report: &'a Report<'r>,
    out: &'a mut Vec<u8>,
}

impl Fields<'_, '_> {
    fn recipient(&mut self, recipient: &Recipient<'_>) {
        let action = match self.report.kind {
            Kind::Failed => "failed",
            Kind::Delayed => "delayed",
            Kind::Relayed => "relayed",
        };
        let utf8 = self.report.needs_smtputf8();
        if let Some(original) = recipient.original {
            self.add_unfolded("Original-Recipient", &original.field(utf8));
        }
        self.add("Final-Recipient", &address(recipient.address, utf8));
        self.add("Action", action);
        self.add("Status", &recipient.status.with_class(self.report.kind.class()).to_string());
        if let Some(remote) = recipient.remote_mta {
            self.add("Remote-MTA", &format!("dns; {remote}"));
        }
        match recipient.diagnostic {
            Some(Diagnostic::Smtp(reply)) => self.add("Diagnostic-Code", &format!("smtp; {reply}")),
            Some(Diagnostic::Own(finding)) => self.add("Diagnostic-Code", &format!("x-sealpost; {finding}")),
            None => {}
        }
        self.date("Last-Attempt-Date", recipient.last_attempt);
        match self.report.kind {
            Kind::Delayed => self.date("Will-Retry-Until", recipient.retry_until),
            Kind::Failed | Kind::Relayed => {}
        }
        self.add("Final-Log-ID", self.report.original.queue_id);
    }

    fn add(&mut self, name: &str, value: &str) {
        wrap(self.out, &format!("{name}: "), "\t", &self.report.text(value));
    }

    /// A value of the sender's own, blanks and all. It cannot be folded, and escaped it may be longer than
    /// a line may be (RFC 5322 2.1.1): then it is left out, so that the report arrives.
    fn add_unfolded(&mut self, name: &str, value: &str) {
        let line = format!("{name}: {}", self.report.text(value));
        if line.len() <= LINE_OCTETS_MAX {
            self.out.extend_from_slice(line.as_bytes());
            self.out.extend_from_slice(b"\r\n");
        }
    }

    fn date(&mut self, name: &str, at: Option<Timestamp>) {
        if let Some(at) = at {
            self.add(name, &date::rfc5322(at));
        }
    }
}

/// Address type and address; one that is not ASCII is of type `utf-8` (RFC 6533 3), escaped
/// unless the part is UTF-8 itself.
fn address(address: &Address, utf8: bool) -> String {
    match (address.needs_smtputf8(), utf8) {
        (false, _) => format!("rfc822; {address}"),
        (true, true) => format!("utf-8; {address}"),
        (true, false) => format!("utf-8; {}", xtext::encode_utf8_address(&address.to_string())),
    }
}
