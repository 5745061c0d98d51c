//! What time does to mail that waits, and what a partner entry changes.

use std::time::Duration;

use sealpost::cli::demo::pki::Validity;

use super::lab::{Asks, BOTH, Lab, SENDER, letter, server_config};
use super::peer::{Answer, Part};

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_cannot_be_secured_is_announced_late_and_returned_with_the_reason() {
    let mut lab = Lab::new();
    let identity = lab.theirs.issue(&["mx.late.example"], Validity::Current).unwrap();
    let wrong = Part::tls(server_config(&identity, Asks::Firmly, BOTH));
    let times = "message_expiration = \"5 s\"\ndelay_notification = \"1 s\"";
    let late = lab.partner("late.example", wrong.clone(), times).await;
    let atonce = lab.partner("atonce.example", wrong.clone(), "on_outbound_failure = \"reject\"").await;
    let clear = lab.partner("clear.example", Part::default(), "message_expiration = \"2 s\"").await;
    let report = lab.partner("report.example", wrong, "mode = \"report\"").await;
    let report_clear = lab.partner("reportclear.example", Part::default(), "mode = \"report\"").await;
    let identity = lab.identity("onesided.example", Validity::Current);
    let part = Part::tls(server_config(&identity, Asks::Nothing, BOTH));
    let onesided = lab.partner("onesided.example", part, "require_client_certificate_request = false").await;
    // Twice busy, then not.
    let busy = Part::default().playing(|moment| match moment.verb {
        "MAIL" if moment.connection < 2 => Answer::Say("450 4.2.1 busy".to_owned()),
        _ => Answer::Usual,
    });
    let busy = lab.peer("busy.example", busy).await;
    let gone = lab.peer("gone.example", Part::default().saying("RCPT", "451 4.2.0 later")).await;
    let more = "[queue]\nretry_intervals = [\"1 s\"]\nmessage_expiration = \"1 hour\"\ndelay_notification = \"2 s\"\n";
    let edge = lab.start(more).await;
    let mut secret = b"X-MS-Exchange-Organization-AuthAs: Internal\r\n".to_vec();
    secret.extend_from_slice(&letter("late"));
    edge.submit(SENDER, &["bob@late.example"], &secret).await;
    for domain in ["atonce", "clear", "report", "reportclear", "onesided", "busy", "gone"] {
        edge.submit(SENDER, &[&format!("bob@{domain}.example")], &letter(domain)).await;
    }
    edge.submit("", &["bob@clear.example"], &letter("of nobody")).await;
    let told = |start: &str, domain: &str| {
        let subject = format!("Subject: {start}: your message to bob@{domain}\r\n");
        let inside = &edge.inside;
        async move {
            let found = inside.message(|message| text(&message.content).contains(&subject)).await;
            text(&found.content)
        }
    };
    let bounce = told("Undeliverable", "atonce.example").await;
    assert!(bounce.contains("\r\nStatus: 5.7.1\r\n"), "{bounce}");
    assert_eq!(atonce.sessions().len(), 1, "a fault that cannot clear by itself is not tried twice");
    let delay = told("Delayed", "late.example").await;
    assert!(delay.contains("\r\nAction: delayed\r\n") && delay.contains("\r\nStatus: 4.7.1\r\n"), "{delay}");
    assert!(delay.contains("\r\nWill-Retry-Until: ") && delay.contains("NameMismatch"), "{delay}");
    let bounce = told("Undeliverable", "late.example").await;
    check_bounce(&bounce);
    assert!(late.sessions().len() >= 3, "it was tried again and again");
    assert!(late.messages().is_empty() && !late.verbs().contains(&"MAIL".to_owned()));
    let bounce = told("Undeliverable", "clear.example").await;
    assert!(bounce.contains("\r\nStatus: 5.7.5\r\n") && bounce.contains("StartTlsNotOffered"), "{bounce}");
    let notice = told("Delayed", "gone.example").await;
    assert!(notice.contains("smtp; 451 4.2.0 later"), "{notice}");
    assert!(gone.messages().is_empty());
    let message = report.message(|_| true).await;
    assert!(message.tls, "report mode still needs STARTTLS");
    assert!(onesided.message(|_| true).await.tls);
    busy.message(|_| true).await;
    assert_eq!(busy.sessions().len(), 3, "the first two intervals were kept");
    let mismatch = "domain_secure_outbound_session_failures_total{domain=\"report.example\",fault=\"NameMismatch\",mode=\"report\"}";
    assert_eq!(edge.counter(&format!("sealpost_{mismatch}")).await, 1.0);
    for (domain, count) in [("report.example", 0.0), ("onesided.example", 1.0), ("late.example", 0.0)] {
        let series = format!("sealpost_domain_secure_messages_sent_total{{domain=\"{domain}\"}}");
        assert_eq!(edge.counter(&series).await, count, "{domain}");
    }
    let left = edge.until("two wait", |listed| listed.len() == 2).await;
    let faults: Vec<_> = left.iter().map(|message| message["recipients"][0]["fault"].as_str()).collect();
    assert!(faults.contains(&Some("StartTlsNotOffered")) && faults.contains(&None), "{left:#?}");
    assert!(report_clear.messages().is_empty() && clear.messages().is_empty());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let reports = edge.inside.messages();
    assert!(reports.iter().all(|message| message.mail.starts_with("MAIL FROM:<>")));
    for start in ["Delayed", "Undeliverable"] {
        let count = reports.iter().filter(|message| {
            text(&message.content).contains(&format!("Subject: {start}: your message to bob@late.example"))
        });
        assert_eq!(count.count(), 1, "{start} is said once");
    }
    assert!(!reports.iter().any(|message| text(&message.content).contains("of nobody")));
}

/// RFC 3464: who, what, why; the fault in Diagnostic-Code and text, the conversation, and of the
/// original the header section as strangers may see it.
fn check_bounce(bounce: &str) {
    for part in [
        "Content-Type: multipart/report; report-type=delivery-status;",
        "Auto-Submitted: auto-replied\r\n",
        "Content-Type: message/delivery-status\r\n",
        "\r\nReporting-MTA: dns; mx.contoso.example\r\n",
        "\r\nFinal-Recipient: rfc822; bob@late.example\r\n",
        "\r\nAction: failed\r\n",
        "\r\nStatus: 5.7.1\r\n",
        "\r\nRemote-MTA: dns; mx.late.example\r\n",
        "Content-Type: text/rfc822-headers",
        "\r\nSubject: late\r\n",
        "> STARTTLS",
        "expired after 5 seconds",
    ] {
        assert!(bounce.contains(part), "{part:?} is missing in\n{bounce}");
    }
    let code = bounce.split("\r\nDiagnostic-Code: ").nth(1).unwrap();
    assert!(code.starts_with("x-sealpost; 550 5.7.1 "), "{code}");
    assert!(code.split("\r\n").next().unwrap().contains("NameMismatch"), "{code}");
    assert!(!bounce.contains("AuthAs"), "headers of the inside do not go out in reports either");
}

fn text(content: &[u8]) -> String {
    String::from_utf8_lossy(content).into_owned()
}
