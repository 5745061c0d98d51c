use std::fmt::Write as _;

use super::*;

/// Two days: a message that came on the first and was bounced on the second, and others.
fn site() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let head = "#Fields: date-time,client-hostname,source-context,source,event-id,internal-message-id,\
                message-id,recipient-address,reference,return-path,message-info,custom-data\r\n";
    let mut first = head.to_owned();
    let mut second = head.to_owned();
    first += "2026-11-21T23:00:00.000Z,mail.x,S1,SMTP,RECEIVE,00000000000000A1,<one@x>,bob@y.example,,\
              anna@x.example,2026-11-21T23:00:00.000Z,S:session=00000000000000F1\r\n";
    first += "2026-11-21T23:30:00.000Z,,no way,SMTP,DEFER,00000000000000A1,<one@x>,bob@y.example,,anna@x.example,,\
              S:fault=NameMismatch\r\n";
    for number in 0..20 {
        let _ = write!(
            second,
            "2026-11-22T01:{number:02}:00.000Z,,S2,SMTP,RECEIVE,00000000000000B{number:X},<b{number}@x>,\
             carol@y.example,,eve@x.example,,\r\n"
        );
    }
    second += "2026-11-22T02:00:00.000Z,,expired,QUEUE,EXPIRE,00000000000000A1,<one@x>,bob@y.example,,\
               anna@x.example,,\r\n";
    second += "2026-11-22T02:00:00.001Z,,failed,DSN,DSN,00000000000000A2,<dsn@edge>,anna@x.example,<one@x>,<>,,\
               S:about=00000000000000A1\r\n";
    second += "2026-11-22T02:00:01.000Z,,S3,SMTP,SEND,00000000000000A2,<dsn@edge>,anna@x.example,,<>,,\
               S:session=00000000000000F3\r\n";
    std::fs::write(directory.path().join("MSGTRK20261121-1.LOG"), first).unwrap();
    std::fs::write(directory.path().join("MSGTRK20261122-1.LOG"), second).unwrap();
    directory
}

fn args(message: Option<&str>) -> TraceArgs {
    TraceArgs {
        message: message.map(str::to_owned),
        sender: None,
        recipient: None,
        since: None,
        until: None,
        limit: MESSAGES,
        sessions: false,
        dir: None,
        json: false,
    }
}

fn events(args: &TraceArgs) -> Vec<(String, Vec<String>)> {
    let directory = site();
    let traced = follow::trace(&mut Files::find(directory.path()).unwrap(), &args.wanted().unwrap()).unwrap();
    let of = |message: &follow::Message| {
        (message.queue_id.clone(), message.events.iter().map(|entry| entry.event.clone()).collect())
    };
    traced.messages.iter().map(of).collect()
}

#[test]
fn a_message_is_followed_over_files_to_its_report_and_back() {
    let whole = [
        ("00000000000000A1".to_owned(), vec!["RECEIVE".to_owned(), "DEFER".to_owned(), "EXPIRE".to_owned()]),
        ("00000000000000A2".to_owned(), vec!["DSN".to_owned(), "SEND".to_owned()]),
    ];
    for message in ["one@x", "<one@x>", "00000000000000a1", "00000000000000A2", "dsn@edge"] {
        assert_eq!(events(&args(Some(message))), whole, "{message}");
    }
    assert_eq!(events(&TraceArgs { sender: Some("ANNA@x.example".to_owned()), ..args(None) }), whole);
    let on_the_first_day = TraceArgs {
        recipient: Some("@Y.example".to_owned()),
        until: Some("2026-11-21T23:59:59Z".parse().unwrap()),
        ..args(None)
    };
    assert_eq!(events(&on_the_first_day), whole, "what was asked for is found whole");
}

#[test]
fn many_messages_are_cut_to_the_newest() {
    let directory = site();
    let asked = TraceArgs { recipient: Some("carol@y.example".to_owned()), limit: 3, ..args(None) };
    let mut files = Files::find(directory.path()).unwrap();
    let traced = follow::trace(&mut files, &asked.wanted().unwrap()).unwrap();
    let ids: Vec<&str> = traced.messages.iter().map(|message| message.message_id.as_str()).collect();
    assert_eq!((ids, traced.more), (vec!["<b17@x>", "<b18@x>", "<b19@x>"], true));
    assert!(args(None).wanted().is_none(), "everything must be asked for in words");
}

#[test]
fn what_is_not_found_is_said_with_where_it_was_looked_for() {
    let directory = site();
    let mut files = Files::find(directory.path()).unwrap();
    let wanted = args(Some("none@x")).wanted().unwrap();
    assert!(follow::trace(&mut files, &wanted).unwrap().messages.is_empty());
    for odd in ["<", "<>", "", "<one@x"] {
        let wanted = args(Some(odd)).wanted().unwrap();
        assert!(follow::trace(&mut files, &wanted).unwrap().messages.is_empty(), "{odd}");
    }
    let said = print::nothing(&wanted, &files, directory.path());
    assert!(
        said.starts_with(
            "no record of <none@x>: 2 files were searched, MSGTRK20261121-1.LOG to MSGTRK20261122-1.LOG in "
        ),
        "{said}"
    );
    let empty = tempfile::tempdir().unwrap();
    let said = print::nothing(&wanted, &Files::find(empty.path()).unwrap(), empty.path());
    assert!(said.contains("[message_tracking] enabled"), "{said}");
}

#[test]
fn the_page_names_fault_session_and_report() {
    let directory = site();
    let wanted = args(Some("one@x")).wanted().unwrap();
    let traced = follow::trace(&mut Files::find(directory.path()).unwrap(), &wanted).unwrap();
    let mut page = Vec::new();
    print::text(&traced, &[], &mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    for line in [
        "00000000000000A1 <one@x> from <anna@x.example>\n",
        "  2026-11-21T23:00:00.000Z RECEIVE   bob@y.example\n",
        "      fault NameMismatch\n",
        "      reason no way\n",
        "00000000000000A2 <dsn@edge> from <>, a report about 00000000000000A1\n",
    ] {
        assert!(page.contains(line), "{line} in\n{page}");
    }
    let sessions: Vec<String> = traced.sessions().into_iter().collect();
    assert_eq!(sessions, ["00000000000000F1", "00000000000000F3"]);
}
