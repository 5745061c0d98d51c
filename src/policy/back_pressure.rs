//! Back pressure: when resources run short, mail is refused for now, strangers' first. A level is
//! left at another mark than it was entered at, so that a resource that hovers about a mark does
//! not open and close the door with every message.

use std::time::Duration;

/// How often the resources are looked at.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What can run short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// Messages in the queue, against `max_messages`.
    QueueLength,
    /// Free space where the queue is, against `min_free_disk`.
    FreeDisk,
    /// Resident memory of this process, against `max_memory`.
    Memory,
}

/// How short it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pressure {
    /// Mail is taken from everyone.
    #[default]
    Normal,
    /// Mail is taken from partners that have proved themselves, and on connectors that may relay.
    Medium,
    /// Mail is taken from nobody.
    High,
}

/// The marks of a resource, as parts of what is allowed. More is worse.
#[derive(Clone, Copy, Debug)]
struct Marks {
    low_to_medium: f64,
    medium_to_high: f64,
    high_to_medium: f64,
    medium_to_low: f64,
}

/// Of the messages allowed.
const QUEUE_LENGTH: Marks =
    Marks { low_to_medium: 0.8, medium_to_high: 1.0, high_to_medium: 0.9, medium_to_low: 0.6 };
/// Of the memory allowed.
const MEMORY: Marks =
    Marks { low_to_medium: 0.85, medium_to_high: 1.0, high_to_medium: 0.92, medium_to_low: 0.75 };
/// Of the space to be kept free: what is kept divided by what is free.
const FREE_DISK: Marks =
    Marks { low_to_medium: 0.5, medium_to_high: 1.0, high_to_medium: 0.8, medium_to_low: 0.4 };

impl Resource {
    pub const ALL: [Resource; 3] = [Resource::QueueLength, Resource::FreeDisk, Resource::Memory];

    /// As label and event write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Resource::QueueLength => "queue-length",
            Resource::FreeDisk => "free-disk",
            Resource::Memory => "memory",
        }
    }

    fn marks(self) -> Marks {
        match self {
            Resource::QueueLength => QUEUE_LENGTH,
            Resource::FreeDisk => FREE_DISK,
            Resource::Memory => MEMORY,
        }
    }

    /// The level of this resource after a look at it, having been `before`: `amount` is there and
    /// `allowed` is the option's value. `allowed` 0 is no limit.
    pub fn level(self, before: Pressure, amount: u64, allowed: u64) -> Pressure {
        if allowed == 0 {
            return Pressure::Normal;
        }
        let (amount, allowed) = (amount as f64, allowed as f64);
        let used = match self {
            Resource::QueueLength | Resource::Memory => amount / allowed,
            Resource::FreeDisk => allowed / amount.max(1.0),
        };
        let marks = self.marks();
        match before {
            _ if used >= marks.medium_to_high => Pressure::High,
            Pressure::High if used >= marks.high_to_medium => Pressure::High,
            Pressure::Normal if used < marks.low_to_medium => Pressure::Normal,
            Pressure::Medium | Pressure::High if used < marks.medium_to_low => Pressure::Normal,
            Pressure::Normal | Pressure::Medium | Pressure::High => Pressure::Medium,
        }
    }
}

impl Pressure {
    /// Whether mail is refused for now: from a partner that has proved itself or on a connector
    /// that may relay (`known`), or from anyone else.
    pub fn refuses(self, known: bool) -> bool {
        match self {
            Pressure::Normal => false,
            Pressure::Medium => !known,
            Pressure::High => true,
        }
    }

    /// As the gauge shows it.
    pub fn as_number(self) -> u8 {
        match self {
            Pressure::Normal => 0,
            Pressure::Medium => 1,
            Pressure::High => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(resource: Resource, allowed: u64, amounts: &[u64]) -> Vec<Pressure> {
        let mut level = Pressure::Normal;
        let step = |amount: &u64| {
            level = resource.level(level, *amount, allowed);
            level
        };
        amounts.iter().map(step).collect()
    }

    #[test]
    fn a_level_is_left_at_another_mark_than_it_was_entered_at() {
        use Pressure::{High, Medium, Normal};
        let length = [0, 79, 80, 70, 60, 59, 80, 99, 100, 95, 90, 89, 70, 59];
        let expected = [
            Normal, Normal, Medium, Medium, Medium, Normal, Medium, Medium, High, High, High, Medium, Medium,
            Normal,
        ];
        assert_eq!(follow(Resource::QueueLength, 100, &length), expected);
        let free = [1000, 201, 200, 240, 251, 200, 101, 100, 120, 125, 126, 249, 260];
        let expected = [
            Normal, Normal, Medium, Medium, Normal, Medium, Medium, High, High, High, Medium, Medium, Normal,
        ];
        assert_eq!(follow(Resource::FreeDisk, 100, &free), expected);
        let memory = [10, 84, 85, 75, 74, 100, 92, 91, 74];
        let expected = [Normal, Normal, Medium, Medium, Normal, High, High, Medium, Normal];
        assert_eq!(follow(Resource::Memory, 100, &memory), expected);
    }

    #[test]
    fn what_hovers_about_a_mark_changes_the_level_once() {
        for resource in [Resource::QueueLength, Resource::Memory] {
            let amounts: Vec<u64> = (0..100).map(|n| if n % 2 == 0 { 86 } else { 80 }).collect();
            let levels = follow(resource, 100, &amounts);
            assert!(levels.iter().all(|level| *level == Pressure::Medium), "{resource:?} {levels:?}");
        }
    }

    #[test]
    fn from_bad_to_good_in_one_look_and_no_limit_is_no_limit() {
        assert_eq!(Resource::QueueLength.level(Pressure::High, 0, 100), Pressure::Normal);
        assert_eq!(Resource::QueueLength.level(Pressure::Normal, 500, 100), Pressure::High);
        assert_eq!(Resource::FreeDisk.level(Pressure::Normal, 0, 100), Pressure::High);
        for resource in Resource::ALL {
            assert_eq!(resource.level(Pressure::High, u64::MAX, 0), Pressure::Normal);
        }
    }

    #[test]
    fn strangers_first() {
        let table =
            [(Pressure::Normal, false, false), (Pressure::Medium, true, false), (Pressure::High, true, true)];
        for (pressure, stranger, known) in table {
            assert_eq!((pressure.refuses(false), pressure.refuses(true)), (stranger, known), "{pressure:?}");
        }
    }
}
