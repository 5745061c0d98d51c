//! What a report says (RFC 8460 4): the counts of one UTC day. The same structures count while the day
//! lasts, and are kept on disk.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::mail::Domain;

/// Kinds of failure told apart under one policy; further ones are counted and not described.
const FAILURE_DETAILS_MAX: usize = 100;

/// A whole report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    pub organization_name: String,
    pub date_range: DateRange,
    pub contact_info: String,
    pub report_id: String,
    pub policies: Vec<PolicyResult>,
}

/// From the first to the last second of a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DateRange {
    pub start_datetime: Timestamp,
    pub end_datetime: Timestamp,
}

/// What became of the sessions under one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PolicyResult {
    pub policy: Policy,
    pub summary: Summary,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure_details: Vec<FailureDetails>,
}

/// A policy as it was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Policy {
    pub policy_type: PolicyType,
    /// The TLSA records, or the lines of the MTA-STS policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy_string: Vec<String>,
    /// The recipient's domain or the smart host; for TLSA the base domain of the records.
    pub policy_domain: Domain,
    /// The patterns of an MTA-STS policy. The text of RFC 8460 has one string here; its schema, and
    /// what is in use everywhere, a list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mx_host: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyType {
    Tlsa,
    Sts,
    NoPolicyFound,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    pub total_successful_session_count: u64,
    pub total_failure_session_count: u64,
}

/// Sessions that failed alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FailureDetails {
    /// A word of RFC 8460 4.3.
    pub result_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sending_mta_ip: Option<std::net::IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving_mx_hostname: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving_ip: Option<std::net::IpAddr>,
    pub failed_session_count: u64,
    /// Our own name of the fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason_code: Option<String>,
}

impl DateRange {
    /// The UTC day `date`.
    pub fn day(date: Date) -> Self {
        let start = date.to_zoned(TimeZone::UTC).map_or(Timestamp::UNIX_EPOCH, |zoned| zoned.timestamp());
        let last_second = jiff::SignedDuration::from_secs(24 * 3600 - 1);
        Self { start_datetime: start, end_datetime: start.saturating_add(last_second).unwrap_or(start) }
    }
}

impl PolicyResult {
    pub fn new(policy: Policy) -> Self {
        Self { policy, summary: Summary::default(), failure_details: Vec::new() }
    }

    pub fn succeeded(&mut self) {
        self.summary.total_successful_session_count += 1;
    }

    /// Counts one failed session; the count in `details` does not matter.
    pub fn failed(&mut self, details: FailureDetails) {
        self.summary.total_failure_session_count += 1;
        if let Some(known) = self.failure_details.iter_mut().find(|known| known.is_like(&details)) {
            known.failed_session_count += 1;
        } else if self.failure_details.len() < FAILURE_DETAILS_MAX {
            self.failure_details.push(FailureDetails { failed_session_count: 1, ..details });
        }
    }
}

impl FailureDetails {
    fn is_like(&self, other: &Self) -> bool {
        let count = other.failed_session_count;
        *other == Self { failed_session_count: count, ..self.clone() }
    }
}

impl Report {
    /// As it is sent.
    pub fn to_json(&self) -> Vec<u8> {
        // Structures of texts and numbers: this cannot fail.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(result_type: &str, host: &str) -> FailureDetails {
        FailureDetails {
            result_type: result_type.to_owned(),
            sending_mta_ip: Some("192.0.2.25".parse().unwrap()),
            receiving_mx_hostname: Some(host.to_owned()),
            receiving_ip: Some("2001:db8::25".parse().unwrap()),
            failed_session_count: 0,
            failure_reason_code: Some("Expired".to_owned()),
        }
    }

    fn sts() -> Policy {
        Policy {
            policy_type: PolicyType::Sts,
            policy_string: ["version: STSv1", "mode: testing", "mx: *.bank.example", "max_age: 86400"]
                .map(str::to_owned)
                .to_vec(),
            policy_domain: Domain::parse("bank.example").unwrap(),
            mx_host: vec!["*.bank.example".to_owned()],
        }
    }

    /// Every member by the name and in the form that RFC 8460 4.4 gives it.
    #[test]
    fn a_report_in_json() {
        let mut result = PolicyResult::new(sts());
        result.succeeded();
        result.failed(details("certificate-expired", "mx1.bank.example"));
        result.failed(details("certificate-expired", "mx1.bank.example"));
        result.failed(FailureDetails {
            result_type: "starttls-not-supported".to_owned(),
            sending_mta_ip: None,
            receiving_mx_hostname: None,
            receiving_ip: None,
            failed_session_count: 0,
            failure_reason_code: None,
        });
        let nothing = Policy {
            policy_type: PolicyType::NoPolicyFound,
            policy_string: Vec::new(),
            policy_domain: Domain::parse("bank.example").unwrap(),
            mx_host: Vec::new(),
        };
        let report = Report {
            organization_name: "Contoso Ltd.".to_owned(),
            date_range: DateRange::day("2026-11-22".parse().unwrap()),
            contact_info: "tls@contoso.example".to_owned(),
            report_id: "20261122.bank.example@mx.contoso.example".to_owned(),
            policies: vec![result, PolicyResult::new(nothing)],
        };
        let json: serde_json::Value = serde_json::from_slice(&report.to_json()).unwrap();
        let wanted = serde_json::json!({
            "organization-name": "Contoso Ltd.",
            "date-range": {
                "start-datetime": "2026-11-22T00:00:00Z",
                "end-datetime": "2026-11-22T23:59:59Z"
            },
            "contact-info": "tls@contoso.example",
            "report-id": "20261122.bank.example@mx.contoso.example",
            "policies": [
                {
                    "policy": {
                        "policy-type": "sts",
                        "policy-string":
                            ["version: STSv1", "mode: testing", "mx: *.bank.example", "max_age: 86400"],
                        "policy-domain": "bank.example",
                        "mx-host": ["*.bank.example"]
                    },
                    "summary": {
                        "total-successful-session-count": 1,
                        "total-failure-session-count": 3
                    },
                    "failure-details": [
                        {
                            "result-type": "certificate-expired",
                            "sending-mta-ip": "192.0.2.25",
                            "receiving-mx-hostname": "mx1.bank.example",
                            "receiving-ip": "2001:db8::25",
                            "failed-session-count": 2,
                            "failure-reason-code": "Expired"
                        },
                        { "result-type": "starttls-not-supported", "failed-session-count": 1 }
                    ]
                },
                {
                    "policy": { "policy-type": "no-policy-found", "policy-domain": "bank.example" },
                    "summary": { "total-successful-session-count": 0, "total-failure-session-count": 0 }
                }
            ]
        });
        assert_eq!(json, wanted);
        let read: Report = serde_json::from_value(json).unwrap();
        assert_eq!(read, report);
    }

    #[test]
    fn a_thousand_kinds_of_failure_are_all_counted_and_not_all_described() {
        let mut result = PolicyResult::new(sts());
        for number in 0..1000 {
            result.failed(details("validation-failure", &format!("mx{number}.bank.example")));
        }
        assert_eq!(result.summary.total_failure_session_count, 1000);
        assert_eq!(result.failure_details.len(), FAILURE_DETAILS_MAX);
        result.failed(details("validation-failure", "mx0.bank.example"));
        assert_eq!(result.failure_details[0].failed_session_count, 2);
    }
}
