//! Requests of other protocols. A browser can be made to post a form to port 25, and what is in the
//! form would then be taken for commands: whoever speaks something else is hung up on at its first
//! line, and whatever stands behind it is never read.

/// What the line belongs to, if it is clearly no SMTP.
pub(super) fn recognise(line: &[u8]) -> Option<&'static str> {
    let line = line.to_ascii_uppercase();
    if line.starts_with(b"SSH-") {
        return Some("SSH");
    }
    let mut words = line.split(|byte| *byte == b' ');
    let (first, last) = (words.next()?, words.next_back().unwrap_or_default());
    match last {
        _ if last.starts_with(b"HTTP/") => Some("HTTP"),
        _ if last.starts_with(b"SIP/") => Some("SIP"),
        _ if last.starts_with(b"RTSP/") => Some("RTSP"),
        _ => is_http_method(first).then_some("HTTP"),
    }
}

/// A client that takes this for port 465 begins with a handshake record (RFC 8446 5.1), which is no line.
/// Later on such octets are a line of nonsense.
pub(super) fn is_tls_record(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x16, 0x03])
}

/// None of them is a verb of SMTP.
fn is_http_method(verb: &[u8]) -> bool {
    const METHODS: [&[u8]; 9] =
        [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"PATCH", b"TRACE"];
    METHODS.contains(&verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_smtp_is_known_by_its_first_line() {
        for (line, protocol) in [
            (&b"GET / HTTP/1.1"[..], Some("HTTP")),
            (b"post /submit HTTP/1.0", Some("HTTP")),
            (b"CONNECT mx.example:25 HTTP/1.1", Some("HTTP")),
            (b"PRI * HTTP/2.0", Some("HTTP")),
            (b"GET /", Some("HTTP")),
            (b"REGISTER sip:mx.example SIP/2.0", Some("SIP")),
            (b"SSH-2.0-OpenSSH_9.2", Some("SSH")),
            (b"EHLO get.example", None),
            (b"MAIL FROM:<http@b.example>", None),
            (b"NOOP HTTP", None),
            (b"", None),
        ] {
            assert_eq!(recognise(line), protocol, "{:?}", String::from_utf8_lossy(line));
        }
    }
}
