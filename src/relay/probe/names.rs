//! What DNS said on the way.

use std::net::IpAddr;

use serde::Serialize;

/// From the domain to addresses.
#[derive(Debug, Default, Serialize)]
pub struct Dns {
    pub exchanges: Vec<Exchange>,
    /// The resolver says that it validated this answer (AD); none where its word does not count here
    /// (`[dns] dnssec`).
    pub validated: Option<bool>,
    /// What stands in place of exchanges.
    pub note: Option<String>,
    /// Whether the zone is signed, in words; nothing is made to depend on it.
    pub signed: String,
    /// In the order to be tried.
    pub hosts: Vec<HostAddresses>,
}

/// One MX record.
#[derive(Debug, Serialize)]
pub struct Exchange {
    pub preference: u16,
    pub host: String,
}

#[derive(Debug, Serialize)]
pub struct HostAddresses {
    pub host: String,
    pub addresses: Vec<IpAddr>,
    /// As for the exchanges; none for a literal too.
    pub validated: Option<bool>,
    pub problem: Option<String>,
}
