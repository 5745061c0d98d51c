//! The encodings in which parameters of MAIL and RCPT carry what could not stand there as it is:
//! xtext (RFC 3461 4) and the two forms of a UTF-8 address (RFC 6533 3).

use std::fmt::Write as _;

/// Undoes xtext; none where the text is no xtext, or what it stands for is not printable US-ASCII
/// (RFC 3461 4.2, 4.4), blanks and tabs included.
pub fn decode(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let octet = match byte {
            b'+' => upper_hex(bytes.next()?)? << 4 | upper_hex(bytes.next()?)?,
            b'=' => return None,
            b'!'..=b'~' => byte,
            _ => return None,
        };
        matches!(octet, b'\t' | b' '..=b'~').then(|| out.push(char::from(octet)))?;
    }
    Some(out)
}

fn upper_hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Undoes utf-8-addr-xtext and utf-8-addr-unitext: `\x{F6}` stands for the character of that
/// number. None where the text is neither.
pub fn decode_utf8_address(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix("\\x{") {
            let (digits, tail) = behind.split_once('}')?;
            out.push(code_point(digits)?);
            rest = tail;
            continue;
        }
        let plain = if c.is_ascii() { c.is_ascii_graphic() && !"\\+=".contains(c) } else { !c.is_control() };
        plain.then(|| out.push(c))?;
        rest = &rest[c.len_utf8()..];
    }
    (!out.is_empty()).then_some(out)
}

/// Two to six hexadecimal digits that number a character.
fn code_point(digits: &str) -> Option<char> {
    let well_formed = (2..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    well_formed.then(|| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)).flatten()
}

/// An address as utf-8-addr-xtext: pure ASCII without blanks.
pub fn encode_utf8_address(address: &str) -> String {
    escaped(address, |c| c.is_ascii_graphic() && !"\\+=".contains(c))
}

/// The characters above ASCII of a text that is utf-8-addr-unitext already, escaped: it becomes
/// utf-8-addr-xtext.
pub fn to_ascii(unitext: &str) -> String {
    escaped(unitext, |c| c.is_ascii())
}

fn escaped(text: &str, as_it_is: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if as_it_is(c) {
            out.push(c);
        } else {
            let _ = write!(out, "\\x{{{:02X}}}", u32::from(c));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn xtext_is_undone_and_what_is_none_is_refused() {
        for (text, plain) in [
            ("", ""),
            ("bob@fabrikam.example", "bob@fabrikam.example"),
            ("a+20b+3Dc+2B", "a b=c+"),
            ("+09", "\t"),
        ] {
            assert_eq!(decode(text).as_deref(), Some(plain), "{text}");
        }
        for wrong in ["a=b", "a b", "+", "+4", "+4g", "+3d", "+0A", "+0D", "+00", "+7F", "+C3+BC", "\u{fc}"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_utf8_address_is_read_in_all_its_forms() {
        for form in ["j\u{f6}rg@b.example", "j\\x{F6}rg@b.example", "j\\x{00f6}rg@b.example"] {
            assert_eq!(decode_utf8_address(form).as_deref(), Some("j\u{f6}rg@b.example"), "{form}");
        }
        assert_eq!(decode_utf8_address("a\\x{2B}b\\x{20}\\x{5C}").as_deref(), Some("a+b \\"));
        for wrong in
            ["", "a+b", "a=b", "a\\b", "\\x{}", "\\x{F}", "\\x{F6", "\\x{D800}", "\\x{110000}", "a b"]
        {
            assert_eq!(decode_utf8_address(wrong), None, "{wrong}");
        }
        assert_eq!(to_ascii("j\u{f6}rg\\x{2B}@b.example"), "j\\x{F6}rg\\x{2B}@b.example");
    }

    proptest! {
        #[test]
        fn a_utf8_address_comes_back_from_its_ascii_form(address in "\\PC{1,40}") {
            let encoded = encode_utf8_address(&address);
            prop_assert!(encoded.bytes().all(|b| b.is_ascii_graphic()));
            prop_assert_eq!(decode_utf8_address(&encoded), Some(address));
        }

        #[test]
        fn nothing_that_is_decoded_can_end_a_line(text in any::<String>()) {
            if let Some(plain) = decode(&text) {
                prop_assert!(plain.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)));
            }
        }
    }
}
