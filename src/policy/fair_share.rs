//! Who gets a worker when there are not enough for all: partners before strangers, each partner as
//! much as the next whatever the number of its domains, weighted by priority, and nobody nothing.

use std::collections::BTreeMap;

use super::Priority;

/// Strangers keep one part in so many of the workers where partners could use them all, and as much
/// is never theirs: a worker that waits for a host that does not answer cannot be taken away.
const KEPT_PART: usize = 10;
/// What a turn costs a destination of weight 1; divisible by every weight.
const TURN: u64 = 12;

/// Who stands behind a delivery queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// A partner, by its place among the settings' partners; or our own mailboxes.
    Known(usize),
    Inside,
    Stranger,
}

/// A delivery queue that has work.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub standing: Standing,
    pub priority: Priority,
    /// Workers that would find work.
    pub wants: usize,
    /// Its place in the line, see `next_turn`; the lowest is the first.
    pub turn: u64,
}

impl Priority {
    fn weight(self) -> u64 {
        match self {
            Priority::Low => 1,
            Priority::Normal => 2,
            Priority::High => 4,
        }
    }
}

/// A demand for part of something that does not suffice.
#[derive(Clone, Copy)]
struct Demand {
    weight: u64,
    wants: usize,
    turn: u64,
}

/// How many of `workers` each claim gets, in the order of the claims. Nobody gets more than it
/// wants, and nothing is left over that anybody wants but what is kept from strangers.
pub fn share(workers: usize, claims: &[Claim]) -> Vec<usize> {
    let wanted = |strangers: bool| {
        let of_kind = claims.iter().filter(|claim| (claim.standing == Standing::Stranger) == strangers);
        of_kind.map(|claim| claim.wants).sum::<usize>()
    };
    let (known, strangers) = (wanted(false), wanted(true));
    let kept = (workers / KEPT_PART).max(usize::from(workers > 1));
    let for_strangers = strangers.min(kept.max(workers.saturating_sub(known))).min(never_kept(workers));
    let mut shares = vec![0; claims.len()];
    let is_stranger = |claim: &Claim| claim.standing == Standing::Stranger;
    share_among(for_strangers, claims, is_stranger, &mut shares);
    share_among(workers - for_strangers, claims, |claim| !is_stranger(claim), &mut shares);
    shares
}

/// As long as no more than this are at work, nobody's share can be too large.
pub fn never_kept(workers: usize) -> usize {
    workers - workers / KEPT_PART
}

/// First among partners (every stranger is one of its own), then among the queues of each.
fn share_among(workers: usize, claims: &[Claim], meant: impl Fn(&Claim) -> bool, shares: &mut [usize]) {
    let mut groups: BTreeMap<(Standing, usize), Vec<usize>> = BTreeMap::new();
    for (index, claim) in claims.iter().enumerate().filter(|(_, claim)| meant(claim)) {
        let own = if claim.standing == Standing::Stranger { index } else { 0 };
        groups.entry((claim.standing, own)).or_default().push(index);
    }
    let demands: Vec<Demand> = groups
        .values()
        .map(|members| Demand {
            weight: claims[members[0]].priority.weight(),
            wants: members.iter().map(|&index| claims[index].wants).sum(),
            turn: members.iter().map(|&index| claims[index].turn).min().unwrap_or_default(),
        })
        .collect();
    for (members, got) in groups.values().zip(fill(workers, &demands)) {
        let inner: Vec<Demand> = members
            .iter()
            .map(|&index| Demand { weight: 1, wants: claims[index].wants, turn: claims[index].turn })
            .collect();
        for (&index, got) in members.iter().zip(fill(got, &inner)) {
            shares[index] = got;
        }
    }
}

/// Weighted max-min fairness in whole workers; what cannot be divided goes to the lowest turns.
fn fill(mut left: usize, demands: &[Demand]) -> Vec<usize> {
    let mut got = vec![0; demands.len()];
    let mut open: Vec<usize> = (0..demands.len()).filter(|&index| demands[index].wants > 0).collect();
    loop {
        let weights: u64 = open.iter().map(|&index| demands[index].weight).sum();
        let part = |index: usize| {
            let whole = left as u64 * demands[index].weight / weights.max(1);
            usize::try_from(whole).unwrap_or(usize::MAX)
        };
        let content: Vec<usize> =
            open.iter().copied().filter(|&index| demands[index].wants <= part(index)).collect();
        if content.is_empty() {
            let parts: Vec<(usize, usize)> = open.iter().map(|&index| (index, part(index))).collect();
            for (index, part) in parts {
                got[index] = part;
                left -= part;
            }
            break;
        }
        for &index in &content {
            got[index] = demands[index].wants;
            left -= got[index];
        }
        open.retain(|index| !content.contains(index));
    }
    open.sort_by_key(|&index| demands[index].turn);
    for index in open.into_iter().cycle().take(left) {
        got[index] += 1;
    }
    got
}

/// The turn of a delivery queue that is given a worker, `clock` being the lowest turn of those that
/// were given one last: a queue that was away gets no credit for it.
pub fn next_turn(turn: u64, clock: u64, priority: Priority) -> u64 {
    turn.max(clock) + TURN / priority.weight()
}

#[cfg(test)]
#[path = "fair_share_tests.rs"]
mod tests;
