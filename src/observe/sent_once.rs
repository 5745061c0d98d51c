//! Which messages have been counted as sent to which secure domain: one counts once a domain, however
//! many transactions its recipients take. What is remembered is bounded; where there is more, a message
//! may count again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::mail::Domain;

/// Messages that were delivered last: the next transaction of one may be under way.
const RECENT_MAX: usize = 10_000;
/// Messages of which recipients wait for another attempt.
const WAITING_MAX: usize = 50_000;

#[derive(Default)]
pub(super) struct SentOnce(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    recent: Remembered,
    waiting: Remembered,
}

/// By queue id; who came first goes first.
#[derive(Default)]
struct Remembered {
    domains: HashMap<String, Vec<Domain>>,
    order: VecDeque<String>,
}

impl SentOnce {
    /// Whether it is the first time that a recipient of this message in this domain got it.
    pub fn is_first(&self, queue_id: &str, domain: &Domain) -> bool {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Memory { recent, waiting } = &mut *memory;
        if let Some(domains) = waiting.domains.get_mut(queue_id) {
            return add(domains, domain);
        }
        add(recent.of(queue_id, RECENT_MAX), domain)
    }

    /// A recipient of this message waits for another attempt.
    pub fn deferred(&self, queue_id: &str) {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Memory { recent, waiting } = &mut *memory;
        // Its place in the order stays, and is passed over when its turn comes.
        if let Some(domains) = recent.domains.remove(queue_id) {
            *waiting.of(queue_id, WAITING_MAX) = domains;
        }
    }
}

fn add(domains: &mut Vec<Domain>, domain: &Domain) -> bool {
    let is_new = !domains.contains(domain);
    if is_new {
        domains.push(domain.clone());
    }
    is_new
}

impl Remembered {
    fn of(&mut self, queue_id: &str, most: usize) -> &mut Vec<Domain> {
        if !self.domains.contains_key(queue_id) {
            while self.order.len() >= most {
                let oldest = self.order.pop_front();
                oldest.and_then(|oldest| self.domains.remove(&oldest));
            }
            self.order.push_back(queue_id.to_owned());
        }
        self.domains.entry(queue_id.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    #[test]
    fn a_message_counts_once_a_domain_however_long_some_recipients_wait() {
        let sent = SentOnce::default();
        let (one, other) = (domain("woodgrove.example"), domain("fabrikam.example"));
        assert!(sent.is_first("A", &one) && !sent.is_first("A", &one) && sent.is_first("A", &other));
        assert!(sent.is_first("B", &one));
        sent.deferred("A");
        sent.deferred("C");
        for number in 0..2 * RECENT_MAX {
            assert!(sent.is_first(&number.to_string(), &one));
        }
        assert!(!sent.is_first("A", &one) && !sent.is_first("A", &other), "it has been waiting since");
        assert!(sent.is_first("B", &one), "nothing of it was left, so nobody asks again");
        let memory = sent.0.lock().unwrap();
        assert!(memory.recent.domains.len() <= RECENT_MAX && memory.recent.order.len() <= RECENT_MAX);
        assert_eq!((memory.waiting.domains.len(), memory.waiting.order.len()), (1, 1));
    }
}
