//! A header field as a milter wants it, checked before it may stand in a message.

use crate::mail::header::HeaderSection;
use crate::policy::{HeaderFrom, header_firewall};

use super::Rules;

const NAME_BYTES_MAX: usize = 200;
/// Of one line, CRLF not counted (RFC 5322 2.1.1).
const LINE_BYTES_MAX: usize = 998;

/// The field with its CRLFs, or why it may not stand there. `keeps_blank`: the value brings the
/// blank behind the colon along.
pub fn build(name: &[u8], value: &[u8], keeps_blank: bool, rules: &Rules<'_>) -> Result<Vec<u8>, String> {
    check_name(name, rules)?;
    let mut raw = name.to_vec();
    raw.push(b':');
    if !keeps_blank {
        raw.push(b' ');
    }
    push_value(&mut raw, value)?;
    raw.extend_from_slice(b"\r\n");
    if !header_firewall::incoming(&raw, false, rules.settings.ours()).eq(&raw) {
        return Err("this server alone writes such a field".to_owned());
    }
    if raw.split(|byte| *byte == b'\n').any(|line| line.len() > LINE_BYTES_MAX + 1) {
        return Err(format!("a line of it has more than {LINE_BYTES_MAX} octets"));
    }
    check_from(&raw, rules)?;
    Ok(raw)
}

/// Whether fields of this name are a milter's to touch at all.
pub fn check_name(name: &[u8], rules: &Rules<'_>) -> Result<(), String> {
    let is_name = |byte: &u8| (33..=126).contains(byte) && *byte != b':';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.iter().all(is_name) {
        return Err("that is no field name".to_owned());
    }
    let probe = [name, b": x\r\n"].concat();
    if header_firewall::incoming(&probe, false, rules.settings.ours()).is_empty() {
        return Err("this server alone writes such a field".to_owned());
    }
    // It decides over TLS on the way out, and only the sender may ask for it (RFC 8689).
    if name.eq_ignore_ascii_case(b"TLS-Required") {
        return Err("it is the sender's to write".to_owned());
    }
    Ok(())
}

/// Lines end in LF; each after the first must be a continuation.
fn push_value(raw: &mut Vec<u8>, value: &[u8]) -> Result<(), String> {
    let value: Vec<u8> = value.iter().copied().filter(|byte| *byte != b'\r').collect();
    for (number, line) in value.trim_ascii_end().split(|byte| *byte == b'\n').enumerate() {
        if number > 0 {
            let folded = matches!(line.first(), Some(b' ' | b'\t')) && !line.trim_ascii().is_empty();
            if !folded {
                return Err("its second or a later line is no continuation".to_owned());
            }
            raw.extend_from_slice(b"\r\n");
        }
        if line.contains(&0) {
            return Err("it holds a NUL octet".to_owned());
        }
        raw.extend_from_slice(line);
    }
    Ok(())
}

/// A `From:` may not come to speak for a domain on the receive list that the transaction has not
/// proved: the mark or refusal for that has been settled before the milter was asked.
fn check_from(raw: &[u8], rules: &Rules<'_>) -> Result<(), String> {
    let transport = &rules.settings.transport;
    let listed = &transport.tls_receive_domain_secure_list;
    let section = HeaderSection::new(raw);
    if transport.header_from == HeaderFrom::Off || listed.is_empty() || section.find("From").is_none() {
        return Ok(());
    }
    let from = section.from_domains();
    if from.unparsable {
        return Err("its addresses cannot be read".to_owned());
    }
    let unproved = |domain: &&_| listed.contains(*domain) && !rules.proved.contains(domain);
    match from.domains.iter().find(unproved) {
        Some(domain) => Err(format!("{domain} is on the receive list and has not been proved")),
        None => Ok(()),
    }
}
