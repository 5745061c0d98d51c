//! Who is connected and how fast each source, subnet and partner takes what we have: the limits of
//! the receive connectors and of the partner entries, counted while the server runs.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::policy::known_sources::KnownSources;
use crate::policy::quota::{Charge, Ledger, Rates, source_of, subnet_of};
use crate::policy::{Limit, Partner, Reached, ReceiveConnector, Scope, Settings};

/// Refused connections that get lines in the protocol log; a flood of them must not push the log of
/// mail off the disk. The counters count them all.
const REFUSALS_LOGGED_PER_SECOND: u32 = 20;

/// What must be left of its minute before a source may send one more message.
const OF_A_MESSAGE: &[Charge] = &[Charge::Message, Charge::Recipient, Charge::Byte];
/// The same of one more connection.
const OF_A_CONNECTION: &[Charge] = &[Charge::Connection, Charge::ProtocolError];

/// Live counts of every receive connector and partner.
#[derive(Default)]
pub struct Connections(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    connectors: HashMap<String, OfConnector>,
    partners: HashMap<String, OfPartner>,
    known: KnownSources,
    refusals: Refusals,
}

#[derive(Default)]
struct OfConnector {
    open: usize,
    open_by_source: HashMap<IpAddr, usize>,
    open_by_subnet: HashMap<IpAddr, usize>,
    sources: Ledger<IpAddr>,
    subnets: Ledger<IpAddr>,
}

#[derive(Default)]
struct OfPartner {
    open: usize,
    taken: Ledger<()>,
}

/// Refused connections of the present second.
#[derive(Default)]
struct Refusals {
    since: Option<Instant>,
    count: u32,
}

/// One connection that is counted; dropping it takes it off.
pub struct Counted {
    connections: Arc<Connections>,
    connector: String,
    remote: IpAddr,
    is_known: bool,
    /// The partner that proved itself, if its entry has limits.
    partner: Option<String>,
}

impl Connections {
    /// Counts a connection, or says of what there is too much.
    pub fn enter(
        self: &Arc<Self>,
        settings: &Settings,
        connector: &ReceiveConnector,
        remote: IpAddr,
        now: Instant,
    ) -> Result<Counted, Reached> {
        let mut counts = self.lock();
        let mut named = settings.partners.iter().flat_map(|partner| &partner.remote_ip_ranges);
        let is_known = counts.known.is_known(remote, now) || named.any(|range| range.contains(&remote));
        counts.of_connector(&connector.name).enter(connector, remote, is_known, now)?;
        let connections = Arc::clone(self);
        Ok(Counted { connections, connector: connector.name.clone(), remote, is_known, partner: None })
    }

    /// A partner proved itself from there: it gets a place there from now on.
    pub fn proved(&self, remote: IpAddr, now: Instant) {
        self.lock().known.proved(remote, now);
    }

    /// Whether a connection that is refused now may take lines of the protocol log.
    pub fn may_log_refusal(&self, now: Instant) -> bool {
        self.lock().refusals.may_log(now)
    }

    /// Gives back the memory of sources that are quiet.
    pub fn forget_past(&self, now: Instant) {
        let mut counts = self.lock();
        for of_connector in counts.connectors.values_mut() {
            of_connector.sources.forget_past(now);
            of_connector.subnets.forget_past(now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    /// The source is one that a partner proved itself from lately, or a partner entry names it.
    pub fn is_known(&self) -> bool {
        self.is_known
    }

    /// Counts one message of the source, if it is within its rates.
    pub fn ask_message(&self, connector: &ReceiveConnector, now: Instant) -> Result<(), Reached> {
        let mut counts = self.connections.lock();
        let of_connector = counts.of_connector(&self.connector);
        of_connector.check(connector, self.remote, self.is_known, OF_A_MESSAGE, now)?;
        of_connector.charge(self.remote, self.is_known, Charge::Message, 1, now);
        Ok(())
    }

    /// The same of the partner that the session has just proved to be; the first time it takes one
    /// of its connections.
    pub fn ask_partner(&mut self, partner: &Partner, now: Instant) -> Result<(), Reached> {
        let reached = |limit| Reached { limit, scope: Scope::Partner };
        let mut counts = self.connections.lock();
        if self.partner.as_ref() != Some(&partner.name) {
            counts.leave_partner(self.partner.take());
            let of_partner = counts.of_partner(&partner.name);
            let allowed = partner.limits.max_connections;
            if allowed > 0 && of_partner.open >= allowed {
                return Err(reached(Limit::Connections));
            }
            of_partner.open += 1;
            self.partner = Some(partner.name.clone());
        }
        let of_partner = counts.of_partner(&partner.name);
        if let Some(charge) = of_partner.taken.reached((), &partner.limits.rates, OF_A_MESSAGE, now) {
            return Err(reached(charge.limit()));
        }
        of_partner.taken.charge((), Charge::Message, 1, now);
        Ok(())
    }

    /// The source took so much, and the partner with it.
    pub fn charge(&self, charge: Charge, amount: u64, now: Instant) {
        if amount == 0 {
            return;
        }
        let mut counts = self.connections.lock();
        counts.of_connector(&self.connector).charge(self.remote, self.is_known, charge, amount, now);
        if let Some(partner) = &self.partner {
            counts.of_partner(partner).taken.charge((), charge, amount, now);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.connections.lock();
        counts.of_connector(&self.connector).leave(self.remote);
        counts.leave_partner(self.partner.take());
    }
}

impl Counts {
    fn of_connector(&mut self, name: &str) -> &mut OfConnector {
        entry(&mut self.connectors, name)
    }

    fn of_partner(&mut self, name: &str) -> &mut OfPartner {
        entry(&mut self.partners, name)
    }

    fn leave_partner(&mut self, name: Option<String>) {
        if let Some(name) = name {
            let of_partner = self.of_partner(&name);
            of_partner.open = of_partner.open.saturating_sub(1);
        }
    }
}

/// Names come from the settings: there are few.
fn entry<'a, V: Default>(values: &'a mut HashMap<String, V>, name: &str) -> &'a mut V {
    if values.contains_key(name) {
        // A second look, for the sake of the borrow checker, is cheaper than the copy of the name.
        return values.get_mut(name).expect("there a moment ago");
    }
    values.entry(name.to_owned()).or_default()
}

impl OfConnector {
    fn enter(
        &mut self,
        connector: &ReceiveConnector,
        remote: IpAddr,
        is_known: bool,
        now: Instant,
    ) -> Result<(), Reached> {
        let limits = &connector.limits;
        let reached = |scope| Err(Reached { limit: Limit::Connections, scope });
        let reserved = if is_known { limits.reserved_partner_connections } else { 0 };
        if self.open >= connector.max_inbound_connections.saturating_add(reserved) {
            return reached(Scope::Connector);
        }
        let (source, subnet) = (source_of(remote), subnet_of(remote));
        if open(&self.open_by_source, &source) >= connector.max_inbound_connections_per_source {
            return reached(Scope::Source);
        }
        if !is_known && open(&self.open_by_subnet, &subnet) >= limits.max_connections_per_subnet {
            return reached(Scope::Subnet);
        }
        self.check(connector, remote, is_known, OF_A_CONNECTION, now)?;
        self.charge(remote, is_known, Charge::Connection, 1, now);
        self.open += 1;
        *self.open_by_source.entry(source).or_default() += 1;
        *self.open_by_subnet.entry(subnet).or_default() += 1;
        Ok(())
    }

    fn leave(&mut self, remote: IpAddr) {
        self.open = self.open.saturating_sub(1);
        take_one(&mut self.open_by_source, &source_of(remote));
        take_one(&mut self.open_by_subnet, &subnet_of(remote));
    }

    /// What a partner's neighbours do is not held against it.
    fn check(
        &self,
        connector: &ReceiveConnector,
        remote: IpAddr,
        is_known: bool,
        charges: &[Charge],
        now: Instant,
    ) -> Result<(), Reached> {
        let reached = |charge: Charge, scope| Reached { limit: charge.limit(), scope };
        let rates: &Rates = &connector.limits.rates;
        if let Some(charge) = self.sources.reached(source_of(remote), rates, charges, now) {
            return Err(reached(charge, Scope::Source));
        }
        if is_known {
            return Ok(());
        }
        let rates = rates.times(connector.limits.subnet_rate_factor);
        match self.subnets.reached(subnet_of(remote), &rates, charges, now) {
            Some(charge) => Err(reached(charge, Scope::Subnet)),
            None => Ok(()),
        }
    }

    fn charge(&mut self, remote: IpAddr, is_known: bool, charge: Charge, amount: u64, now: Instant) {
        self.sources.charge(source_of(remote), charge, amount, now);
        if !is_known {
            self.subnets.charge(subnet_of(remote), charge, amount, now);
        }
    }
}

impl Refusals {
    fn may_log(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            *self = Self { since: Some(now), count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count <= REFUSALS_LOGGED_PER_SECOND
    }
}

fn open(counts: &HashMap<IpAddr, usize>, network: &IpAddr) -> usize {
    counts.get(network).copied().unwrap_or(0)
}

fn take_one<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
