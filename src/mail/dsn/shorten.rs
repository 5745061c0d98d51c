//! A report that gave a message back and proved too much for the way home, without it.

use super::encode::{plain_enough, quoted_printable};
use super::original::assembled;
use crate::mail::header::{self, HeaderSection};

/// A report of ours with the header section in place of the message that it returns: pure ASCII. None
/// where it returns no message/rfc822, and so cannot become less. `report` may lack its end.
pub fn shorten(report: &[u8]) -> Option<Vec<u8>> {
    let (head, body_at) = header::split(report);
    let kind = HeaderSection::new(head).find("Content-Type")?.value();
    let boundary = String::from_utf8(kind).ok()?.split("boundary=\"").nth(1)?.split('"').next()?.to_owned();
    let delimiter = format!("\r\n--{boundary}\r\n");
    let part_at = memchr::memmem::find_iter(report, delimiter.as_bytes()).nth(2)? + delimiter.len();
    let (part_head, message_at) = header::split(report.get(part_at..)?);
    let is_message = HeaderSection::new(part_head).find("Content-Type")?.value() == b"message/rfc822";
    let returned = report.get(part_at + message_at..).filter(|_| is_message)?;
    let (returned_head, _) = header::split(returned);
    let (encoding, returned_head) = match plain_enough(returned_head, false) {
        true => ("7bit", returned_head.to_vec()),
        false => ("quoted-printable", quoted_printable(returned_head)),
    };
    let description = "Header section of your message, which your mail server does not take whole";
    let part = assembled("text/rfc822-headers; charset=utf-8", description, encoding, &returned_head);
    let head = HeaderSection::new(head).without(|name| name == "content-transfer-encoding");
    let between = &report[body_at..part_at];
    let end = format!("\r\n--{boundary}--\r\n");
    let shortened = [&head[..], b"\r\n", between, &part, end.as_bytes()].concat();
    shortened.is_ascii().then_some(shortened)
}
