//! A milter as a dialogue writes it: `: milter content quarantine looks odd`.

use std::time::Duration;

use sealpost::milter::Change;
use sealpost::policy::SmartHostName;
use sealpost::policy::milter::{DefaultAction, DiscardAction, Milter, MilterAddress, Ruling};
use sealpost::session::receive::{Filtered, MilterWord};
use sealpost::smtp::Reply;

pub fn settings() -> Milter {
    Milter {
        name: "filter".to_owned(),
        address: MilterAddress::Inet { host: SmartHostName::Address([127, 0, 0, 1].into()), port: 11332 },
        connect_timeout: Duration::from_secs(5),
        command_timeout: Duration::from_secs(5),
        content_timeout: Duration::from_secs(5),
        default_action: DefaultAction::TempFail,
        discard_action: DiscardAction::Discard,
        max_connections: 1,
    }
}

/// `reject`, `tempfail`, `hang up`, `discard`, `accept`, `fails`.
pub fn word(text: &str) -> MilterWord {
    let failed = |action| (Ruling::by_default(action), Some("it is down".to_owned()));
    let (ruling, failure) = match text {
        "reject" => (Ruling::Refuse(Reply::new(550, (5, 7, 1), "No")), None),
        "tempfail" => (Ruling::Refuse(Reply::new(451, (4, 7, 1), "Not now")), None),
        "hang up" => (Ruling::Refuse(Reply::new(421, (4, 7, 0), "Go away")), None),
        "discard" => (Ruling::Discard, None),
        "fails" => failed(DefaultAction::TempFail),
        "fails open" => failed(DefaultAction::Accept),
        _ => (Ruling::GoOn, None),
    };
    MilterWord { milter: "filter".to_owned(), ruling, failure, is_repeated: false }
}

/// All that is said of one message: a ruling, and what it wants changed.
pub fn filtered(said: &[String]) -> Filtered {
    let mut filtered =
        Filtered { word: word(""), quarantine: None, changes: Vec::new(), keeps_blank: false, body: None };
    for text in said {
        let (what, rest) = text.split_once(' ').unwrap_or((text, ""));
        match what {
            "quarantine" => filtered.quarantine = Some(rest.to_owned()),
            "add" => {
                let (name, value) = rest.split_once(": ").expect("a field");
                let (name, value) = (name.as_bytes().to_vec(), value.as_bytes().to_vec());
                filtered.changes.push(Change::AddHeader { name, value });
            }
            "to" => filtered
                .changes
                .push(Change::AddRecipient { path: rest.to_owned(), parameters: String::new() }),
            "not-to" => filtered.changes.push(Change::DeleteRecipient(rest.to_owned())),
            "from" => {
                filtered.changes.push(Change::Sender { path: rest.to_owned(), parameters: String::new() });
            }
            _ => filtered.word = word(text),
        }
    }
    filtered
}
