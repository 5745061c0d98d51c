//! Call-forward verification of recipients: whether the next hop knows an address of one of our
//! domains, asked with RCPT and remembered. Here stand the memory and what follows from an answer;
//! the asking is `relay::verification`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::mail::{Address, Domain};
use crate::smtp::Reply;

/// `[recipient_verification]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerificationSettings {
    /// How long a recipient that exists is remembered, and after which it is asked about again in
    /// passing.
    pub positive_expire_time: Duration,
    pub positive_refresh_time: Duration,
    /// How long one that does not exist is remembered.
    pub negative_expire_time: Duration,
    /// For one answer, connection and TLS included.
    pub timeout: Duration,
    /// Addresses remembered.
    pub cache_size: usize,
    /// Questions a minute about the addresses of one domain.
    pub rate_limit: u32,
}

/// What is known of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    Exists,
    /// The next hop takes any recipient of the domain: it says nothing about this one.
    AnyIsTaken,
    /// What the next hop says.
    Missing(String),
    /// It cannot be known now, and why.
    Unknown(String),
}

/// What to do about an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    Known(Verified),
    /// Known, and to be asked about again while the answer is given.
    Stale(Verified),
    /// Ask; `with_stranger`: whether the next hop takes any address is to be found out with it.
    Ask {
        with_stranger: bool,
    },
    /// Too many questions about this domain within a minute.
    TooMany,
}

/// What was learned, bounded by `cache_size`.
#[derive(Debug, Default)]
pub struct VerificationMemory {
    addresses: HashMap<String, Entry>,
    /// By domain: whether it takes any address, and until when that holds.
    domains: HashMap<Domain, (bool, Instant)>,
    asked: HashMap<Domain, (Instant, u32)>,
}

#[derive(Debug)]
struct Entry {
    known: Verified,
    since: Instant,
    until: Instant,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Verified {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::AnyIsTaken => "any-is-taken",
            Self::Missing(_) => "missing",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Why, for people.
    pub fn detail(&self) -> &str {
        match self {
            Self::Exists | Self::AnyIsTaken => "",
            Self::Missing(why) | Self::Unknown(why) => why,
        }
    }

    /// A next hop's reply to RCPT. A refusal by policy, such as of the null reverse-path, or a full
    /// mailbox says nothing about whether there is one.
    pub fn of_refusal(reply: &Reply) -> Self {
        let of_address = match reply.enhanced {
            Some(enhanced) => enhanced.subject == 1,
            None => matches!(reply.code, 550 | 551 | 553),
        };
        if reply.is_permanent() && of_address {
            Self::Missing(reply.to_string())
        } else {
            Self::Unknown(format!("the next hop answers: {reply}"))
        }
    }
}

impl VerificationMemory {
    pub fn look(&mut self, address: &Address, settings: &VerificationSettings, now: Instant) -> Look {
        let Some(domain) = address.domain() else { return Look::Known(Verified::Exists) };
        let takes_any = self.domains.get(domain).filter(|(_, until)| *until > now).map(|(any, _)| *any);
        if takes_any == Some(true) {
            return Look::Known(Verified::AnyIsTaken);
        }
        if let Some(entry) = self.addresses.get(&key(address)).filter(|entry| entry.until > now) {
            let known = entry.known.clone();
            let is_stale = known == Verified::Exists
                && now.duration_since(entry.since) >= settings.positive_refresh_time;
            return match is_stale && self.may_ask(domain, settings, now) {
                true => Look::Stale(known),
                false => Look::Known(known),
            };
        }
        match self.may_ask(domain, settings, now) {
            true => Look::Ask { with_stranger: takes_any.is_none() },
            false => Look::TooMany,
        }
    }

    /// Counts a question.
    fn may_ask(&mut self, domain: &Domain, settings: &VerificationSettings, now: Instant) -> bool {
        // Accepted domains alone are asked about, so there are few.
        let (since, count) = self.asked.entry(domain.clone()).or_insert((now, 0));
        if now.duration_since(*since) >= MINUTE {
            (*since, *count) = (now, 0);
        }
        let may = *count < settings.rate_limit;
        *count += u32::from(may);
        may
    }

    /// An answer about an address. What cannot be known is not remembered.
    pub fn learn(
        &mut self,
        address: &Address,
        known: &Verified,
        settings: &VerificationSettings,
        now: Instant,
    ) {
        let lasts = match known {
            Verified::Exists => settings.positive_expire_time,
            Verified::Missing(_) => settings.negative_expire_time,
            Verified::AnyIsTaken | Verified::Unknown(_) => return,
        };
        if self.addresses.len() >= settings.cache_size {
            self.make_room(settings.cache_size, now);
        }
        let entry = Entry { known: known.clone(), since: now, until: now + lasts };
        self.addresses.insert(key(address), entry);
    }

    /// Whether the next hop of a domain takes any address; true when that is news.
    pub fn learn_of_domain(
        &mut self,
        domain: &Domain,
        takes_any: bool,
        settings: &VerificationSettings,
        now: Instant,
    ) -> bool {
        let until = now + settings.positive_refresh_time;
        let before = self.domains.insert(domain.clone(), (takes_any, until));
        takes_any && before.is_none_or(|(any, _)| !any)
    }

    /// What has run out goes first, then whatever comes first: a wrong choice costs a question.
    fn make_room(&mut self, cache_size: usize, now: Instant) {
        self.addresses.retain(|_, entry| entry.until > now);
        let mut left = cache_size - cache_size / 8;
        if self.addresses.len() >= cache_size {
            self.addresses.retain(|_, _| {
                let stays = left > 0;
                left = left.saturating_sub(1);
                stays
            });
        }
    }

    /// The settings changed, and with them perhaps who is asked.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }
}

/// As recipient lists compare them.
fn key(address: &Address) -> String {
    address.to_string().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> VerificationSettings {
        VerificationSettings {
            positive_expire_time: MINUTE * 100,
            positive_refresh_time: MINUTE * 10,
            negative_expire_time: MINUTE * 5,
            timeout: MINUTE,
            cache_size: 16,
            rate_limit: 1000,
        }
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn what_was_learned_holds_for_its_time() {
        let (settings, now) = (settings(), Instant::now());
        let mut memory = VerificationMemory::default();
        let (bob, eve) = (address("Bob@contoso.example"), address("eve@contoso.example"));
        assert_eq!(memory.look(&bob, &settings, now), Look::Ask { with_stranger: true });
        let missing = Verified::Missing("550 5.1.1 no".to_owned());
        memory.learn(&bob, &Verified::Exists, &settings, now);
        memory.learn(&eve, &missing, &settings, now);
        assert!(!memory.learn_of_domain(bob.domain().unwrap(), false, &settings, now));
        let look = |memory: &mut VerificationMemory, who: &str, minutes: u32| {
            memory.look(&address(who), &settings, now + MINUTE * minutes)
        };
        assert_eq!(look(&mut memory, "bob@contoso.example", 9), Look::Known(Verified::Exists));
        assert_eq!(look(&mut memory, "bob@contoso.example", 10), Look::Stale(Verified::Exists));
        assert_eq!(look(&mut memory, "bob@contoso.example", 100), Look::Ask { with_stranger: true });
        assert_eq!(look(&mut memory, "eve@contoso.example", 4), Look::Known(missing));
        assert_eq!(look(&mut memory, "eve@contoso.example", 5), Look::Ask { with_stranger: false });
        memory.learn(&eve, &Verified::Unknown(String::new()), &settings, now);
        memory.forget();
        assert!(memory.is_empty());
    }

    #[test]
    fn a_next_hop_that_takes_any_address_is_believed_about_none() {
        let (settings, now) = (settings(), Instant::now());
        let mut memory = VerificationMemory::default();
        let domain = Domain::parse("contoso.example").unwrap();
        assert!(memory.learn_of_domain(&domain, true, &settings, now));
        assert!(!memory.learn_of_domain(&domain, true, &settings, now), "no news");
        let bob = address("bob@contoso.example");
        assert_eq!(memory.look(&bob, &settings, now), Look::Known(Verified::AnyIsTaken));
        let later = now + settings.positive_refresh_time;
        assert_eq!(memory.look(&bob, &settings, later), Look::Ask { with_stranger: true });
    }

    #[test]
    fn memory_and_questions_are_bounded() {
        let (settings, now) = (VerificationSettings { rate_limit: 3, ..settings() }, Instant::now());
        let mut memory = VerificationMemory::default();
        for number in 0..200 {
            let who = address(&format!("{number}@contoso.example"));
            memory.learn(&who, &Verified::Exists, &settings, now);
            assert!(memory.len() <= settings.cache_size);
        }
        let ask = |memory: &mut VerificationMemory, at| {
            memory.look(&address("new@fabrikam.example"), &settings, at)
        };
        for _ in 0..3 {
            assert!(matches!(ask(&mut memory, now), Look::Ask { .. }));
        }
        assert_eq!(ask(&mut memory, now), Look::TooMany);
        assert!(matches!(ask(&mut memory, now + MINUTE), Look::Ask { .. }));
    }

    #[test]
    fn only_a_refusal_of_the_address_says_that_there_is_none() {
        for (code, enhanced, missing) in [
            (550, Some((5, 1, 1)), true),
            (553, Some((5, 1, 3)), true),
            (550, None, true),
            (550, Some((5, 7, 1)), false),
            (552, Some((5, 2, 2)), false),
            (554, None, false),
            (450, Some((4, 1, 1)), false),
        ] {
            let reply = match enhanced {
                Some(enhanced) => Reply::new(code, enhanced, "no"),
                None => Reply::plain(code, vec!["no".to_owned()]),
            };
            let verified = Verified::of_refusal(&reply);
            assert_eq!(matches!(verified, Verified::Missing(_)), missing, "{reply}");
        }
    }
}
