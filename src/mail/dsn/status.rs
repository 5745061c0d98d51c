//! The part for programs: message/delivery-status (RFC 3464 2), or
//! message/global-delivery-status (RFC 6533 4).

use std::fmt::Write as _;

use jiff::Timestamp;

use super::encode::wrap;
use super::{Diagnostic, Kind, Recipient, Report};
use crate::mail::{Address, date};

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
    fields.add("Reporting-MTA", &format!("dns; {}", report.reporting_mta));
    fields.add("X-Sealpost-Queue-ID", report.original.queue_id);
    fields.date("Arrival-Date", Some(report.original.arrival));
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
        };
        self.add("Final-Recipient", &address(recipient.address, self.report.needs_smtputf8()));
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
            Kind::Failed => {}
        }
    }

    fn add(&mut self, name: &str, value: &str) {
        wrap(self.out, &format!("{name}: "), "\t", &self.report.text(value));
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
    if !address.needs_smtputf8() {
        return format!("rfc822; {address}");
    }
    let mut out = "utf-8; ".to_owned();
    for c in address.to_string().chars() {
        let as_it_is = if c.is_ascii() { c.is_ascii_graphic() && !"+=\\".contains(c) } else { utf8 };
        if as_it_is {
            out.push(c);
        } else {
            let _ = write!(out, "\\x{{{:02X}}}", u32::from(c));
        }
    }
    out
}
