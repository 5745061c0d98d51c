//! What senders ask to hear with the DSN extension, and what they are told: passed on where the next
//! hop speaks DSN, told by us where it does not (RFC 3461 5.2). Every report is read by programs that
//! are none of ours.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use sealpost::cli::demo::pki::Validity;
use serde_json::Value;

use super::common::{missing, tool};
use super::lab::{Asks, BOTH, Lab, SENDER, letter, server_config};
use super::peer::Part;

const SPEAKS_DSN: &str = "PIPELINING\nDSN\nENHANCEDSTATUSCODES";
const NO_DSN: &str = "PIPELINING\nENHANCEDSTATUSCODES";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_is_passed_on_or_told_by_us_and_programs_can_read_it() {
    let mut lab = Lab::new();
    let speaks = lab.peer("speaks.example", Part { extensions: SPEAKS_DSN, ..Part::default() }).await;
    let silent = lab.peer("silent.example", Part { extensions: NO_DSN, ..Part::default() }).await;
    let _refuses =
        lab.peer("refuses.example", Part::default().saying("RCPT", "550 5.1.1 no such user")).await;
    let _late = lab.peer("late.example", Part::default().saying("MAIL", "451 4.2.0 later")).await;
    let identity = lab.theirs.issue(&["elsewhere.example"], Validity::Current).unwrap();
    let wrong = Part::tls(server_config(&identity, Asks::Firmly, BOTH));
    let _secret = lab.partner("secret.example", wrong, "on_outbound_failure = \"reject\"").await;
    let edge = lab
        .start("[queue]\nretry_intervals = [\"1 s\"]\nmessage_expiration = \"5 s\"\ndelay_notification = \"1 s\"\n")
        .await;
    let both = " RET=FULL ENVID=QQ314159";
    // Recipients with what is asked about them, and the subject.
    for (to, subject) in [
        ("<bob@speaks.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob@Speaks.Example", "passed on"),
        ("<bob@silent.example> NOTIFY=SUCCESS ORCPT=rfc822;Bob+2B1@Silent.Example", "relayed"),
        ("<quiet@silent.example> NOTIFY=FAILURE", "not asked"),
        ("<bob@refuses.example> NOTIFY=FAILURE,DELAY", "returned"),
        ("<never@refuses.example> NOTIFY=NEVER", "never"),
        ("<success@refuses.example> NOTIFY=SUCCESS", "success only"),
        ("<bob@late.example> NOTIFY=DELAY", "late"),
        ("<quiet@late.example> NOTIFY=FAILURE", "late and quiet"),
        ("<bob@secret.example> NOTIFY=FAILURE", "secret"),
    ] {
        edge.submit_asking(SENDER, both, &[to], &letter(subject)).await;
    }
    edge.submit_asking(SENDER, both, &["<one@refuses.example>", "<two@refuses.example>"], &letter("both"))
        .await;
    let large = [&letter("large")[..], &b"fill fill fill\r\n".repeat(20_000)].concat();
    edge.submit_asking(SENDER, both, &["<large@refuses.example> NOTIFY=FAILURE"], &large).await;

    let passed = speaks.message(|_| true).await;
    assert!(passed.mail.ends_with("> RET=FULL ENVID=QQ314159"), "{}", passed.mail);
    assert_eq!(
        passed.recipients,
        ["RCPT TO:<bob@speaks.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob@Speaks.Example"]
    );
    let taken = silent.message(|message| message.recipients == ["RCPT TO:<bob@silent.example>"]).await;
    assert!(!taken.mail.contains("ENVID") && !taken.mail.contains("RET"), "{}", taken.mail);

    edge.until("all is settled", <[_]>::is_empty).await;
    let reports: Vec<Read> = edge
        .inside
        .messages()
        .into_iter()
        .map(|message| {
            assert!(message.mail.starts_with("MAIL FROM:<>"), "{}", message.mail);
            assert_eq!(message.recipients, [format!("RCPT TO:<{SENDER}>")]);
            Read::with_python(&edge.path("report.eml"), &message.content)
        })
        .collect::<Option<_>>()
        .unwrap_or_default();
    if reports.is_empty() {
        return;
    }
    let blocks = reports.iter().flat_map(|report| &report.status[1..]);
    let mut told: Vec<(&str, &str)> = blocks
        .map(|block| (block["Final-Recipient"].as_str().unwrap(), block["Action"].as_str().unwrap()))
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("rfc822; bob@late.example", "delayed"),
            ("rfc822; bob@refuses.example", "failed"),
            ("rfc822; bob@secret.example", "failed"),
            ("rfc822; bob@silent.example", "relayed"),
            ("rfc822; large@refuses.example", "failed"),
            ("rfc822; one@refuses.example", "failed"),
            ("rfc822; quiet@late.example", "failed"),
            ("rfc822; two@refuses.example", "failed"),
        ],
        "nobody hears what he did not ask for"
    );
    assert_eq!(reports.len(), told.len() - 1, "two who fail together are one report");
    for report in &reports {
        assert_eq!(report.message("Original-Envelope-Id"), "QQ314159");
        assert_eq!(report.message("Reporting-MTA"), "dns; mx.contoso.example");
        assert!(report.message("Received-From-MTA").starts_with("dns; "));
        assert!(report.recipient("Remote-MTA").starts_with("dns; mx."));
        assert_eq!(report.recipient("Final-Log-ID"), report.message("X-Sealpost-Queue-ID"));
        assert!(!report.recipient("Last-Attempt-Date").is_empty());
    }
    let about = |domain: &str| {
        let named = |report: &&Read| report.recipient("Final-Recipient").ends_with(domain);
        reports.iter().find(named).unwrap()
    };
    let relayed = about("bob@silent.example");
    assert_eq!(relayed.recipient("Original-Recipient"), "rfc822; Bob+1@Silent.Example");
    assert_eq!(relayed.recipient("Status"), "2.6.0");
    assert_eq!(relayed.returned, "text/rfc822-headers", "only a failure gives a message back");
    let failed = about("bob@refuses.example");
    assert_eq!(failed.recipient("Status"), "5.1.1");
    assert_eq!(failed.recipient("Diagnostic-Code"), "smtp; 550 5.1.1 no such user");
    assert_eq!(failed.returned, "message/rfc822");
    assert!(
        failed.text.contains("\nSubject: returned\n") && failed.text.trim_end().ends_with("\n\nreturned"),
        "{}",
        failed.text
    );
    let expired = about("quiet@late.example");
    assert_eq!(expired.recipient("Status"), "5.4.7");
    assert_eq!(expired.recipient("Diagnostic-Code"), "smtp; 451 4.2.0 later");
    for (domain, why) in [
        ("large@refuses.example", "more than 262144 octets"),
        ("bob@secret.example", "authenticated TLS connections only"),
    ] {
        let report = about(domain);
        assert_eq!(report.returned, "text/rfc822-headers");
        assert!(report.words.replace('\n', " ").contains(why), "{}", report.words);
    }
    for report in reports.iter().filter(|report| report.recipient("Action") == "failed") {
        report.check_with_flufl_bounce();
    }
}

/// The message asked back has octets that the sender's own host does not take: the report comes with the
/// header section alone, and when that cannot be delivered either there is an end of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_cannot_go_home_whole_goes_with_less_and_then_not_at_all() {
    let mut lab = Lab::new();
    let _refuses =
        lab.peer("refuses.example", Part::default().saying("RCPT", "550 5.1.1 no such user")).await;
    let plain = lab.peer("plain.example", Part { extensions: NO_DSN, ..Part::default() }).await;
    let small = lab.peer("small.example", Part { extensions: "SIZE 20", ..Part::default() }).await;
    let edge = lab.start("[queue]\nretry_intervals = [\"10 min\"]\n").await;
    for domain in ["plain", "small"] {
        let mut content = letter(domain);
        content.extend_from_slice("Gr\u{fc}\u{df}e\r\n".as_bytes());
        let from = format!("kim@{domain}.example");
        edge.submit_asking(&from, " BODY=8BITMIME RET=FULL", &["<bob@refuses.example>"], &content).await;
    }
    let report = plain.message(|_| true).await;
    let content = String::from_utf8(report.content).unwrap();
    assert!(content.is_ascii() && content.contains("\r\nAction: failed\r\n"), "{content}");
    assert!(content.contains("\r\nSubject: plain\r\n") && !content.contains("8bit"), "{content}");
    edge.until("nothing is left", <[_]>::is_empty).await;
    assert!(small.messages().is_empty());
    assert_eq!(edge.log().matches("DsnDropped").count(), 1, "{}", edge.log());
}

/// A report as Python's own mail package reads it.
struct Read {
    words: String,
    status: Vec<Value>,
    /// The type of the third part, and what is in it.
    returned: String,
    text: String,
    /// The address that bounced, as flufl.bounce finds it; none where that is not installed.
    bounced: Option<Vec<String>>,
}

const PROGRAM: &str = r#"
import email, email.policy, json, sys
message = email.message_from_binary_file(sys.stdin.buffer)
assert message.get_content_type() == "multipart/report", message.get_content_type()
assert message.get_param("report-type") == "delivery-status"
assert not any(part.defects for part in message.walk()), [part.defects for part in message.walk()]
words, status, returned = message.get_payload()
assert status.get_content_type() == "message/delivery-status"
blocks = [{name: " ".join(value.split()) for name, value in block.items()} for block in status.get_payload()]
try:
    from flufl.bounce import scan_message
    bounced = sorted(address.decode() for address in scan_message(message))
except ImportError:
    bounced = None
text = returned.get_payload()
json.dump({
    "words": words.get_payload(),
    "status": blocks,
    "returned": returned.get_content_type(),
    "text": text if isinstance(text, str) else text[0].as_string(),
    "bounced": bounced,
}, sys.stdout)
"#;

impl Read {
    fn with_python(keep: &Path, content: &[u8]) -> Option<Self> {
        std::fs::write(keep, content).unwrap();
        // The distribution's, which has the distribution's packages.
        let system = Path::new("/usr/bin/python3");
        let python = if system.is_file() { system.to_owned() } else { tool("reports", "python3")? };
        let mut child = Command::new(python)
            .args(["-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(content).unwrap();
        let output = child.wait_with_output().unwrap();
        let content = String::from_utf8_lossy(content);
        assert!(output.status.success(), "{}\n{content}", String::from_utf8_lossy(&output.stderr));
        let read: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |name: &str| read[name].as_str().unwrap().replace("\r\n", "\n");
        let address = |address: &Value| address.as_str().unwrap().to_owned();
        Some(Self {
            words: text("words"),
            status: read["status"].as_array().unwrap().clone(),
            returned: text("returned"),
            text: text("text"),
            bounced: read["bounced"].as_array().map(|found| found.iter().map(address).collect()),
        })
    }

    /// A field about the message.
    fn message(&self, name: &str) -> &str {
        self.status[0][name].as_str().unwrap_or_default()
    }

    /// A field about the recipient.
    fn recipient(&self, name: &str) -> &str {
        self.status[1][name].as_str().unwrap_or_default()
    }

    fn check_with_flufl_bounce(&self) {
        let Some(bounced) = &self.bounced else {
            return missing("reports", "Python's flufl.bounce not found");
        };
        let mut failed: Vec<&str> = self.status[1..]
            .iter()
            .map(|block| block["Final-Recipient"].as_str().unwrap().strip_prefix("rfc822; ").unwrap())
            .collect();
        failed.sort_unstable();
        assert_eq!(bounced, &failed, "flufl.bounce");
    }
}
