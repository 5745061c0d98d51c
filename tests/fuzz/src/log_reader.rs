//! Protocol logs and message tracking as somebody may have left them: no panic, each line read or
//! counted as skipped, sessions put together and made sense of.

use jiff::Timestamp;
use sealpost::observe::log_reader::{Assembler, Filter, LogFiles, Session};
use sealpost::observe::tracking::Files;

use super::lab::scratch;

pub fn run(input: &[u8]) {
    let path = scratch("RECV2026112212-1.LOG", input);
    let mut files = LogFiles::open(&path).expect("a file that is there");
    let mut assembler = Assembler::default();
    let mut sessions = Vec::new();
    let mut taken = 0;
    while let Some(line) = files.next_line().expect("a file that is there") {
        taken += 1;
        sessions.extend(assembler.take(line));
    }
    sessions.extend(assembler.finish());
    let kept: usize = sessions.iter().map(|session| session.lines.len()).sum();
    let left_out: u64 = sessions.iter().map(|session| session.left_out).sum();
    assert_eq!(kept as u64 + left_out, taken);
    let lines = input.split(|octet| *octet == b'\n').count() as u64;
    assert!(taken + files.skipped() <= lines, "{taken} read and {} skipped of {lines}", files.skipped());
    for session in &sessions {
        check(session);
    }

    let mut tracking = Files::find(&path).expect("a file that is there");
    let mut entries = 0;
    let all = (Timestamp::MIN, Timestamp::MAX);
    tracking
        .each(all, &|_| true, &mut |_| {
            entries += 1;
            true
        })
        .expect("a file that is there");
    assert!(entries + tracking.skipped <= lines);
}

fn check(session: &Session) {
    assert!(session.started <= session.last || !session.lines.is_empty());
    let facts = session.facts();
    let _ = facts.domains().count();
    assert!(Filter::default().matches(session));
}
