//! SPF (RFC 7208): whether a domain permits an address to send in its name, of the HELO name and of
//! the reverse-path.

use std::net::IpAddr;

use mail_auth::common::parse::TxtRecordParser;
use mail_auth::hickory_resolver::proto::rr::{Name, RData};
use mail_auth::spf::Spf;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{SpfOutput, SpfResult};

use crate::mail::{Domain, ReversePath};
use crate::policy::{Check, Finding, Outcome};
use crate::smtp::HeloName;

use super::Authenticator;

/// Who sends.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    pub ip: IpAddr,
    pub helo: &'a HeloName,
    pub reverse_path: &'a ReversePath,
    /// Our name.
    pub hostname: &'a Domain,
}

/// What DMARC needs of SPF later: the domain of the reverse-path, or of HELO where that is null, and
/// what it came to.
#[derive(Clone, Debug)]
pub struct SpfEvidence {
    pub(super) domain: String,
    pub(super) output: SpfOutput,
}

impl SpfEvidence {
    /// Nothing is known for now.
    pub fn unknown(client: &Client<'_>) -> Self {
        let domain = mail_from_domain(client);
        let output = SpfOutput::new(domain.clone()).with_result(SpfResult::TempError);
        Self { domain, output }
    }
}

/// The finding of a client about which nothing can be known now.
pub fn unknown(client: &Client<'_>, why: &str) -> Finding {
    identified(Finding::new(Check::Spf, Outcome::TempError, why), client)
}

/// Looks at the reverse-path, and at the HELO name, which alone stands for a null reverse-path
/// (RFC 7208 2.3, 2.4). The latter is told only where it says something.
pub async fn check(authenticator: &Authenticator, client: &Client<'_>) -> (Vec<Finding>, SpfEvidence) {
    let helo = evaluate(authenticator, client, true);
    let ReversePath::Address(_) = client.reverse_path else {
        let output = helo.await;
        let found = identified(finding(client, &output), client);
        return (vec![found], SpfEvidence { domain: output.domain().to_owned(), output });
    };
    let (helo, output) = tokio::join!(helo, evaluate(authenticator, client, false));
    let mut findings = vec![identified(finding(client, &output), client)];
    if matches!(helo.result(), SpfResult::Pass | SpfResult::Fail) {
        findings.push(finding(client, &helo).with("smtp.helo", client.helo.as_str()));
    }
    (findings, SpfEvidence { domain: mail_from_domain(client), output })
}

async fn evaluate(authenticator: &Authenticator, client: &Client<'_>, of_helo: bool) -> SpfOutput {
    let (ip, helo, host) = (client.ip.to_canonical(), client.helo.as_str(), client.hostname.as_str());
    let sender = client.reverse_path.to_string();
    let domain = if of_helo { helo.to_owned() } else { mail_from_domain(client) };
    if let Some(result) = record_fault(authenticator, &domain).await {
        return SpfOutput::new(domain).with_result(result);
    }
    let parameters = match of_helo {
        true => SpfParameters::verify_ehlo(ip, helo, host),
        false => SpfParameters::verify_mail_from(ip, helo, host, &sender),
    };
    authenticator.inner.verify_spf(parameters).await
}

/// Two records, or one that cannot be read, are a permanent error (RFC 7208 4.5, 4.6), whatever else
/// the domain says of itself.
async fn record_fault(authenticator: &Authenticator, domain: &str) -> Option<SpfResult> {
    let mut name = Name::from_ascii(Domain::parse(domain).ok()?.as_str()).ok()?;
    name.set_fqdn(true);
    let lookup = authenticator.inner.resolver().txt_lookup(name).await.ok()?;
    let texts = lookup.answers().iter().filter_map(|record| match &record.data {
        RData::TXT(txt) => Some(txt.txt_data.iter().flatten().copied().collect::<Vec<u8>>()),
        _ => None,
    });
    let records: Vec<Vec<u8>> = texts.filter(|text| is_spf(text)).collect();
    let readable = records.iter().all(|record| Spf::parse(record).is_ok());
    (records.len() > 1 || !readable).then_some(SpfResult::PermError)
}

fn is_spf(text: &[u8]) -> bool {
    let version = text.get(..6).is_some_and(|version| version.eq_ignore_ascii_case(b"v=spf1"));
    version && matches!(text.get(6), None | Some(b' '))
}

fn mail_from_domain(client: &Client<'_>) -> String {
    match client.reverse_path {
        ReversePath::Null => client.helo.as_str().to_owned(),
        ReversePath::Address(address) => address.domain().map(ToString::to_string).unwrap_or_default(),
    }
}

fn identified(finding: Finding, client: &Client<'_>) -> Finding {
    match client.reverse_path {
        ReversePath::Null => finding.with("smtp.helo", client.helo.as_str()),
        ReversePath::Address(address) => finding.with("smtp.mailfrom", address.to_string()),
    }
}

fn finding(client: &Client<'_>, output: &SpfOutput) -> Finding {
    let (domain, ip) = (output.domain(), client.ip.to_canonical());
    let new = |outcome, reason: String| Finding::new(Check::Spf, outcome, reason);
    match output.result() {
        SpfResult::Pass => new(Outcome::Pass, String::new()),
        SpfResult::Fail => {
            new(Outcome::Fail, format!("{domain} does not permit {ip} to send in its name")).refused()
        }
        SpfResult::SoftFail => new(Outcome::SoftFail, format!("{domain} does not vouch for {ip}")),
        SpfResult::Neutral => new(Outcome::Neutral, String::new()),
        SpfResult::None => new(Outcome::None, String::new()),
        SpfResult::PermError => {
            new(Outcome::PermError, format!("the SPF records of {domain} cannot be evaluated"))
        }
        SpfResult::TempError => {
            new(Outcome::TempError, format!("the SPF records of {domain} cannot be had at present"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_makes_a_record_one_of_spf() {
        for (text, is) in [
            ("v=spf1", true),
            ("V=SPF1 -all", true),
            ("v=spf10 -all", false),
            ("v=spf2.0/pra -all", false),
            ("google-site-verification=x", false),
            ("", false),
        ] {
            assert_eq!(is_spf(text.as_bytes()), is, "{text}");
        }
    }
}
