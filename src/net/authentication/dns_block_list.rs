//! DNS block lists (RFC 5782): who lists a client's address, and what the list says of it.

use std::net::IpAddr;

use tokio::task::JoinSet;

use crate::mail::Domain;
use crate::policy::routing::AddressAnswer;
use crate::policy::{Check, Finding, Outcome};

use super::super::resolver::TxtAnswer;
use super::Authenticator;

/// What one list answers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    NotListed,
    Listed { code: IpAddr, text: String },
    Unknown(String),
}

/// Asks every list at once. A finding for each that lists the address or does not answer; one that
/// passes where there is none such.
pub async fn check(
    authenticator: &std::sync::Arc<Authenticator>,
    ip: IpAddr,
    zones: &[Domain],
) -> Vec<Finding> {
    let ip = ip.to_canonical();
    let mut questions = JoinSet::new();
    for (index, zone) in zones.iter().cloned().enumerate() {
        let authenticator = std::sync::Arc::clone(authenticator);
        questions.spawn(async move { (index, ask(&authenticator, ip, &zone).await) });
    }
    let mut answers: Vec<(usize, Answer)> = questions.join_all().await;
    answers.sort_by_key(|(index, _)| *index);
    let answers = answers.into_iter().filter_map(|(index, answer)| Some((zones.get(index)?, answer)));
    let findings: Vec<Finding> = answers.filter_map(|(zone, answer)| finding(ip, zone, answer)).collect();
    if findings.is_empty() {
        return vec![Finding::new(Check::DnsBlockList, Outcome::Pass, "").with("policy.ip", ip.to_string())];
    }
    findings
}

async fn ask(authenticator: &Authenticator, ip: IpAddr, zone: &Domain) -> Answer {
    let name = format!("{}.{zone}", reversed(ip));
    let addresses = match authenticator.lists.ipv4(&name).await {
        AddressAnswer::Addresses(addresses) => addresses,
        AddressAnswer::None => return Answer::NotListed,
        AddressAnswer::Temporary(why) => return Answer::Unknown(why),
    };
    match judge(&addresses) {
        Err(why) => Answer::Unknown(why),
        Ok(None) => Answer::NotListed,
        Ok(Some(code)) => {
            let text = match authenticator.lists.txt(&name).await {
                TxtAnswer::Records(records) => records.into_iter().next().unwrap_or_default(),
                TxtAnswer::None | TxtAnswer::Temporary(_) => String::new(),
            };
            Answer::Listed { code, text }
        }
    }
}

/// Only 127.0.0.0/8 says that an address is listed (RFC 5782 2.1): anything else comes from a zone
/// that has been given up, or from a resolver that invents answers. By custom 127.255.255.0/24 tells
/// that the question was refused.
fn judge(addresses: &[IpAddr]) -> Result<Option<IpAddr>, String> {
    let is_error = |ip: &&IpAddr| matches!(ip, IpAddr::V4(ip) if ip.octets()[..3] == [127, 255, 255]);
    if let Some(code) = addresses.iter().find(is_error) {
        return Err(format!("the list refuses our question with {code}"));
    }
    Ok(addresses.iter().find(|ip| ip.is_ipv4() && ip.is_loopback()).copied())
}

/// Octets, or nibbles of IPv6, last first (RFC 5782 2.1, 2.4).
fn reversed(ip: IpAddr) -> String {
    let labels: Vec<String> = match ip {
        IpAddr::V4(ip) => ip.octets().iter().rev().map(ToString::to_string).collect(),
        IpAddr::V6(ip) => {
            let nibbles = ip.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}")).collect()
        }
    };
    labels.join(".")
}

fn finding(ip: IpAddr, zone: &Domain, answer: Answer) -> Option<Finding> {
    let new = |outcome, reason| {
        Finding::new(Check::DnsBlockList, outcome, reason).with("policy.zone", zone.to_string())
    };
    match answer {
        Answer::NotListed => None,
        Answer::Listed { code, text } => {
            let colon = if text.is_empty() { "" } else { ": " };
            let found = new(Outcome::Fail, format!("{ip} is listed by {zone}{colon}{text}"));
            Some(found.with("policy.code", code.to_string()).refused())
        }
        Answer::Unknown(why) => Some(new(Outcome::TempError, format!("{zone} cannot be asked: {why}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn addresses_are_turned_around() {
        assert_eq!(reversed("192.0.2.99".parse().unwrap()), "99.2.0.192");
        assert_eq!(
            reversed("2001:db8:1:2:3:4:567:89ab".parse().unwrap()),
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2"
        );
    }

    #[test]
    fn only_answers_within_127_list_an_address() {
        assert_eq!(judge(&ips(&["127.0.0.2"])), Ok(Some("127.0.0.2".parse().unwrap())));
        assert_eq!(judge(&ips(&["203.0.113.7"])), Ok(None));
        assert_eq!(judge(&ips(&["203.0.113.7", "127.0.0.10"])), Ok(Some("127.0.0.10".parse().unwrap())));
        assert!(judge(&ips(&["127.255.255.254"])).is_err());
    }

    #[test]
    fn what_a_list_says_is_told() {
        let (ip, zone) = ("192.0.2.9".parse().unwrap(), Domain::parse("zen.example").unwrap());
        let listed =
            Answer::Listed { code: "127.0.0.2".parse().unwrap(), text: "see https://zen.example".to_owned() };
        let found = finding(ip, &zone, listed).unwrap();
        assert_eq!(found.reason, "192.0.2.9 is listed by zen.example: see https://zen.example");
        assert_eq!(finding(ip, &zone, Answer::NotListed), None);
    }
}
