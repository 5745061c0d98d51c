//! What a milter is told, step by step.

use std::fmt;
use std::net::IpAddr;

use super::packet;

/// Content in one packet; every milter takes that much.
pub const BODY_BYTES_MAX: usize = 65_535;

/// The steps of the protocol to which a milter may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Connect,
    Helo,
    Mail,
    Rcpt,
    Data,
    Header,
    EndOfHeader,
    Body,
    EndOfMessage,
}

/// One thing told to a milter.
#[derive(Clone, Copy, Debug)]
pub enum Command<'a> {
    /// `host` is the client's name, or its address in brackets where it has none.
    Connect {
        host: &'a str,
        address: IpAddr,
        port: u16,
    },
    Helo(&'a str),
    /// The path in angle brackets, and the parameters as they came.
    Mail {
        path: &'a str,
        parameters: &'a [String],
    },
    Rcpt {
        path: &'a str,
        parameters: &'a [String],
    },
    Data,
    /// One field; the value without its last line end, folded lines with CRLF.
    Header {
        name: &'a [u8],
        value: &'a [u8],
    },
    EndOfHeader,
    /// At most `BODY_BYTES_MAX` octets.
    Body(&'a [u8]),
    EndOfMessage,
    /// The message is dropped; the milter stays for the next. It does not answer.
    Abort,
    /// The session is over; it does not answer.
    Quit,
}

impl Command<'_> {
    /// `None` for what is never answered.
    pub fn stage(&self) -> Option<Stage> {
        Some(match self {
            Command::Connect { .. } => Stage::Connect,
            Command::Helo(_) => Stage::Helo,
            Command::Mail { .. } => Stage::Mail,
            Command::Rcpt { .. } => Stage::Rcpt,
            Command::Data => Stage::Data,
            Command::Header { .. } => Stage::Header,
            Command::EndOfHeader => Stage::EndOfHeader,
            Command::Body(_) => Stage::Body,
            Command::EndOfMessage => Stage::EndOfMessage,
            Command::Abort | Command::Quit => return None,
        })
    }

    pub(super) fn letter(&self) -> u8 {
        match self {
            Command::Connect { .. } => b'C',
            Command::Helo(_) => b'H',
            Command::Mail { .. } => b'M',
            Command::Rcpt { .. } => b'R',
            Command::Data => b'T',
            Command::Header { .. } => b'L',
            Command::EndOfHeader => b'N',
            Command::Body(_) => b'B',
            Command::EndOfMessage => b'E',
            Command::Abort => b'A',
            Command::Quit => b'Q',
        }
    }

    /// `keeps_blank`: the blank behind a field's colon belongs to the value (SMFIP_HDR_LEADSPC).
    pub(super) fn write(&self, keeps_blank: bool, out: &mut Vec<u8>) {
        let letter = self.letter();
        match self {
            Command::Connect { host, address, port } => {
                let (family, address) = match address.to_canonical() {
                    IpAddr::V4(ip) => (b'4', ip.to_string()),
                    IpAddr::V6(ip) => (b'6', ip.to_string()),
                };
                let parts: [&[u8]; 6] =
                    [&text(host.as_bytes()), &[0], &[family], &port.to_be_bytes(), address.as_bytes(), &[0]];
                packet::write(out, letter, &parts);
            }
            Command::Helo(name) => packet::write(out, letter, &[&text(name.as_bytes()), &[0]]),
            Command::Mail { path, parameters } | Command::Rcpt { path, parameters } => {
                let mut body = text(path.as_bytes());
                body.push(0);
                for parameter in *parameters {
                    body.extend(text(parameter.as_bytes()));
                    body.push(0);
                }
                packet::write(out, letter, &[&body]);
            }
            Command::Header { name, value } => {
                let value = if keeps_blank { value } else { value.strip_prefix(b" ").unwrap_or(value) };
                packet::write(out, letter, &[&text(name), &[0], &text(value), &[0]]);
            }
            Command::Body(content) => packet::write(out, letter, &[content]),
            Command::Data | Command::EndOfHeader | Command::EndOfMessage | Command::Abort | Command::Quit => {
                packet::write(out, letter, &[]);
            }
        }
    }
}

/// A string of the protocol: no NUL, and lines end in LF alone.
fn text(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|byte| !matches!(byte, 0 | b'\r')).collect()
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Connect => "the connection",
            Stage::Helo => "HELO",
            Stage::Mail => "MAIL",
            Stage::Rcpt => "RCPT",
            Stage::Data => "DATA",
            Stage::Header => "a header field",
            Stage::EndOfHeader => "the end of the header section",
            Stage::Body => "a piece of the body",
            Stage::EndOfMessage => "the end of the message",
        })
    }
}
