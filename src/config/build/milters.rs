//! Milters, and which of them a receive connector asks.

use std::sync::Arc;

use crate::policy::milter::{DefaultAction, DiscardAction, Milter, MilterAddress, Milters};

use super::super::document::{Document, Table};
use super::super::format;
use super::super::milter_address::milter_address;
use super::connectors::check_mode;

pub fn milters(document: &Document) -> Vec<Arc<Milter>> {
    document.tables("milter").filter_map(|table| milter(document, table)).map(Arc::new).collect()
}

fn milter(document: &Document, table: &Table) -> Option<Milter> {
    let duration = |key| table.read(key, format::duration).unwrap_or_default();
    let address = match table.read("address", milter_address)? {
        MilterAddress::Unix(path) => MilterAddress::Unix(document.resolve(&path)),
        inet @ MilterAddress::Inet { .. } => inet,
    };
    Some(Milter {
        name: table.name()?.to_owned(),
        address,
        connect_timeout: duration("connect_timeout"),
        command_timeout: duration("command_timeout"),
        content_timeout: duration("content_timeout"),
        default_action: match table.text("default_action") {
            Some("accept") => DefaultAction::Accept,
            Some("reject") => DefaultAction::Reject,
            _ => DefaultAction::TempFail,
        },
        discard_action: match table.text("discard_action") {
            Some("quarantine") => DiscardAction::Quarantine,
            Some("reject") => DiscardAction::Reject,
            _ => DiscardAction::Discard,
        },
        max_connections: table.integer::<u32>("max_connections") as usize,
    })
}

/// Those that a connector names; an unknown name has been reported.
pub fn of_connector(table: &Table, milters: &[Arc<Milter>]) -> Milters {
    let named = table.items("milters").iter();
    let all = named.filter_map(|item| milters.iter().find(|milter| milter.name == item.text));
    Milters { all: all.cloned().collect(), mode: check_mode(table.text("milter_action")) }
}
