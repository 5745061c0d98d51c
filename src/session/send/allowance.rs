//! What a peer's LIMITS leave of this connection (RFC 9422 4): whether there may be another `MAIL`, and
//! which recipients may be named behind it.

use std::collections::BTreeSet;

use crate::mail::Address;
use crate::smtp::Limits;

/// What was said so far, whether the peer took it or not.
#[derive(Debug, Default)]
pub(super) struct Spent {
    mails: u32,
    /// Only kept for a peer that limits them, and so no more than it allows.
    domains: BTreeSet<String>,
}

impl Spent {
    pub fn mail(&mut self) {
        self.mails = self.mails.saturating_add(1);
    }

    pub fn recipient(&mut self, limits: &Limits, address: &Address) {
        if limits.rcpt_domain_max.is_some() {
            self.domains.insert(address.host().to_string());
        }
    }

    /// Which of these recipients the next transaction may have, each in its place.
    pub fn admits<'a>(
        &self,
        limits: &Limits,
        recipients: impl IntoIterator<Item = &'a Address>,
    ) -> Vec<bool> {
        let is_spent = limits.mail_max.is_some_and(|max| self.mails >= max.get());
        let of = |limit: Option<std::num::NonZeroU32>| limit.map_or(usize::MAX, |max| max.get() as usize);
        let (mut count, mut domains) = (0, self.domains.clone());
        let admits = |address: &Address| {
            if is_spent || count >= of(limits.rcpt_max) {
                return false;
            }
            if limits.rcpt_domain_max.is_some() {
                let domain = address.host().to_string();
                if !domains.contains(&domain) && domains.len() >= of(limits.rcpt_domain_max) {
                    return false;
                }
                domains.insert(domain);
            }
            count += 1;
            true
        };
        recipients.into_iter().map(admits).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn addresses(text: &str) -> Vec<Address> {
        text.split(' ').map(|address| Address::parse(address).unwrap()).collect()
    }

    fn limits(mail_max: u32, rcpt_max: u32, rcpt_domain_max: u32) -> Limits {
        Limits {
            mail_max: NonZeroU32::new(mail_max),
            rcpt_max: NonZeroU32::new(rcpt_max),
            rcpt_domain_max: NonZeroU32::new(rcpt_domain_max),
        }
    }

    #[test]
    fn without_limits_all_may_be_named_for_ever() {
        let mut spent = Spent::default();
        (0..1000).for_each(|_| spent.mail());
        let all = addresses("a@b.example c@d.example");
        assert_eq!(spent.admits(&Limits::default(), &all), [true, true]);
    }

    #[test]
    fn each_limit_counts_what_it_is_of() {
        let all = addresses("a@b.example c@d.example e@b.example f@g.example");
        let mut spent = Spent::default();
        assert_eq!(spent.admits(&limits(0, 3, 0), &all), [true, true, true, false]);
        let domains = limits(2, 0, 1);
        assert_eq!(
            spent.admits(&domains, &all),
            [true, false, true, false],
            "others of one domain may go along"
        );
        spent.mail();
        all.iter().step_by(2).for_each(|address| spent.recipient(&domains, address));
        assert_eq!(spent.admits(&domains, &all[1..2]), [false], "of the session, not of the transaction");
        assert_eq!(spent.admits(&domains, &all[2..3]), [true]);
        spent.mail();
        assert_eq!(spent.admits(&domains, &all[2..3]), [false], "there is no third MAIL");
    }
}
