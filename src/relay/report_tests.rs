use super::*;
use crate::relay::settle;
use crate::trust::{Direction, Fact, Fault, Level, Mode, Verdict};

/// The text of a report on one recipient, of whom this is known.
fn written(kind: Kind, note: &AttemptNote) -> String {
    let mta = crate::mail::Domain::parse("mx.contoso.example").unwrap();
    let address = Address::parse("kim@woodgrovebank.example").unwrap();
    let told = Told { address, asked: RecipientRequest::default(), note, retry_until: None };
    let explanation = explain(kind, &told);
    let at = Timestamp::UNIX_EPOCH;
    let report = dsn::Report {
        kind,
        reporting_mta: &mta,
        from: &Address::parse("postmaster@contoso.example").unwrap(),
        to: &Address::parse("ann@contoso.example").unwrap(),
        at,
        message_id: "1@mx.contoso.example",
        boundary: "b",
        original: Original {
            queue_id: "1",
            arrival: at,
            envelope_id: None,
            received_from: None,
            head: b"",
            body: None,
            withheld: None,
            smtputf8: false,
        },
        recipients: &[recipient(&told, &explanation)],
        transcript: &note.transcript,
    };
    String::from_utf8(report.content()).unwrap().replace("\r\n\t", " ").replace("\r\n  ", " ")
}

fn verdict(fault: Fault) -> Verdict {
    Verdict {
        ruled_by: crate::trust::RuledBy::Partner,
        outcome: crate::trust::TlsOutcome::ValidationFailure,
        direction: Direction::Outbound,
        domain: crate::mail::Domain::parse("woodgrovebank.example").unwrap(),
        mode: Mode::Enforce,
        required: Level::DomainSecure,
        achieved: Level::None,
        facts: vec![Fact {
            fault,
            detail: format!("{fault} was found."),
            wanted: "this".to_owned(),
            got: "that".to_owned(),
        }],
        verified: Vec::new(),
        matched_name: None,
        missing_lists: Vec::new(),
        lists_used: Vec::new(),
        staple: None,
    }
}

#[test]
fn every_failed_check_is_named_with_its_host_and_final_code_also_when_the_time_is_up() {
    for fault in Fault::all() {
        let note = AttemptNote::from_verdict(&verdict(fault), "mx.woodgrovebank.example (192.0.2.1:25)");
        let delayed = written(Kind::Delayed, &note);
        let (code4, code5) = (fault.enhanced(4), fault.enhanced(5));
        assert!(delayed.contains(&format!("\r\nStatus: {code4}\r\n")), "{delayed}");
        assert!(delayed.contains(&format!("\r\nDiagnostic-Code: x-sealpost; 454 {code4} ")), "{delayed}");
        let expired = settle::expired(note.clone(), 172_800_000, 0).into_final();
        for (note, words) in
            [(note.into_final(), ""), (expired, "the message expired after 2 days in the queue.")]
        {
            let failed = written(Kind::Failed, &note);
            for part in [
                &format!("\r\nStatus: {code5}\r\n"),
                &format!("\r\nDiagnostic-Code: x-sealpost; 550 {code5} Domain security: {fault}"),
                "\r\nRemote-MTA: dns; mx.woodgrovebank.example\r\n",
                &format!("{fault} was found."),
                &format!("The check that failed: {}.", fault.name()),
                "Wanted: this. Got: that.",
                "The message was not sent in any other way.",
                words,
            ] {
                assert!(failed.contains(part), "{part:?} is missing in\n{failed}");
            }
        }
    }
}

#[test]
fn what_a_host_had_for_now_only_ends_as_expired_with_its_words() {
    let busy = Reply::new(450, (4, 2, 1), "mailbox busy");
    for (note, code) in [
        (AttemptNote::from_reply(&busy, "RCPT", "mx.woodgrovebank.example"), "smtp; 450 4.2.1 mailbox busy"),
        (AttemptNote::broken("mx.woodgrovebank.example", "reset"), "x-sealpost; 451 4.4.2 "),
        (AttemptNote::default(), "x-sealpost; the message expired after 2 hours"),
    ] {
        let failed = written(Kind::Failed, &settle::expired(note, 7_200_000, 0).into_final());
        assert!(failed.contains("\r\nStatus: 5.4.7\r\n"), "{failed}");
        assert!(failed.contains(&format!("\r\nDiagnostic-Code: {code}")), "{failed}");
        assert!(failed.contains("the message expired after 2 hours in the queue."), "{failed}");
    }
}

#[test]
fn what_was_handed_over_is_reported_with_the_words_of_who_took_it() {
    for (reply, status) in [
        (Reply::new(250, (2, 6, 0), "queued as 77"), "2.6.0"),
        (Reply::plain(250, vec!["ok".to_owned()]), "2.0.0"),
    ] {
        let note = AttemptNote::from_reply(&reply, "end of DATA", "mx.woodgrovebank.example");
        let relayed = written(Kind::Relayed, &note);
        for part in [
            "\r\nAction: relayed\r\n",
            &format!("\r\nStatus: {status}\r\n"),
            &format!("\r\nDiagnostic-Code: smtp; {reply}\r\n"),
            "mx.woodgrovebank.example took the message, and is not known to report what becomes of it.",
        ] {
            assert!(relayed.contains(part), "{part:?} is missing in\n{relayed}");
        }
    }
}
