//! The sending half and the operator's half of a real edge: `sealpost serve` among next hops that
//! are played by hand, good and bad.

mod common;
#[path = "outbound/cut_through.rs"]
mod cut_through;
#[path = "outbound/disk.rs"]
mod disk;
#[path = "outbound/hostile.rs"]
mod hostile;
#[path = "outbound/lab.rs"]
mod lab;
#[path = "outbound/operator.rs"]
mod operator;
#[path = "outbound/ordinary.rs"]
mod ordinary;
#[path = "outbound/peer.rs"]
mod peer;
#[path = "outbound/policies.rs"]
mod policies;
#[path = "outbound/refused.rs"]
mod refused;
#[path = "outbound/reports.rs"]
mod reports;
#[path = "outbound/requiretls.rs"]
mod requiretls;
#[path = "outbound/resolver.rs"]
mod resolver;
#[path = "outbound/returned.rs"]
mod returned;
#[path = "outbound/scheduling.rs"]
mod scheduling;
#[path = "outbound/steering.rs"]
mod steering;
#[path = "outbound/tls_report.rs"]
mod tls_report;
