//! Checks of incoming mail by what its sender's domain publishes and by who lists its address: SPF
//! (RFC 7208), DKIM (RFC 6376), DMARC (RFC 9989), ARC (RFC 8617) and DNS block lists (RFC 5782).
//! What is looked up is the driver's affair; here stands what is asked for, and what follows.

use std::time::Duration;

use crate::mail::Domain;
use crate::smtp::Reply;

/// How far a check goes; in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckMode {
    /// Not made.
    #[default]
    Off,
    /// Made and told: header field, protocol log, counters.
    Mark,
    /// And a bad outcome is refused.
    Enforce,
}

/// The checks of a receive connector, or of one transaction on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundChecks {
    pub spf: CheckMode,
    pub dkim: CheckMode,
    pub dmarc: CheckMode,
    pub arc: CheckMode,
    pub dns_block_lists: Vec<Domain>,
    /// Off where no list is named.
    pub dns_block_list: CheckMode,
    /// The most that becomes of a check for a transaction with a good verdict.
    pub of_partners: CheckMode,
    /// For all checks of one moment.
    pub timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Check {
    DnsBlockList,
    Spf,
    Dkim,
    Dmarc,
    Arc,
}

/// The results of RFC 8601 2.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Pass,
    Fail,
    SoftFail,
    Neutral,
    None,
    /// Good as such, and not accepted by a rule of ours.
    Policy,
    TempError,
    PermError,
}

/// What an outcome asks for where its check is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    Take,
    Refuse,
    /// It cannot be known now.
    Defer,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub check: Check,
    pub outcome: Outcome,
    pub consequence: Consequence,
    /// Why, for people; may hold what strangers wrote. Empty where the outcome says all.
    pub reason: String,
    /// `ptype.property` of RFC 8601 and its value.
    pub properties: Vec<(&'static str, String)>,
}

impl Default for InboundChecks {
    fn default() -> Self {
        Self {
            spf: CheckMode::Off,
            dkim: CheckMode::Off,
            dmarc: CheckMode::Off,
            arc: CheckMode::Off,
            dns_block_lists: Vec::new(),
            dns_block_list: CheckMode::Off,
            of_partners: CheckMode::Mark,
            timeout: Duration::from_secs(20),
        }
    }
}

impl InboundChecks {
    pub fn mode(&self, check: Check) -> CheckMode {
        match check {
            Check::DnsBlockList => self.dns_block_list,
            Check::Spf => self.spf,
            Check::Dkim => self.dkim,
            Check::Dmarc => self.dmarc,
            Check::Arc => self.arc,
        }
    }

    /// Whether anything is asked at MAIL. DMARC rests on SPF (RFC 9989 4.10.2).
    pub fn concern_sender(&self) -> bool {
        [self.dns_block_list, self.spf, self.dmarc].iter().any(|mode| *mode != CheckMode::Off)
    }

    /// Whether content has to be held until it has been checked.
    pub fn concern_content(&self) -> bool {
        [self.dkim, self.dmarc, self.arc].iter().any(|mode| *mode != CheckMode::Off)
    }

    /// The checks of a transaction with a good verdict.
    #[must_use]
    pub fn of_partner(&self) -> Self {
        let most = |mode: CheckMode| mode.min(self.of_partners);
        Self {
            spf: most(self.spf),
            dkim: most(self.dkim),
            dmarc: most(self.dmarc),
            arc: most(self.arc),
            dns_block_list: most(self.dns_block_list),
            ..self.clone()
        }
    }

    /// The reply to the first of `findings` that is refused, or else put off.
    pub fn refusal(&self, findings: &[Finding]) -> Option<Reply> {
        let enforced = || findings.iter().filter(|finding| self.mode(finding.check) == CheckMode::Enforce);
        let first = |consequence| enforced().find(|finding| finding.consequence == consequence);
        if let Some(finding) = first(Consequence::Refuse) {
            let detail = finding.check.detail(finding.outcome);
            return Some(Reply::new(550, (5, 7, detail), finding.sentence()));
        }
        let finding = first(Consequence::Defer)?;
        let text = format!("{}, try again later", finding.sentence());
        Some(Reply::new(451, (4, 7, finding.check.detail(finding.outcome)), text))
    }
}

impl CheckMode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Mark => "mark",
            Self::Enforce => "enforce",
        }
    }
}

impl Check {
    pub const ALL: [Self; 5] = [Self::DnsBlockList, Self::Spf, Self::Dkim, Self::Dmarc, Self::Arc];

    /// Label of counters, and method of `Authentication-Results`; one of our own begins with `x-`
    /// (RFC 8601 2.7.7).
    pub fn name(self) -> &'static str {
        match self {
            Self::DnsBlockList => "x-dns-block-list",
            Self::Spf => "spf",
            Self::Dkim => "dkim",
            Self::Dmarc => "dmarc",
            Self::Arc => "arc",
        }
    }

    /// In sentences.
    fn title(self) -> &'static str {
        match self {
            Self::DnsBlockList => "DNS block list",
            Self::Spf => "SPF",
            Self::Dkim => "DKIM",
            Self::Dmarc => "DMARC",
            Self::Arc => "ARC",
        }
    }

    /// The detail of the enhanced status code (RFC 7372, RFC 8617 10.1).
    fn detail(self, outcome: Outcome) -> u16 {
        match (self, outcome) {
            (Self::DnsBlockList, _) => 1,
            (Self::Spf, Outcome::TempError | Outcome::PermError) => 24,
            (Self::Spf, _) => 23,
            (Self::Dkim, _) => 20,
            (Self::Dmarc, _) => 26,
            (Self::Arc, _) => 29,
        }
    }
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::Neutral => "neutral",
            Self::None => "none",
            Self::Policy => "policy",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

impl Finding {
    /// A finding that asks for nothing but `temperror`'s another try.
    pub fn new(check: Check, outcome: Outcome, reason: impl Into<String>) -> Self {
        let consequence = match outcome {
            Outcome::TempError => Consequence::Defer,
            Outcome::Pass
            | Outcome::Fail
            | Outcome::SoftFail
            | Outcome::Neutral
            | Outcome::None
            | Outcome::Policy
            | Outcome::PermError => Consequence::Take,
        };
        Self { check, outcome, consequence, reason: reason.into(), properties: Vec::new() }
    }

    #[must_use]
    pub fn with(mut self, property: &'static str, value: impl Into<String>) -> Self {
        self.properties.push((property, value.into()));
        self
    }

    /// Where the check is enforced, the message is refused.
    #[must_use]
    pub fn refused(mut self) -> Self {
        self.consequence = Consequence::Refuse;
        self
    }

    /// For replies.
    fn sentence(&self) -> String {
        let Self { check, outcome, reason, .. } = self;
        let colon = if reason.is_empty() { "" } else { ": " };
        format!("{} {}{colon}{reason}", check.title(), outcome.as_str())
    }

    /// For the protocol log: `spf=fail smtp.mailfrom=a@b.example (reason)`.
    pub fn line(&self) -> String {
        let mut line = format!("{}={}", self.check.name(), self.outcome.as_str());
        for (name, value) in &self.properties {
            line.push_str(&format!(" {name}={value}"));
        }
        if !self.reason.is_empty() {
            line.push_str(&format!(" ({})", self.reason));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enforcing() -> InboundChecks {
        use CheckMode::Enforce;
        InboundChecks {
            spf: Enforce,
            dkim: Enforce,
            dmarc: Enforce,
            arc: Enforce,
            dns_block_list: Enforce,
            ..InboundChecks::default()
        }
    }

    #[test]
    fn only_what_is_enforced_is_refused() {
        let fail = Finding::new(Check::Spf, Outcome::Fail, "not from here").refused();
        let reply = enforcing().refusal(std::slice::from_ref(&fail)).unwrap();
        assert_eq!(reply.to_string(), "550 5.7.23 SPF fail: not from here");
        let marking = InboundChecks { spf: CheckMode::Mark, ..enforcing() };
        assert_eq!(marking.refusal(&[fail]), None);
    }

    #[test]
    fn each_check_has_its_code() {
        for (check, outcome, refused, code) in [
            (Check::DnsBlockList, Outcome::Fail, true, "550 5.7.1 "),
            (Check::DnsBlockList, Outcome::TempError, false, "451 4.7.1 "),
            (Check::Spf, Outcome::TempError, false, "451 4.7.24 "),
            (Check::Dkim, Outcome::Fail, true, "550 5.7.20 "),
            (Check::Dkim, Outcome::TempError, false, "451 4.7.20 "),
            (Check::Dmarc, Outcome::Fail, true, "550 5.7.26 "),
            (Check::Arc, Outcome::Fail, true, "550 5.7.29 "),
        ] {
            let finding = Finding::new(check, outcome, "");
            let finding = if refused { finding.refused() } else { finding };
            let reply = enforcing().refusal(&[finding]).unwrap().to_string();
            assert!(reply.starts_with(code), "{reply}");
        }
    }

    /// What is refused for good need not be tried again for something that is not known now.
    #[test]
    fn a_refusal_goes_before_a_deferral() {
        let unknown = Finding::new(Check::Spf, Outcome::TempError, "");
        let bad = Finding::new(Check::Dmarc, Outcome::Fail, "").refused();
        assert_eq!(enforcing().refusal(&[unknown, bad]).unwrap().code, 550);
    }

    #[test]
    fn good_and_middling_outcomes_are_taken() {
        for outcome in [Outcome::Pass, Outcome::SoftFail, Outcome::Neutral, Outcome::None, Outcome::PermError]
        {
            assert_eq!(enforcing().refusal(&[Finding::new(Check::Spf, outcome, "")]), None);
        }
    }

    #[test]
    fn a_partner_gets_no_more_than_the_rule_for_partners() {
        let marked = enforcing().of_partner();
        assert!(Check::ALL.iter().all(|check| marked.mode(*check) == CheckMode::Mark));
        let skipped = InboundChecks { of_partners: CheckMode::Off, ..enforcing() }.of_partner();
        assert!(!skipped.concern_sender() && !skipped.concern_content());
        let kept = InboundChecks { of_partners: CheckMode::Enforce, ..enforcing() };
        assert_eq!(kept.of_partner(), kept);
    }
}
