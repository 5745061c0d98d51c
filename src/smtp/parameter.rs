//! The parameters of `MAIL` and `RCPT` (RFC 5321 4.1.2; SIZE: RFC 1870, BODY: RFC 6152 and 3030,
//! SMTPUTF8: RFC 6531, RET, ENVID, NOTIFY and ORCPT: RFC 3461,
//! REQUIRETLS: RFC 8689, AUTH: RFC 4954).

use crate::mail::dsn::RecipientRequest;
use crate::mail::dsn::request::{EnvelopeId, Notify, OriginalRecipient, Return};
use crate::mail::{Address, BodyType, xtext};

use super::extension::SizeLimit;
use super::{Extensions, MailParams, SyntaxError};

/// Longest keyword that is repeated in a reply.
const KEYWORD_SHOWN_MAX: usize = 40;

/// Reads the parameters of `MAIL`, of which only those of an extension in force are known.
pub(super) fn mail(text: &str, extensions: &Extensions) -> Result<MailParams, SyntaxError> {
    let mut params = MailParams::default();
    let (mut body, mut submitted_by) = (None, None);
    for parameter in split(text) {
        let (keyword, value) = parameter?;
        match keyword.to_ascii_uppercase().as_str() {
            "SIZE" if extensions.size != SizeLimit::NotOffered => {
                once("SIZE", params.size.is_some())?;
                params.size = Some(size(value)?);
            }
            "BODY" if extensions.eight_bit_mime || extensions.binary_mime => {
                once("BODY", body.is_some())?;
                body = Some(body_type(value, extensions)?);
            }
            "SMTPUTF8" if extensions.smtputf8 => {
                flag("SMTPUTF8", value, &mut params.smtputf8)?;
            }
            "REQUIRETLS" if extensions.requiretls => {
                flag("REQUIRETLS", value, &mut params.requiretls)?;
            }
            // Whose message it was first; read and not believed: `session/receive/authenticate.rs`.
            "AUTH" if !extensions.auth.is_empty() => {
                once("AUTH", submitted_by.is_some())?;
                submitted_by = Some(given("AUTH", value, submitter)?);
            }
            "RET" if extensions.dsn => {
                once("RET", params.dsn.returns.is_some())?;
                params.dsn.returns = Some(given("RET", value, Return::parse)?);
            }
            "ENVID" if extensions.dsn => {
                once("ENVID", params.dsn.envelope_id.is_some())?;
                params.dsn.envelope_id = Some(given("ENVID", value, EnvelopeId::parse)?);
            }
            _ => return Err(unknown(keyword)),
        }
    }
    params.body = body.unwrap_or_default();
    Ok(params)
}

/// Reads the parameters of `RCPT`.
pub(super) fn rcpt(text: &str, extensions: &Extensions) -> Result<RecipientRequest, SyntaxError> {
    let mut dsn = RecipientRequest::default();
    for parameter in split(text) {
        let (keyword, value) = parameter?;
        match keyword.to_ascii_uppercase().as_str() {
            "NOTIFY" if extensions.dsn => {
                once("NOTIFY", dsn.notify.is_some())?;
                dsn.notify = Some(given("NOTIFY", value, Notify::parse)?);
            }
            "ORCPT" if extensions.dsn => {
                once("ORCPT", dsn.original.is_some())?;
                dsn.original = Some(given("ORCPT", value, OriginalRecipient::parse)?);
            }
            _ => return Err(unknown(keyword)),
        }
    }
    Ok(dsn)
}

/// A parameter that needs a value.
fn given<T>(
    keyword: &'static str,
    value: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, SyntaxError> {
    value.and_then(parse).ok_or(SyntaxError::BadParameterValue(keyword))
}

fn once(keyword: &'static str, seen: bool) -> Result<(), SyntaxError> {
    if seen { Err(SyntaxError::DuplicateParameter(keyword)) } else { Ok(()) }
}

/// A parameter that takes no value.
fn flag(keyword: &'static str, value: Option<&str>, seen: &mut bool) -> Result<(), SyntaxError> {
    once(keyword, *seen)?;
    if value.is_some() {
        return Err(SyntaxError::BadParameterValue(keyword));
    }
    *seen = true;
    Ok(())
}

fn unknown(keyword: &str) -> SyntaxError {
    SyntaxError::UnknownParameter(keyword.chars().take(KEYWORD_SHOWN_MAX).collect())
}

/// 1 to 20 digits; a number that no `u64` holds is larger than any limit.
fn size(value: Option<&str>) -> Result<u64, SyntaxError> {
    let digits = value.unwrap_or_default();
    if !(1..=20).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(SyntaxError::BadParameterValue("SIZE"));
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

/// The values of extensions in force; 7BIT comes with either.
fn body_type(value: Option<&str>, extensions: &Extensions) -> Result<BodyType, SyntaxError> {
    let is = |value: &str, offered: bool, name: &str| offered && value.eq_ignore_ascii_case(name);
    match value {
        Some(value) if is(value, true, "7BIT") => Ok(BodyType::SevenBit),
        Some(value) if is(value, extensions.eight_bit_mime, "8BITMIME") => Ok(BodyType::EightBitMime),
        Some(value) if is(value, extensions.binary_mime, "BINARYMIME") => Ok(BodyType::BinaryMime),
        Some(_) => Err(SyntaxError::UnsupportedParameterValue("BODY")),
        None => Err(SyntaxError::BadParameterValue("BODY")),
    }
}

/// `<>` or an address in xtext (RFC 4954 5).
fn submitter(value: &str) -> Option<()> {
    let known = value == "<>" || Address::parse(&xtext::decode(value)?).is_ok();
    known.then_some(())
}

type Parameter<'a> = (&'a str, Option<&'a str>);

/// `keyword` or `keyword=value`, separated by blanks.
fn split(text: &str) -> impl Iterator<Item = Result<Parameter<'_>, SyntaxError>> {
    text.split(' ').filter(|word| !word.is_empty()).map(|word| {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        };
        let well_formed = is_keyword(keyword) && value.is_none_or(is_value);
        if well_formed { Ok((keyword, value)) } else { Err(SyntaxError::MalformedParameters) }
    })
}

fn is_keyword(keyword: &str) -> bool {
    let mut bytes = keyword.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// `esmtp-value`, with non-ASCII as RFC 6531 3.3 allows it.
fn is_value(value: &str) -> bool {
    !value.is_empty()
        && value.chars().all(|c| match c {
            '=' => false,
            c if c.is_ascii() => c.is_ascii_graphic(),
            c => !c.is_control(),
        })
}
