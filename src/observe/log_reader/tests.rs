use std::io::Write;
use std::path::Path;

use jiff::Timestamp;

use super::*;

/// As Exchange 2019 writes it: hour in the name, CRLF, localised text that is no UTF-8.
const EXCHANGE: &[u8] = b"\xef\xbb\xbf#Software: Microsoft Exchange Server\r\n\
#Version: 15.0.0.0\r\n\
#Log-type: SMTP Receive Protocol Log\r\n\
#Date: 2023-01-11T15:59:57.000Z\r\n\
#Fields: date-time,connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data,context\r\n\
2023-01-11T15:59:56.232Z,SRV\\Default Frontend SRV,123453EC62278461,0,10.10.10.10:25,95.10.20.33:56026,+,,\r\n\
2023-01-11T15:59:56.232Z,SRV\\Default Frontend SRV,123453EC62278461,2,10.10.10.10:25,95.10.20.33:56026,<,EHLO client,\r\n\
2023-01-11T15:59:56.232Z,SRV\\Default Frontend SRV,123453EC62278461,1,10.10.10.10:25,95.10.20.33:56026,>,220 2.0.0 SMTP server ready,\r\n\
not a line at all\r\n\
2023-01-11T16:00:01.010Z,SRV\\Default Frontend SRV,123453EC62278461,7,10.10.10.10:25,95.10.20.33:56026,*,,\"TLS protocol SP_PROT_TLS1_2_SERVER negotiation succeeded using bulk encryption algorithm CALG_AES_128, MAC x\"\r\n\
2023-01-11T16:00:02.106Z,SRV\\Default Frontend SRV,123453EC62278461,9,10.10.10.10:25,95.10.20.33:56026,*,,Client certificate chain validation status: 'EmptyCertificate'\r\n\
2023-01-11T16:00:03.000Z,SRV\\Default Frontend SRV,123453EC62278461,10,10.10.10.10:25,95.10.20.33:56026,*,\xcf\xf0\xe8,x\r\n\
2023-01-11T16:00:10.644Z,SRV\\Default Frontend SRV,123453EC62278461,15,10.10.10.10:25,95.10.20.33:56026,-,,Remote\r\n";

const HEAD: &str = "#Software: Sealpost\r\n#Fields: date-time,connector-id,session-id,sequence-number,\
                    local-endpoint,remote-endpoint,event,data,context\r\n";

/// One session in our grammar, as lines of `event data|context`.
fn ours(session: &str, hour: u32, remote: &str, lines: &[&str]) -> String {
    let mut text = String::new();
    for (sequence, line) in lines.iter().enumerate() {
        let (event, rest) = line.split_at(1);
        let (data, context) = rest.trim_start().split_once('|').unwrap_or((rest.trim_start(), ""));
        text += &format!(
            "2026-11-22T{hour:02}:00:{sequence:02}.000Z,Internet,{session},{sequence},192.0.2.1:25,{remote},{event},{data},{context}\r\n"
        );
    }
    text
}

const REFUSED: [&str; 7] = [
    "+",
    "< MAIL FROM:<a@woodgrovebank.example> SIZE=10",
    "* TLSv1.3|TLS protocol",
    "* NameMismatch domain=woodgrovebank.example wanted=x got=y|Domain security verdict",
    "> 550 5.7.1 NameMismatch woodgrovebank.example 08D6A8D416004F77",
    "> 221 2.0.0 bye",
    "-",
];

const ACCEPTED: [&str; 9] = [
    "+",
    "< MAIL FROM:<b@fabrikam.example>",
    "> 250 2.1.0 OK",
    "< rcpt to:<c@contoso.example>",
    "> 451 4.3.0 later",
    "> 354 go on",
    "> 250 2.6.0 00000000000000AB Queued mail for delivery",
    "> 221 2.0.0 bye",
    "-",
];

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

fn sessions(path: &Path) -> Vec<Session> {
    all_sessions(path).unwrap()
}

#[test]
fn an_exchange_log_is_read_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("RECV2023011116-1.LOG");
    std::fs::write(&path, EXCHANGE).unwrap();
    let query = Query::default();
    let tally = scan(directory.path(), &query, &mut |_, _| (), &mut |_, _| Ok::<(), ReadError>(())).unwrap();
    assert_eq!(tally, Tally { lines: 7, skipped: 1 });

    let sessions = sessions(&path);
    assert_eq!(sessions.len(), 1);
    let session = &sessions[0];
    assert!(session.ended);
    let sequence: Vec<u32> = session.lines.iter().map(|line| line.sequence).collect();
    assert_eq!(sequence, [0, 1, 2, 7, 9, 10, 15]);
    let facts = session.facts();
    assert_eq!(facts.tls.as_deref(), Some("SP_PROT_TLS1_2_SERVER"));
    assert_eq!(facts.faults, ["EmptyCertificate"]);
    let filter = Filter { connector: Some("default frontend srv".to_owned()), ..Filter::default() };
    assert!(filter.matches(session));
}

#[test]
fn sessions_are_put_together_across_files_folders_and_each_other() {
    let (first, second): (String, String) = {
        let whole = ours("AAAAAAAAAAAAAAAA", 1, "192.0.2.9:61061", &REFUSED);
        let cut = whole.match_indices("\r\n").nth(2).unwrap().0 + 2;
        (whole[..cut].to_owned(), whole[cut..].to_owned())
    };
    let other = ours("BBBBBBBBBBBBBBBB", 1, "[2001:db8::9]:61061", &ACCEPTED);
    let sent = ours("AAAAAAAAAAAAAAAA", 1, "198.51.100.7:25", &["+", "> MAIL FROM:<>", "< 421 no"]);
    let directory = directory(&[
        ("SmtpReceive/RECV2026112201-2.LOG", &format!("{HEAD}{second}")),
        ("SmtpReceive/RECV2026112201-10.LOG", HEAD),
        ("SmtpReceive/RECV2026112201-1.LOG", &format!("{HEAD}{other}{first}")),
        ("SmtpSend/SEND2026112201-1.LOG", &format!("{HEAD}{sent}")),
        ("SmtpSend/other.txt", "no log"),
    ]);
    let sessions = sessions(directory.path());
    let found: Vec<(Direction, &str, bool, usize)> =
        sessions.iter().map(|s| (s.direction, s.id.as_str(), s.ended, s.lines.len())).collect();
    assert_eq!(
        found,
        [
            (Direction::Outbound, "AAAAAAAAAAAAAAAA", false, 3),
            (Direction::Inbound, "AAAAAAAAAAAAAAAA", true, REFUSED.len()),
            (Direction::Inbound, "BBBBBBBBBBBBBBBB", true, ACCEPTED.len()),
        ]
    );
    assert_eq!(sessions[0].facts().senders, [""]);
    assert_eq!(sessions[0].facts().outcomes, [Outcome::Deferred, Outcome::Unfinished]);
}

#[test]
fn facts_say_who_to_whom_and_how_it_went() {
    let directory = directory(&[(
        "RECV2026112201-1.LOG",
        &format!(
            "{HEAD}{}{}",
            ours("AAAAAAAAAAAAAAAA", 1, "192.0.2.9:61061", &REFUSED),
            ours("BBBBBBBBBBBBBBBB", 2, "[2001:db8::9]:61061", &ACCEPTED)
        ),
    )]);
    let sessions = sessions(directory.path());
    let refused = sessions[0].facts();
    assert_eq!(refused.senders, ["a@woodgrovebank.example"]);
    assert_eq!(refused.faults, ["NameMismatch"]);
    assert_eq!(refused.tls.as_deref(), Some("TLSv1.3"));
    assert_eq!(refused.outcomes, [Outcome::Refused]);
    let accepted = sessions[1].facts();
    assert_eq!((accepted.accepted, accepted.deferred, accepted.refused), (1, 1, 0));
    assert_eq!(accepted.recipients, ["c@contoso.example"]);
    assert_eq!(accepted.outcomes, [Outcome::Accepted, Outcome::Deferred]);
}

#[test]
fn filters_choose_sessions() {
    let directory = directory(&[(
        "RECV2026112201-1.LOG",
        &format!(
            "{HEAD}{}{}{}",
            ours("AAAAAAAAAAAAAAAA", 1, "192.0.2.9:61061", &REFUSED),
            ours("BBBBBBBBBBBBBBBB", 2, "[2001:db8::9]:61061", &ACCEPTED),
            ours("CCCCCCCCCCCCCCCC", 3, "192.0.2.10:1", &["+"]),
        ),
    )]);
    let sessions = sessions(directory.path());
    let text = |text: &str| Some(text.to_owned());
    let address = |address: &str| Some(AddressFilter::parse(address).unwrap());
    let at = |time: &str| Some(time.parse::<Timestamp>().unwrap());
    let none = Filter::default;
    let cases = [
        (none(), "ABC"),
        (Filter { sessions: ["AAAAAAAAAAAAAAAA".to_owned()].into(), ..none() }, "A"),
        (Filter { domains: vec!["WoodgroveBank.example.".to_owned()], ..none() }, "A"),
        (Filter { domains: vec!["example".to_owned()], ..none() }, ""),
        (
            Filter {
                domains: vec!["contoso.example".to_owned(), "woodgrovebank.example".to_owned()],
                ..none()
            },
            "AB",
        ),
        (Filter { address: address("192.0.2.0/24"), ..none() }, "AC"),
        (Filter { address: address("2001:db8::9"), ..none() }, "B"),
        (Filter { address: address("B@Fabrikam.example"), ..none() }, "B"),
        (Filter { fault: text("namemismatch"), ..none() }, "A"),
        (Filter { fault: text("Expired"), ..none() }, ""),
        (Filter { outcome: Some(Outcome::Accepted), ..none() }, "B"),
        (Filter { outcome: Some(Outcome::Unfinished), ..none() }, "C"),
        (Filter { message: text("00000000000000ab"), ..none() }, "B"),
        (Filter { direction: Some(Direction::Outbound), ..none() }, ""),
        (Filter { since: at("2026-11-22T02:00:05Z"), ..none() }, "BC"),
        (Filter { until: at("2026-11-22T02:00:00Z"), ..none() }, "AB"),
        (Filter { connector: text("internet"), outcome: Some(Outcome::Refused), ..none() }, "A"),
    ];
    for (filter, wanted) in cases {
        let found: String =
            sessions.iter().filter(|s| filter.matches(s)).map(|s| s.id[..1].to_owned()).collect();
        assert_eq!(found, wanted, "{filter:?}");
    }
    assert!(none().is_empty());
    assert!(AddressFilter::parse("woodgrovebank").is_err());
}

#[test]
fn following_sees_whole_lines_of_old_and_new_files() {
    let line = |n: u32| ours(&format!("{n:016X}"), 1, "192.0.2.9:61061", &["+"]);
    let directory = directory(&[("SmtpReceive/RECV2026112201-1.LOG", &format!("{HEAD}{}", line(1)))]);
    let path = directory.path().join("SmtpReceive/RECV2026112201-1.LOG");
    let mut follower = Follower::at_end(directory.path()).unwrap();
    assert!(follower.poll().unwrap().is_empty());

    let append = |text: &str| {
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let ids = |lines: Vec<LogLine>| -> Vec<String> { lines.into_iter().map(|line| line.session).collect() };
    let second = line(2);
    append(&second[..20]);
    assert!(follower.poll().unwrap().is_empty());
    append(&second[20..]);
    assert_eq!(ids(follower.poll().unwrap()), ["0000000000000002"]);

    let new = directory.path().join("SmtpReceive/RECV2026112202-1.LOG");
    std::fs::write(new, format!("{HEAD}{}", line(3))).unwrap();
    assert_eq!(ids(follower.poll().unwrap()), ["0000000000000003"]);

    std::fs::write(&path, line(4)).unwrap();
    assert_eq!(ids(follower.poll().unwrap()), ["0000000000000004"]);
}

#[test]
fn following_begins_behind_what_is_there_even_in_the_middle_of_a_line() {
    let second = ours("0000000000000002", 1, "192.0.2.9:61061", &["+"]);
    let directory = directory(&[("RECV2026112201-1.LOG", &format!("{HEAD}{}", &second[..30]))]);
    let mut follower = Follower::at_end(directory.path()).unwrap();
    let path = directory.path().join("RECV2026112201-1.LOG");
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(&second.as_bytes()[30..]).unwrap();
    assert_eq!(follower.poll().unwrap().len(), 1);
}

#[test]
fn a_directory_that_is_not_there_is_an_error_that_names_it() {
    let error = all_sessions(Path::new("/nonexistent/logs")).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/logs") && error.contains("--dir"), "{error}");
}

#[test]
fn what_never_ends_stays_within_the_limits() {
    let mut assembler = Assembler::default();
    let mut given_up = 0;
    for n in 0..60_000_u32 {
        let line = LogLine {
            direction: Direction::Inbound,
            connector: "Internet".to_owned(),
            session: format!("{n:016X}"),
            local: String::new(),
            remote: String::new(),
            line: Line {
                at: Timestamp::from_second(i64::from(n)).unwrap(),
                sequence: 0,
                kind: crate::session::transcript::LineKind::Connect,
                data: String::new(),
                context: String::new(),
            },
        };
        given_up += assembler.take(line).len();
    }
    let left = assembler.finish();
    assert_eq!(given_up + left.len(), 60_000);
    assert!(left.len() <= 50_001, "{}", left.len());
}
