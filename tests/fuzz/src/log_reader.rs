//! Protocol logs and message tracking as somebody may have left them: no panic, each line read or
//! counted as skipped, sessions put together and made sense of.

use jiff::Timestamp;
use sealpost::observe::log_reader::explain::explain;
use sealpost::observe::log_reader::{Filter, Query, ReadError, Session, scan};
use sealpost::observe::tracking::Files;

use super::lab::scratch;

pub fn run(input: &[u8]) {
    let path = scratch("RECV2026112212-1.LOG", input);
    let mut sessions = Vec::new();
    let query = Query { lines: true, ..Query::default() };
    let tally = scan(&path, &query, &mut |_, _| (), &mut |session, facts| {
        assert_eq!(facts, session.facts());
        sessions.push(session);
        Ok::<(), ReadError>(())
    })
    .expect("a file that is there");
    let kept: usize = sessions.iter().map(|session| session.lines.len()).sum();
    let left_out: u64 = sessions.iter().map(|session| session.left_out).sum();
    assert_eq!(kept as u64 + left_out, tally.lines);
    // UTF-16 has line ends of its own.
    let lines = input.split(|octet| *octet == b'\n').count() as u64;
    let wide = input.starts_with(&[0xff, 0xfe]) || input.starts_with(&[0xfe, 0xff]);
    assert!(wide || tally.lines + tally.skipped <= lines, "{tally:?} of {lines}");
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
    let explanation = explain(session);
    assert!(!explanation.story.is_empty());
    assert!(Filter::default().matches(session));
}
