//! Which messages are worth offering to their next hops before they are durable, by what came of it
//! lately.

use std::collections::BTreeSet;

use sealpost_queue::{Destination, NewMessage};

use crate::policy::cut_through::{NEXT_HOPS_MAX, Record};

use super::{DeliveryQueues, Inner};

/// A message that is offered: to whom, and what is remembered of that.
pub struct Offering(Vec<(Destination, Standing)>);

/// How near a next hop is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// A connection to it is open.
    Connected,
    /// One would have to be made: that depends on where its connector leads more than on itself.
    Apart,
}

impl DeliveryQueues {
    /// `None`: it is not worth it, because a next hop is down, or does not take mail in time. `needed`:
    /// the message has no other way, and any time will do.
    pub fn offering(&self, message: &NewMessage, needed: bool) -> Option<Offering> {
        let next_hops: BTreeSet<&Destination> =
            message.recipients.iter().map(|recipient| &recipient.destination).collect();
        if next_hops.len() > NEXT_HOPS_MAX {
            return None;
        }
        let mut inner = self.lock();
        let standings: Option<Vec<_>> = next_hops
            .into_iter()
            .map(|one| {
                let standing = inner.standing(one)?;
                (inner.record(one, standing).is_promising() || needed).then(|| (one.clone(), standing))
            })
            .collect();
        standings.map(Offering)
    }

    /// What came of an offering.
    pub fn note_offering(&self, offering: &Offering, taken: bool) {
        let mut inner = self.lock();
        for (next_hop, standing) in &offering.0 {
            inner.record(next_hop, *standing).note(taken);
        }
    }
}

impl Inner {
    /// `None`: it is down.
    fn standing(&self, next_hop: &Destination) -> Option<Standing> {
        match self.queues.get(next_hop) {
            Some(known) if known.hop.is_down() => None,
            Some(known) if known.open > 0 => Some(Standing::Connected),
            Some(_) | None => Some(Standing::Apart),
        }
    }

    fn record(&mut self, next_hop: &Destination, standing: Standing) -> &mut Record {
        match self.queues.get_mut(next_hop) {
            Some(known) if standing == Standing::Connected => &mut known.offered,
            Some(_) | None => self.apart.entry(next_hop.connector.clone()).or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sealpost_queue::NewRecipient;

    use super::super::Worker;
    use super::*;

    fn to(hosts: &[&str]) -> NewMessage {
        let recipients = hosts.iter().map(|host| NewRecipient {
            address: format!("bob@{host}"),
            destination: destination(host),
            due: 0,
            expires: 0,
            notify_delay_at: None,
        });
        NewMessage { sender: String::new(), received: 0, meta: Vec::new(), recipients: recipients.collect() }
    }

    fn destination(host: &str) -> Destination {
        Destination { next_hop: host.into(), connector: "Internet".into(), tls_domain: String::new() }
    }

    fn in_vain(queues: &DeliveryQueues, hosts: &[&str]) {
        while let Some(offering) = queues.offering(&to(hosts), false) {
            queues.note_offering(&offering, false);
        }
    }

    #[test]
    fn whoever_is_too_far_away_is_left_out_and_whoever_is_connected_is_judged_by_itself() {
        let queues = Arc::new(DeliveryQueues::default());
        in_vain(&queues, &["far.example"]);
        assert!(
            queues.offering(&to(&["further.example"]), false).is_none(),
            "it is as far by all that is known"
        );
        assert!(queues.offering(&to(&["further.example"]), true).is_some(), "there is no other way");
        let mut worker = Worker::start(&queues, destination("near.example")).unwrap();
        worker.opened();
        let offering = queues.offering(&to(&["near.example"]), false).expect("a connection is open");
        queues.note_offering(&offering, true);
        assert!(queues.offering(&to(&["near.example", "far.example"]), false).is_none(), "both are needed");
        in_vain(&queues, &["near.example"]);
        assert!(queues.offering(&to(&["near.example"]), false).is_none());
    }

    #[test]
    fn nothing_is_offered_to_many_or_to_one_that_is_down() {
        let queues = Arc::new(DeliveryQueues::default());
        assert!(queues.offering(&to(&["a.example", "b.example", "c.example"]), false).is_some());
        assert!(queues.offering(&to(&["a.example", "b.example", "c.example", "d.example"]), false).is_none());
        let mut worker = Worker::start(&queues, destination("a.example")).unwrap();
        let intervals = [std::time::Duration::from_secs(60)];
        worker.failed(std::time::Instant::now(), &Default::default(), &intervals);
        assert!(queues.offering(&to(&["a.example"]), false).is_none());
    }
}
