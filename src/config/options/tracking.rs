//! The keys of message tracking.

use super::super::format;
use super::{Default, Key, Kind, one};

pub const KEYS: &[Key] = &[
    Key::new(
        "message_tracking",
        "enabled",
        Kind::Bool,
        Default::Bool(true),
        "Write a record for each event of each message: received, sent, deferred, failed, reported, held.",
    ),
    Key::new(
        "message_tracking",
        "directory",
        one(format::PATH),
        Default::Derived("`[protocol_log].directory`"),
        "Below `data_directory` unless absolute; holds `MessageTracking/`.",
    ),
    Key::new(
        "message_tracking",
        "max_file_size",
        one(format::SIZE),
        Default::Text("10 MiB"),
        "A file that reaches it is closed and the next begun.",
    ),
    Key::new(
        "message_tracking",
        "max_directory_size",
        one(format::SIZE),
        Default::Text("1 GiB"),
        "The oldest files go first, and one that goes before `max_age` is an event.",
    ),
    Key::new(
        "message_tracking",
        "max_age",
        one(format::POSITIVE_DURATION),
        Default::Text("30 days"),
        "Older files are deleted.",
    ),
    Key::new(
        "message_tracking",
        "subject",
        Kind::Bool,
        Default::Bool(false),
        "Write the subjects too. They are content: ask who may read them first.",
    ),
];
