//! The inbound half as the world meets it: real `sealpost serve` processes, driven over sockets by
//! clients that know nothing of our code but the contract. Few processes, many conversations each.

mod common;

#[path = "inbound/access.rs"]
mod access;
#[path = "inbound/changes.rs"]
mod changes;
#[path = "inbound/checks.rs"]
mod checks;
#[path = "inbound/client.rs"]
mod client;
#[path = "inbound/content.rs"]
mod content;
#[path = "inbound/envelope.rs"]
mod envelope;
#[path = "inbound/floods.rs"]
mod floods;
#[path = "inbound/foreign_signer.rs"]
mod foreign_signer;
#[path = "inbound/handshakes.rs"]
mod handshakes;
#[path = "inbound/injection.rs"]
mod injection;
#[path = "inbound/limits.rs"]
mod limits;
#[path = "inbound/milter.rs"]
mod milter;
#[path = "inbound/pki.rs"]
mod pki;
#[path = "inbound/rig.rs"]
mod rig;
#[path = "inbound/scripted_milter.rs"]
mod scripted_milter;
#[path = "inbound/smuggling.rs"]
mod smuggling;
#[path = "inbound/tickets.rs"]
mod tickets;
#[path = "inbound/verdict.rs"]
mod verdict;
#[path = "inbound/verification.rs"]
mod verification;
