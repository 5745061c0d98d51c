//! Asking the milters of a receive connector about what a session brings. Each session has a
//! connection of its own to each milter; how many there may be at a time, and whether a milter is
//! down, is common knowledge of all sessions.

mod client;
mod gate;
mod party;
mod seat;

pub use client::Client;
pub use gate::Gates;
pub use party::{Means, Party};
pub use seat::Shown;
