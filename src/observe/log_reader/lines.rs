//! Lines of a file, one after the other, however long they are.

use std::io::{self, BufRead, Read};

/// Longest line that is looked at, octets; the rest of a longer one is passed over.
pub(in crate::observe) const LINE_BYTES_MAX: u64 = 256 << 10;

/// What `read_line` found.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::observe) enum Found {
    Line,
    /// Octets without a line end: the writer is not done, or the file was cut off.
    Torn,
    End,
}

/// Reads one line into `line`, bounded; returns what was found and how many octets it took.
pub(in crate::observe) fn read_line(
    reader: &mut impl BufRead,
    line: &mut Vec<u8>,
) -> io::Result<(Found, u64)> {
    line.clear();
    let mut taken = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', line)? as u64;
    if taken == 0 {
        return Ok((Found::End, 0));
    }
    let mut ended = line.last() == Some(&b'\n');
    while !ended && taken >= LINE_BYTES_MAX {
        let mut passed = Vec::new();
        let more = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut passed)? as u64;
        if more == 0 {
            break;
        }
        taken += more;
        ended = passed.last() == Some(&b'\n');
    }
    Ok((if ended { Found::Line } else { Found::Torn }, taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_line_is_passed_over_and_the_next_one_read() {
        let mut bytes = vec![b'x'; 3 * usize::try_from(LINE_BYTES_MAX).unwrap()];
        bytes.extend_from_slice(b"\nnext\ntorn");
        let mut reader = bytes.as_slice();
        let mut line = Vec::new();
        assert_eq!(read_line(&mut reader, &mut line).unwrap().0, Found::Line);
        assert_eq!(line.len() as u64, LINE_BYTES_MAX);
        assert_eq!(read_line(&mut reader, &mut line).unwrap(), (Found::Line, 5));
        assert_eq!(line, b"next\n");
        assert_eq!(read_line(&mut reader, &mut line).unwrap(), (Found::Torn, 4));
        assert_eq!(read_line(&mut reader, &mut line).unwrap(), (Found::End, 0));
    }
}
