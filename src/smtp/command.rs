//! The command grammar (RFC 5321 4.1), strict where leniency has let mail be smuggled.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::mail::dsn::{MessageRequest, RecipientRequest};
use crate::mail::{BodyType, Domain, ForwardPath, ReversePath};

use super::sasl::{self, HIDDEN, Secret};
use super::{Chunk, Extensions, SyntaxError, parameter, path};

/// Longest HELO argument: a domain name has at most 255 octets on the wire (RFC 5321 4.5.3.1.2).
const HELO_BYTES_MAX: usize = 255;

/// Longest name of a SASL mechanism (RFC 4422 3.1).
const MECHANISM_BYTES_MAX: usize = 20;

/// One command line, understood. `Display` writes it as it goes over the wire, without CRLF, but of AUTH
/// only what may stand in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Ehlo(HeloName),
    Helo(HeloName),
    Mail {
        path: ReversePath,
        params: MailParams,
    },
    Rcpt {
        path: ForwardPath,
        dsn: RecipientRequest,
    },
    Data,
    Bdat(Chunk),
    Rset,
    Noop,
    Quit,
    Vrfy,
    Help,
    StartTls,
    /// RFC 4954; whether there is such a mechanism is not looked at here.
    Auth {
        mechanism: String,
        initial: Option<Secret>,
    },
}

/// The parameters of `MAIL`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailParams {
    /// Octets as declared (RFC 1870); beyond `u64` it is `u64::MAX`.
    pub size: Option<u64>,
    pub body: BodyType,
    pub smtputf8: bool,
    pub dsn: MessageRequest,
    /// RFC 8689
    pub requiretls: bool,
}

/// What a client calls itself: letters, digits, `.`, `-`, `_`, or an address literal in brackets;
/// 1 to 255 octets. Nothing in it can break a log line or a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeloName(String);

impl Command {
    /// Reads a line without its CRLF. `extensions` are those announced in reply to this session's
    /// EHLO (none after HELO): parameters of others are unknown. `BDAT` is understood whether it was
    /// announced or not, for octets follow it either way.
    pub fn parse(line: &[u8], extensions: &Extensions) -> Result<Self, SyntaxError> {
        let (verb, argument) = split_verb(line);
        let argument = || std::str::from_utf8(argument).map_err(|_| SyntaxError::NotUtf8);
        match verb.to_ascii_uppercase().as_slice() {
            b"EHLO" => Ok(Command::Ehlo(HeloName::parse(argument()?, "EHLO")?)),
            b"HELO" => Ok(Command::Helo(HeloName::parse(argument()?, "HELO")?)),
            b"MAIL" => parse_mail(argument()?, extensions),
            b"RCPT" => parse_rcpt(argument()?, extensions),
            b"DATA" => alone(Command::Data, argument()?),
            b"BDAT" => {
                argument().map_err(|_| SyntaxError::BadChunk).and_then(Chunk::parse).map(Command::Bdat)
            }
            b"RSET" => alone(Command::Rset, argument()?),
            b"QUIT" => alone(Command::Quit, argument()?),
            b"STARTTLS" => alone(Command::StartTls, argument()?),
            b"NOOP" => argument().map(|_| Command::Noop),
            b"HELP" => argument().map(|_| Command::Help),
            b"VRFY" => match argument()?.trim_matches(' ') {
                "" => Err(SyntaxError::MissingArgument("VRFY")),
                _ => Ok(Command::Vrfy),
            },
            b"EXPN" => Err(SyntaxError::NotImplemented("EXPN")),
            b"AUTH" => parse_auth(argument()?),
            b"ETRN" => Err(SyntaxError::NotImplemented("ETRN")),
            b"TURN" => Err(SyntaxError::NotImplemented("TURN")),
            // With anything but a blank behind it, it is still followed by octets.
            [b'B', b'D', b'A', b'T', ..] => Err(SyntaxError::BadChunk),
            _ => Err(SyntaxError::UnknownCommand),
        }
    }

    /// The verb, upper-case.
    pub fn verb(&self) -> &'static str {
        match self {
            Command::Ehlo(_) => "EHLO",
            Command::Helo(_) => "HELO",
            Command::Mail { .. } => "MAIL",
            Command::Rcpt { .. } => "RCPT",
            Command::Data => "DATA",
            Command::Bdat(_) => "BDAT",
            Command::Rset => "RSET",
            Command::Noop => "NOOP",
            Command::Quit => "QUIT",
            Command::Vrfy => "VRFY",
            Command::Help => "HELP",
            Command::StartTls => "STARTTLS",
            Command::Auth { .. } => "AUTH",
        }
    }
}

/// The verb ends at the first blank; a blank before it is no part of any command.
fn split_verb(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|b| *b == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, &[]),
    }
}

/// Blanks before the CRLF are tolerated (RFC 5321 4.1.1), an argument is not.
fn alone(command: Command, argument: &str) -> Result<Command, SyntaxError> {
    match argument.trim_matches(' ') {
        "" => Ok(command),
        _ => Err(SyntaxError::UnexpectedArgument(command.verb())),
    }
}

fn parse_mail(argument: &str, extensions: &Extensions) -> Result<Command, SyntaxError> {
    let text = behind_keyword(argument, "FROM:")
        .ok_or_else(|| SyntaxError::BadReversePath("MAIL FROM:<address> is expected".to_owned()))?;
    let (path, params) = path::reverse(text)?;
    Ok(Command::Mail { path, params: parameter::mail(params, extensions)? })
}

fn parse_rcpt(argument: &str, extensions: &Extensions) -> Result<Command, SyntaxError> {
    let text = behind_keyword(argument, "TO:")
        .ok_or_else(|| SyntaxError::BadForwardPath("RCPT TO:<address> is expected".to_owned()))?;
    let (path, params) = path::forward(text)?;
    Ok(Command::Rcpt { path, dsn: parameter::rcpt(params, extensions)? })
}

fn parse_auth(argument: &str) -> Result<Command, SyntaxError> {
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let mechanism = words.next().ok_or(SyntaxError::MissingArgument("AUTH"))?;
    let is_name = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    if mechanism.len() > MECHANISM_BYTES_MAX || !mechanism.bytes().all(is_name) {
        return Err(SyntaxError::MalformedParameters);
    }
    let initial = words.next().map(Secret::decode_initial).transpose();
    let initial = initial.map_err(|sasl::NotBase64| SyntaxError::NotBase64)?;
    if words.next().is_some() {
        return Err(SyntaxError::MalformedParameters);
    }
    Ok(Command::Auth { mechanism: mechanism.to_ascii_uppercase(), initial })
}

fn behind_keyword<'a>(argument: &'a str, keyword: &str) -> Option<&'a str> {
    let head = argument.get(..keyword.len())?;
    head.eq_ignore_ascii_case(keyword).then(|| &argument[keyword.len()..])
}

impl HeloName {
    fn parse(argument: &str, verb: &'static str) -> Result<Self, SyntaxError> {
        let name = argument.trim_matches(' ');
        if name.is_empty() {
            return Err(SyntaxError::MissingArgument(verb));
        }
        if name.len() > HELO_BYTES_MAX || !(is_host_name(name) || is_address_literal(name)) {
            return Err(SyntaxError::BadHelo(verb));
        }
        Ok(Self(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Underscores and bare addresses are wrong (RFC 5321 4.1.4) but common, and never a reason to
/// refuse mail.
fn is_host_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

fn is_address_literal(name: &str) -> bool {
    let Some(inner) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return false;
    };
    match inner.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => address.parse::<Ipv6Addr>().is_ok(),
        _ => inner.parse::<Ipv4Addr>().is_ok(),
    }
}

impl From<&Domain> for HeloName {
    fn from(domain: &Domain) -> Self {
        Self(domain.as_str().to_owned())
    }
}

impl fmt::Display for HeloName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::Ehlo(name) => write!(f, "EHLO {name}"),
            Command::Helo(name) => write!(f, "HELO {name}"),
            Command::Mail { path, params } => write!(f, "MAIL FROM:<{path}>{params}"),
            Command::Rcpt { path: ForwardPath::Postmaster, dsn } => write!(f, "RCPT TO:<postmaster>{dsn}"),
            Command::Rcpt { path: ForwardPath::Address(address), dsn } => {
                write!(f, "RCPT TO:<{address}>{dsn}")
            }
            Command::Bdat(chunk) => write!(f, "BDAT {chunk}"),
            Command::Auth { mechanism, initial: None } => write!(f, "AUTH {mechanism}"),
            Command::Auth { mechanism, initial: Some(_) } => write!(f, "AUTH {mechanism} {HIDDEN}"),
            // We verify nothing and ask nobody to: the argument is not kept.
            Command::Vrfy => f.write_str("VRFY postmaster"),
            Command::Data
            | Command::Rset
            | Command::Noop
            | Command::Quit
            | Command::Help
            | Command::StartTls => f.write_str(self.verb()),
        }
    }
}

/// Each parameter with a blank before it.
impl fmt::Display for MailParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(size) = self.size {
            write!(f, " SIZE={size}")?;
        }
        match self.body {
            BodyType::SevenBit => {}
            BodyType::EightBitMime => f.write_str(" BODY=8BITMIME")?,
            BodyType::BinaryMime => f.write_str(" BODY=BINARYMIME")?,
        }
        if self.smtputf8 {
            f.write_str(" SMTPUTF8")?;
        }
        if self.requiretls {
            f.write_str(" REQUIRETLS")?;
        }
        write!(f, "{}", self.dsn)
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
