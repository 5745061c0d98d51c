//! A report as a message (RFC 8460 5.3): a multipart/report with a sentence for people and the
//! gzipped JSON.

use std::io::Write;

use base64ct::{Base64, Encoding};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;

use crate::mail::text::ascii;
use crate::mail::{Address, Domain, date};

use super::Report;

/// RFC 2045 6.8.
const ENCODED_LINE_OCTETS: usize = 76;

/// A report on its way to one address. Its reverse-path is null: nobody is told of a report that
/// cannot be delivered, least of all by a report.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub report: &'a Report,
    /// The domain that published the address.
    pub domain: &'a Domain,
    /// Ours.
    pub submitter: &'a Domain,
    pub from: &'a Address,
    pub to: &'a Address,
    pub at: Timestamp,
    /// Without angle brackets.
    pub message_id: &'a str,
    /// Letters and digits that nobody could foresee.
    pub boundary: &'a str,
    /// Of the report's JSON.
    pub gzipped: &'a [u8],
}

impl Message<'_> {
    /// Whether the message can only travel with SMTPUTF8; else it is ASCII.
    pub fn needs_smtputf8(&self) -> bool {
        self.from.needs_smtputf8() || self.to.needs_smtputf8()
    }

    /// The message as content; every line ends in CRLF.
    pub fn content(&self) -> Vec<u8> {
        let Self { domain, submitter, boundary, .. } = self;
        let (from, to, id) = (self.from, self.to, ascii(&self.report.report_id));
        let (date, message_id) = (date::rfc5322(self.at), self.message_id);
        let file = file_name(self.report, domain, submitter);
        let text = self.words();
        let mut out = format!(
            "From: TLS reporting <{from}>\r\n\
             To: <{to}>\r\n\
             Subject: Report Domain: {domain}\r\n\tSubmitter: {submitter}\r\n\tReport-ID: <{id}>\r\n\
             Date: {date}\r\n\
             Message-ID: <{message_id}>\r\n\
             TLS-Report-Domain: {domain}\r\n\
             TLS-Report-Submitter: {submitter}\r\n\
             TLS-Required: No\r\n\
             Auto-Submitted: auto-generated\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n\tboundary=\"{boundary}\"\r\n\
             \r\n\
             This is a TLS report in MIME format.\r\n\
             \r\n\
             --{boundary}\r\n\
             Content-Type: text/plain; charset=us-ascii\r\n\
             Content-Transfer-Encoding: 7bit\r\n\
             \r\n\
             {text}\
             \r\n--{boundary}\r\n\
             Content-Type: application/tlsrpt+gzip\r\n\
             Content-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment;\r\n\tfilename=\"{file}\"\r\n\
             \r\n"
        )
        .into_bytes();
        for line in Base64::encode_string(self.gzipped).as_bytes().chunks(ENCODED_LINE_OCTETS) {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        out
    }

    fn words(&self) -> String {
        let range = &self.report.date_range;
        let sums = self.report.policies.iter().map(|policy| policy.summary);
        let (good, bad) = sums.fold((0, 0), |(good, bad), summary| {
            (good + summary.total_successful_session_count, bad + summary.total_failure_session_count)
        });
        format!(
            "This is an aggregate report (RFC 8460) on the TLS sessions of {} with\r\n\
             the mail hosts of {},\r\n\
             from {} to {}:\r\n\
             {good} succeeded, {bad} failed. The attachment says more.\r\n",
            self.submitter, self.domain, range.start_datetime, range.end_datetime
        )
    }
}

/// `SENDER!DOMAIN!BEGIN!END.json.gz` (RFC 8460 5.1).
pub fn file_name(report: &Report, domain: &Domain, submitter: &Domain) -> String {
    let range = &report.date_range;
    let (begin, end) = (range.start_datetime.as_second(), range.end_datetime.as_second());
    format!("{submitter}!{domain}!{begin}!{end}.json.gz")
}

/// For the media type `application/tlsrpt+gzip`.
pub fn gzip(json: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Into memory: this cannot fail.
    let _ = encoder.write_all(json);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::super::{DateRange, Policy, PolicyResult, PolicyType};
    use super::*;

    fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    #[test]
    fn a_report_by_mail() {
        let mut result = PolicyResult::new(Policy {
            policy_type: PolicyType::NoPolicyFound,
            policy_string: Vec::new(),
            policy_domain: domain("bank.example"),
            mx_host: Vec::new(),
        });
        result.succeeded();
        let report = Report {
            organization_name: "Contoso".to_owned(),
            date_range: DateRange::day("2026-11-22".parse().unwrap()),
            contact_info: "tls@contoso.example".to_owned(),
            report_id: "20261122.bank.example@mx.contoso.example".to_owned(),
            policies: vec![result],
        };
        let gzipped = gzip(&report.to_json());
        let (from, to) = (Address::parse("tls@contoso.example"), Address::parse("in@bank.example"));
        let message = Message {
            report: &report,
            domain: &domain("bank.example"),
            submitter: &domain("mx.contoso.example"),
            from: &from.unwrap(),
            to: &to.unwrap(),
            at: "2026-11-23T01:02:03Z".parse().unwrap(),
            message_id: "1@mx.contoso.example",
            boundary: "b0",
            gzipped: &gzipped,
        };
        let content = String::from_utf8(message.content()).unwrap();
        assert!(content.is_ascii() && !message.needs_smtputf8());
        for line in content.split("\r\n") {
            assert!(line.len() <= 998 && !line.contains(['\r', '\n']), "{line:?}");
        }
        let (head, body) = content.split_once("\r\n\r\n").unwrap();
        for field in [
            "Subject: Report Domain: bank.example\r\n\tSubmitter: mx.contoso.example\r\n\tReport-ID: <20261122.bank.example@mx.contoso.example>",
            "TLS-Report-Domain: bank.example",
            "TLS-Report-Submitter: mx.contoso.example",
            "TLS-Required: No",
            "Auto-Submitted: auto-generated",
            "Content-Type: multipart/report; report-type=\"tlsrpt\";",
        ] {
            assert!(head.contains(&format!("\r\n{field}\r\n")), "{field}: {head}");
        }
        let parts: Vec<&str> = body.split("--b0").collect();
        assert_eq!(parts.len(), 4);
        assert!(parts[1].contains("1 succeeded, 0 failed"), "{}", parts[1]);
        let (head, attached) = parts[2].split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Content-Type: application/tlsrpt+gzip\r\n"));
        assert!(head.contains("filename=\"mx.contoso.example!bank.example!1795305600!1795391999.json.gz\""));
        let gzipped = Base64::decode_vec(&attached.replace("\r\n", "")).unwrap();
        let mut json = Vec::new();
        flate2::read::GzDecoder::new(gzipped.as_slice()).read_to_end(&mut json).unwrap();
        assert_eq!(json, report.to_json());
    }
}
