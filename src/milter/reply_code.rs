//! The SMTP reply that a milter dictates (SMFIR_REPLYCODE): believed only as far as it is one. Its
//! text reaches a client and the protocol log, so nothing in it may end a line.

use crate::mail::EnhancedCode;
use crate::mail::text::printable;
use crate::smtp::Reply;

use super::Fault;

const LINES_MAX: usize = 32;
/// Of one line; with code and enhanced code it keeps within what a client must take.
const TEXT_BYTES_MAX: usize = 480;

/// Reads `550 5.7.1 text`, or several lines of it. Percent signs come doubled.
pub fn read(text: &[u8]) -> Result<Reply, Fault> {
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).collect();
    let lines = match lines.split_last() {
        Some(([], rest)) => rest,
        _ => &lines[..],
    };
    if lines.len() > LINES_MAX {
        return Err(bad(&format!("it has more than {LINES_MAX} lines")));
    }
    let mut code = None;
    let mut enhanced = None;
    let mut texts = Vec::with_capacity(lines.len());
    for line in lines {
        let (of_line, rest) = split(line).ok_or_else(|| bad(&format!("\"{}\"", shown(line))))?;
        if *code.get_or_insert(of_line) != of_line {
            return Err(bad("its lines have different codes"));
        }
        let (status, rest) = split_enhanced(of_line, rest);
        if texts.is_empty() {
            enhanced = status;
        }
        texts.push(shown(rest).replace("%%", "%"));
    }
    match code {
        Some(code) => Ok(Reply { code, enhanced: enhanced.or_else(|| general(code)), lines: texts }),
        None => Err(bad("it is empty")),
    }
}

fn bad(why: &str) -> Fault {
    Fault::BadReply(why.to_owned())
}

/// Code and text; only refusals are for a milter to dictate.
fn split(line: &[u8]) -> Option<(u16, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    if !matches!(digits[0], b'4' | b'5') || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest {
        [] => Some((code, rest)),
        [b' ' | b'-', rest @ ..] => Some((code, rest)),
        _ => None,
    }
}

/// An enhanced code whose class fits; another is taken for text.
fn split_enhanced(code: u16, text: &[u8]) -> (Option<EnhancedCode>, &[u8]) {
    let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    let status = std::str::from_utf8(&text[..end]).ok().and_then(EnhancedCode::parse);
    match status.filter(|status| u16::from(status.class) == code / 100) {
        Some(status) => (Some(status), text[end..].trim_ascii_start()),
        None => (None, text),
    }
}

/// We announce ENHANCEDSTATUSCODES, so a reply without one gets that of a refusal by policy.
fn general(code: u16) -> Option<EnhancedCode> {
    let class = if code >= 500 { 5 } else { 4 };
    (code != 421).then(|| EnhancedCode::new(class, 7, 1))
}

fn shown(text: &[u8]) -> String {
    printable(&text[..text.len().min(TEXT_BYTES_MAX)])
}
