//! Lines and commands: no panic, no line with a stray octet, refusals of one clean line, and what
//! is written is read back.

use sealpost::smtp::sasl::Mechanisms;
use sealpost::smtp::{Command, Extensions, Limits, LineReader, SizeLimit};

pub fn run(input: &[u8]) {
    let offered = Extensions {
        auth: Mechanisms { plain: true, ..Mechanisms::default() },
        pipelining: true,
        size: SizeLimit::Unlimited,
        eight_bit_mime: true,
        smtputf8: true,
        enhanced_status_codes: true,
        starttls: true,
        dsn: true,
        requiretls: true,
        chunking: true,
        binary_mime: true,
        limits: Limits::default(),
    };
    let mut reader = LineReader::new(512);
    for piece in input.chunks(7) {
        reader.push(piece);
        while let Some(line) = reader.next_line() {
            let Ok(line) = line else { continue };
            assert!(!line.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
            match Command::parse(&line, &offered) {
                // What is said to log in is never written.
                Ok(Command::Auth { .. }) => {}
                Ok(command) => {
                    assert_eq!(Command::parse(command.to_string().as_bytes(), &offered), Ok(command));
                }
                Err(error) => assert_eq!(error.reply().to_wire().matches("\r\n").count(), 1),
            }
        }
    }
}
