//! Reverse-path and forward-path on the wire (RFC 5321 4.1.2): angle brackets, source routes, and
//! where the path ends and the parameters begin.

use crate::mail::{Address, AddressError, Domain, ForwardPath, ReversePath};

use super::SyntaxError;

/// Which side of the envelope a path stands for: the replies differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Reverse,
    Forward,
}

/// Reads `<...>` at the start of `text`; hands back what stands behind it, without blanks.
pub(super) fn reverse(text: &str) -> Result<(ReversePath, &str), SyntaxError> {
    let (inner, rest) = split(text, Side::Reverse)?;
    let path = match inner {
        "" => ReversePath::Null,
        inner => ReversePath::Address(mailbox(inner, Side::Reverse)?),
    };
    Ok((path, rest))
}

/// Like [`reverse`]; `<postmaster>` needs no domain (RFC 5321 4.5.1), and `<>` is nobody.
pub(super) fn forward(text: &str) -> Result<(ForwardPath, &str), SyntaxError> {
    let (inner, rest) = split(text, Side::Forward)?;
    let path = match inner {
        inner if inner.eq_ignore_ascii_case("postmaster") => ForwardPath::Postmaster,
        inner => ForwardPath::Address(mailbox(inner, Side::Forward)?),
    };
    Ok((path, rest))
}

fn bad(side: Side, why: &str) -> SyntaxError {
    match side {
        Side::Reverse => SyntaxError::BadReversePath(why.to_owned()),
        Side::Forward => SyntaxError::BadForwardPath(why.to_owned()),
    }
}

/// Splits `<inner> rest`. A `>` inside a quoted local part does not end the path. Blanks before
/// the bracket are no part of the grammar but common, and no two readers can differ over them.
fn split(text: &str, side: Side) -> Result<(&str, &str), SyntaxError> {
    let inner = text
        .trim_start_matches(' ')
        .strip_prefix('<')
        .ok_or_else(|| bad(side, "an address stands between < and >"))?;
    let end = closing_bracket(inner).ok_or_else(|| bad(side, "an address stands between < and >"))?;
    let rest = &inner[end + 1..];
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Err(bad(side, "a blank stands between > and the parameters"));
    }
    Ok((&inner[..end], rest.trim_matches(' ')))
}

fn closing_bracket(inner: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// A mailbox, behind a source route or not. The route is checked and dropped (RFC 5321 3.3, C).
fn mailbox(inner: &str, side: Side) -> Result<Address, SyntaxError> {
    let mailbox = match inner.strip_prefix('@') {
        Some(_) => behind_route(inner).ok_or_else(|| bad(side, "the source route is malformed"))?,
        None => inner,
    };
    Address::parse(mailbox).map_err(|error| match error {
        AddressError::BadDomain(_) | AddressError::BadLiteral => SyntaxError::BadDomain(error.to_string()),
        AddressError::NoAt | AddressError::BadLocalPart => bad(side, &error.to_string()),
    })
}

fn behind_route(inner: &str) -> Option<&str> {
    let (route, mailbox) = inner.split_once(':')?;
    let known = |hop: &str| hop.strip_prefix('@').is_some_and(|domain| Domain::parse(domain).is_ok());
    route.split(',').all(known).then_some(mailbox)
}
