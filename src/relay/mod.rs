//! The relay: the only place that joins world, queue and conversation.
//!
//! In: `listen` accepts, `receive` drives a session and commits to the queue. Out: `dispatch` asks
//! the queue what is due, `delivery_queues` knows how each fares, `delivery` works through one delivery queue, `send` drives one
//! connection. `timers` expires and notifies, `report` writes the DSNs, `control` answers
//! operators, `reload` swaps the settings.

mod auth_failures;
mod back_pressure;
mod certificates;
mod connections;
mod content;
pub mod control;
mod delivery;
mod delivery_queues;
mod dispatch;
mod exchange_fields;
mod handshakes;
mod health;
pub mod holds;
mod inspection;
mod linger;
mod listen;
mod listeners;
mod milters;
mod mta_sts;
mod new_message;
mod open;
pub mod partners;
mod passwords;
pub mod probe;
mod receive;
pub mod receive_events;
mod record;
mod reload;
mod report;
mod returned_message;
mod revocation;
mod route;
mod send;
mod server;
mod session_log;
mod settle;
mod shared;
mod targets;
mod timers;
mod tls;
mod tls_report;
mod tracked;
mod verification;

pub use auth_failures::AuthFailures;
pub use revocation::{Asked, ListsAtHand};
pub use server::{Server, StartError};
