//! Why a command line is not understood, and the reply that says so (RFC 5321 4.2.2, RFC 2034).

use super::Reply;

/// A command line that is refused before anyone asks what it means.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    #[error("unknown command")]
    UnknownCommand,
    #[error("{0} is not implemented")]
    NotImplemented(&'static str),
    #[error("the line is not UTF-8")]
    NotUtf8,
    #[error("{0} takes no argument")]
    UnexpectedArgument(&'static str),
    #[error("{0} needs an argument")]
    MissingArgument(&'static str),
    #[error("{0} needs a host name or an address literal")]
    BadHelo(&'static str),
    /// Not `MAIL FROM:<...>`, or the address in it is no mailbox.
    #[error("bad reverse-path: {0}")]
    BadReversePath(String),
    /// Not `RCPT TO:<...>`, or the address in it is no mailbox.
    #[error("bad forward-path: {0}")]
    BadForwardPath(String),
    /// The domain of either path; CONTRACT wants one reply for both.
    #[error("bad domain in address: {0}")]
    BadDomain(String),
    /// RFC 4954 4
    #[error("what was said to authenticate is not base64")]
    NotBase64,
    #[error("malformed parameters")]
    MalformedParameters,
    /// Not known, or its extension is not in force.
    #[error("parameter {0} is not supported")]
    UnknownParameter(String),
    #[error("parameter {0} is given twice")]
    DuplicateParameter(&'static str),
    #[error("parameter {0} has a bad value")]
    BadParameterValue(&'static str),
    /// How many octets follow is not known, and so neither is where the next command begins.
    #[error("BDAT needs a number of octets, and LAST or nothing behind it; closing transmission channel")]
    BadChunk,
    #[error("parameter {0} has a value that is not implemented")]
    UnsupportedParameterValue(&'static str),
}

impl SyntaxError {
    /// Whether only an address in a command that is understood is wrong: a fault of the mail, not
    /// of the client.
    pub fn is_of_an_address(&self) -> bool {
        match self {
            SyntaxError::BadReversePath(_) | SyntaxError::BadForwardPath(_) | SyntaxError::BadDomain(_) => {
                true
            }
            SyntaxError::UnknownCommand
            | SyntaxError::NotImplemented(_)
            | SyntaxError::NotUtf8
            | SyntaxError::UnexpectedArgument(_)
            | SyntaxError::MissingArgument(_)
            | SyntaxError::BadHelo(_)
            | SyntaxError::NotBase64
            | SyntaxError::MalformedParameters
            | SyntaxError::UnknownParameter(_)
            | SyntaxError::DuplicateParameter(_)
            | SyntaxError::BadParameterValue(_)
            | SyntaxError::BadChunk
            | SyntaxError::UnsupportedParameterValue(_) => false,
        }
    }

    pub fn reply(&self) -> Reply {
        let (code, enhanced) = match self {
            SyntaxError::UnknownCommand => (500, (5, 5, 1)),
            SyntaxError::NotImplemented(_) => (502, (5, 5, 1)),
            SyntaxError::NotUtf8 => (500, (5, 5, 2)),
            SyntaxError::NotBase64 => (501, (5, 5, 2)),
            SyntaxError::UnexpectedArgument(_)
            | SyntaxError::MissingArgument(_)
            | SyntaxError::BadHelo(_)
            | SyntaxError::MalformedParameters
            | SyntaxError::DuplicateParameter(_)
            | SyntaxError::BadChunk
            | SyntaxError::BadParameterValue(_) => (501, (5, 5, 4)),
            SyntaxError::BadReversePath(_) | SyntaxError::BadDomain(_) => (501, (5, 1, 7)),
            SyntaxError::BadForwardPath(_) => (501, (5, 1, 3)),
            SyntaxError::UnknownParameter(_) => (555, (5, 5, 4)),
            SyntaxError::UnsupportedParameterValue(_) => (504, (5, 5, 4)),
        };
        Reply::new(code, enhanced, capitalised(&self.to_string()))
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
