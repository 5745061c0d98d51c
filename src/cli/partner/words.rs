//! Words that several pages use.

use jiff::Timestamp;

use crate::observe::partners::Sighting;
use crate::trust::{Direction, Mode};

pub fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

pub fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Report => "report",
    }
}

/// What a resolver whose word counts says of an answer.
pub fn validated(validated: bool) -> &'static str {
    match validated {
        true => "signed, and validated by our resolver (AD)",
        false => "not validated by our resolver: not signed, or it does not validate",
    }
}

/// A time to the second.
pub fn moment(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// Whole days to an end, in words.
pub fn days(left: i64) -> String {
    match left {
        ..0 => "has ended".to_owned(),
        0 => "ends within a day".to_owned(),
        1 => "ends in 1 day".to_owned(),
        left => format!("ends in {left} days"),
    }
}

/// `2026-11-22T02:43:17Z 08D6… Expired`: time, session and fault; or `never`.
pub fn last(sighting: Option<&Sighting>) -> String {
    match sighting {
        None => "never".to_owned(),
        Some(sighting) => {
            let fault = match sighting.fault() {
                Some(fault) if sighting.mode == Mode::Report => format!(" {fault} (report mode)"),
                Some(fault) => format!(" {fault}"),
                None => String::new(),
            };
            format!("{} {}{fault}", moment(sighting.at), sighting.session)
        }
    }
}
