//! The part for people.

use jiff::Timestamp;

use super::encode::wrap;
use super::{Diagnostic, Kind, Recipient, Report, TRANSCRIPT_CHARS_MAX, Withheld};
use crate::mail::date;

/// The part with its MIME fields. `withheld`: why the message is not returned though its sender asked
/// for it.
pub(super) fn part(report: &Report<'_>, withheld: Option<Withheld>) -> Vec<u8> {
    let encoding = if report.needs_smtputf8() { "8bit" } else { "7bit" };
    let mut out = format!(
        "Content-Type: text/plain; charset=utf-8\r\nContent-Description: Notification\r\n\
         Content-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    .into_bytes();
    opening(report, &mut out);
    for recipient in report.recipients {
        about(report, recipient, &mut out);
    }
    transcript(report, &mut out);
    if let Some(reason) = withheld {
        out.extend_from_slice(b"\r\n");
        wrap(&mut out, "", "", &without_content(reason));
    }
    out
}

fn without_content(reason: Withheld) -> String {
    let why = match reason {
        Withheld::TooLarge(octets_max) => format!("it has more than {octets_max} octets"),
        Withheld::Secured => {
            "it may travel over authenticated TLS connections only, and this report travels \
                              without such protection"
                .to_owned()
        }
        Withheld::Unreadable => "it can no longer be read here".to_owned(),
        Withheld::Unfit => "its lines are too long to be repeated in a report".to_owned(),
    };
    format!("You asked for the message to be returned. Only its header section is, because {why}.")
}

fn opening(report: &Report<'_>, out: &mut Vec<u8>) {
    let news = match report.kind {
        Kind::Failed => "could not be delivered to the recipients below. It will not be tried again.",
        Kind::Delayed => {
            "could not be delivered to the recipients below yet. You need not send it again: \
             this server goes on trying."
        }
        Kind::Relayed => {
            "was handed over for the recipients below to a mail server that does not confirm delivery. \
             This is the last you hear of it unless it fails there."
        }
    };
    let id = report.text(report.original.queue_id);
    let arrival = date::rfc5322(report.original.arrival);
    let mta = report.reporting_mta;
    wrap(out, "", "", &format!("This is the mail server {mta}."));
    out.extend_from_slice(b"\r\n");
    wrap(out, "", "", &format!("Your message of {arrival} (here known as {id}) {news}"));
}

fn about(report: &Report<'_>, recipient: &Recipient<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
    wrap(out, "", "  ", &format!("<{}>:", report.text(&recipient.address.to_string())));
    let mut say = |text: &str| wrap(out, "  ", "  ", &report.text(text));
    say(recipient.explanation);
    let said_already = |words: &str| recipient.explanation.contains(words);
    match (recipient.diagnostic, recipient.remote_mta) {
        (Some(Diagnostic::Smtp(words) | Diagnostic::Own(words)), _) if said_already(words) => {}
        (Some(Diagnostic::Smtp(reply)), Some(remote)) => say(&format!("The server {remote} said: {reply}")),
        (Some(Diagnostic::Smtp(reply)), None) => say(&format!("The reply: {reply}")),
        (Some(Diagnostic::Own(finding)), Some(remote)) => say(&format!("Found at {remote}: {finding}")),
        (Some(Diagnostic::Own(finding)), None) => say(&format!("Found: {finding}")),
        (None, Some(remote)) => say(&format!("The server spoken to last: {remote}")),
        (None, None) => {}
    }
    if let Some(until) = recipient.retry_until.filter(|_| report.kind == Kind::Delayed) {
        say(&until_when(until));
    }
}

fn until_when(until: Timestamp) -> String {
    format!("Delivery is tried until {}; if it still fails then, you will be told.", date::rfc5322(until))
}

fn transcript(report: &Report<'_>, out: &mut Vec<u8>) {
    if report.transcript.is_empty() {
        return;
    }
    out.extend_from_slice(b"\r\n");
    wrap(out, "", "", "The last lines of the conversation (> this server, < the other, * notes):");
    for line in report.transcript {
        wrap(out, "  ", "      ", &report.cut(line, TRANSCRIPT_CHARS_MAX));
    }
}
