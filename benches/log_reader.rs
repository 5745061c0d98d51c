//! How long a protocol log of 250 MB takes to answer: `cargo bench --bench log_reader`. The log is
//! made below `$SEALPOST_BENCH_DIR`, else the build directory, and removed; it is read from the
//! page cache, as one that was just written would be. `SEALPOST_BENCH_ROUNDS` (3) rounds, the median.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sealpost::observe::log_reader::{AddressFilter, Filter, Query, ReadError, scan};

const LOG_BYTES: u64 = 250_000_000;
const FILE_BYTES: usize = 10 << 20;
/// Sessions whose lines stand between each other.
const AT_A_TIME: usize = 40;

const HEAD: &str = "#Software: Sealpost\r\n#Version: 0.1.0\r\n#Log-type: SMTP Receive Protocol Log\r\n\
#Date: 2026-11-22T01:00:04.117Z\r\n\
#Fields: date-time,connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data,context\r\n";

/// One session of a partner, as our log has it.
const LINES: &[&str] = &[
    "+,,",
    ">,220 mail1.contoso.example ESMTP,",
    "<,EHLO mx7.woodgrove-~.example,",
    ">,250-mail1.contoso.example,",
    ">,250-PIPELINING,",
    ">,250-SIZE 37748736,",
    ">,250 STARTTLS,",
    "<,STARTTLS,",
    ">,220 2.0.0 Ready to start TLS,",
    "*,,Sending certificate",
    "*,\"CN=mail1.contoso.example,O=Contoso\",Certificate subject",
    "*,CN=Contoso Issuing CA,Certificate issuer name",
    "*,31A4F0,Certificate serial number",
    "*,,Received certificate",
    "*,\"CN=mx7.woodgrove-~.example,O=Woodgrove\",Certificate subject",
    "*,CN=Woodgrove Issuing CA,Certificate issuer name",
    "*,woodgrove-~.example;mx7.woodgrove-~.example,Certificate alternate names",
    "*,2026-01-01T00:00:00Z to 2027-01-01T00:00:00Z,Certificate validity",
    "*,TLSv1.3,TLS protocol",
    "*,TLS13_AES_256_GCM_SHA384,TLS cipher suite",
    "*,X25519MLKEM768,TLS key exchange",
    "<,EHLO mx7.woodgrove-~.example,",
    ">,250 SIZE 37748736,",
    "<,MAIL FROM:<u~@woodgrove-~.example> SIZE=4096,",
    "*,Valid,Certificate chain validation status",
    "*,Admitted domain=woodgrove-~.example level=domain-secure verified=chain+revocation+name name=woodgrove-~.example,Domain security verdict",
    ">,250 2.1.0 Sender OK,",
    "<,RCPT TO:<b@contoso.example>,",
    ">,250 2.1.5 Recipient OK,",
    "<,DATA,",
    ">,354 Start mail input,",
    ">,250 2.6.0 ## Queued mail for delivery,",
    "<,QUIT,",
    ">,221 2.0.0 Service closing transmission channel,",
    "-,,Local",
];

fn main() {
    let rounds = std::env::var("SEALPOST_BENCH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3_usize);
    let place = std::env::var_os("SEALPOST_BENCH_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    std::fs::create_dir_all(&place).unwrap();
    let directory = tempfile::Builder::new().prefix("log-reader-").tempdir_in(&place).unwrap();
    let sessions = write_log(directory.path());
    println!("{} MB, {sessions} sessions, median of {rounds}", LOG_BYTES / 1_000_000);
    let filter = Filter::default;
    let one = sessions / 2;
    let cases = [
        ("log sessions", Query::default()),
        (
            "log sessions --partner",
            with(Filter { domains: vec![format!("woodgrove-{}.example", one % 1000)], ..filter() }),
        ),
        ("log show SESSION", lines(Filter { sessions: [format!("{one:016X}")].into(), ..filter() })),
        ("log show --message", lines(Filter { message: Some(format!("{one:016x} queued")), ..filter() })),
        ("log show --address", lines(Filter { address: AddressFilter::parse("192.0.2.7").ok(), ..filter() })),
        ("log show --fault", lines(Filter { fault: Some("NameMismatch".to_owned()), ..filter() })),
    ];
    for (name, query) in cases {
        let mut times: Vec<(Duration, usize)> =
            (0..rounds.max(1)).map(|_| ask(directory.path(), &query)).collect();
        times.sort();
        let (time, found) = times[times.len() / 2];
        println!("{name:24} {:5.2} s  {found} found", time.as_secs_f64());
    }
}

fn with(filter: Filter) -> Query {
    Query { filter, lines: false }
}

fn lines(filter: Filter) -> Query {
    Query { filter, lines: true }
}

fn ask(directory: &Path, query: &Query) -> (Duration, usize) {
    let began = Instant::now();
    let mut found = 0;
    let answer = scan(directory, query, &mut |_, _| (), &mut |_, _| {
        found += 1;
        Ok::<(), ReadError>(())
    });
    answer.unwrap();
    (began.elapsed(), found)
}

/// Files of 10 MiB, one a numbered hour; how many sessions they hold.
fn write_log(directory: &Path) -> usize {
    let folder = directory.join("SmtpReceive");
    std::fs::create_dir_all(&folder).unwrap();
    let start: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
    let mut written = 0;
    let (mut file, mut in_file, mut number) = (None, 0, 0);
    let mut sessions = 0;
    let mut text = String::new();
    while written < LOG_BYTES {
        let at = start.saturating_add(jiff::SignedDuration::from_millis(sessions as i64 * 10)).unwrap();
        for (sequence, line) in LINES.iter().enumerate() {
            for session in sessions..sessions + AT_A_TIME {
                text.clear();
                let line = line
                    .replace('~', &(session % 1000).to_string())
                    .replace("##", &format!("{session:016X}"));
                let host = session % 250;
                write!(
                    text,
                    "{at:.3},Internet,{session:016X},{sequence},192.0.2.1:25,192.0.2.{host}:61061,{line}\r\n"
                )
                .unwrap();
                if file.is_none() || in_file + text.len() > FILE_BYTES {
                    number += 1;
                    let path = folder.join(format!("RECV2026112200-{number}.LOG"));
                    let mut opened = BufWriter::with_capacity(1 << 20, std::fs::File::create(path).unwrap());
                    opened.write_all(HEAD.as_bytes()).unwrap();
                    (file, in_file) = (Some(opened), HEAD.len());
                }
                file.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
                in_file += text.len();
                written += text.len() as u64;
            }
        }
        sessions += AT_A_TIME;
    }
    file.unwrap().flush().unwrap();
    sessions
}
