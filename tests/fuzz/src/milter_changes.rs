//! New bodies and header fields of milters: what comes out is whole lines without a bare CR, LF or
//! NUL, whatever the pieces were.

use sealpost::policy::milter::NewBody;

fn body(input: &[u8], piece: usize) -> Option<Vec<u8>> {
    let mut body = NewBody::default();
    input.chunks(piece).for_each(|piece| body.push(piece, 998));
    body.finish().ok()
}

pub fn run(input: &[u8]) {
    let whole = body(input, 1 << 20);
    assert_eq!(whole, body(input, 1));
    if let Some(whole) = whole {
        let text = whole.strip_suffix(b"\r\n").unwrap_or(&whole);
        assert!(whole.is_empty() || whole.ends_with(b"\r\n"));
        let mut lines = text.split(|octet| *octet == b'\n').peekable();
        while let Some(line) = lines.next() {
            let line = if lines.peek().is_some() { line.strip_suffix(b"\r").expect("CRLF") } else { line };
            assert!(!line.contains(&b'\r') && !line.contains(&0) && line.len() <= 998);
        }
    }
}
