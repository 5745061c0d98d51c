//! Another reverse-path: what was proved of the first one is not for a milter to give away.

use crate::mail::{Address, ReversePath};

use super::Rules;

/// The path, or why it may not take the place of `present`.
pub fn build(
    path: &str,
    present: &ReversePath,
    smtputf8: bool,
    rules: &Rules<'_>,
) -> Result<ReversePath, String> {
    let wanted = read(path)?;
    if let ReversePath::Address(address) = &wanted
        && address.needs_smtputf8()
        && !smtputf8
    {
        return Err("it needs SMTPUTF8, which the client did not ask for".to_owned());
    }
    if wanted.domain() == present.domain() && wanted.domain().is_some() {
        return Ok(wanted);
    }
    if !rules.proved.is_empty() {
        return Err("the sender's domain has been proved, and stays what it is".to_owned());
    }
    let listed = &rules.settings.transport.tls_receive_domain_secure_list;
    for (domain, whose) in [(wanted.domain(), "the new"), (present.domain(), "the sender's")] {
        if let Some(domain) = domain.filter(|domain| listed.contains(domain)) {
            return Err(format!("{whose} domain {domain} is on the receive list"));
        }
    }
    Ok(wanted)
}

fn read(path: &str) -> Result<ReversePath, String> {
    let bare = bare(path);
    if bare.is_empty() {
        return Ok(ReversePath::Null);
    }
    Address::parse(bare).map(ReversePath::Address).map_err(|error| error.to_string())
}

/// With or without angle brackets: milters write both.
pub fn bare(path: &str) -> &str {
    let path = path.trim();
    path.strip_prefix('<').and_then(|path| path.strip_suffix('>')).unwrap_or(path)
}
