//! The queue's promises under simulated time, crashes and disks that lie: each seed is one history of
//! senders, deliveries, an operator and accidents, and after every restart the books are compared.
//!
//! A message whose commit was answered is there, whole, until it was delivered, given up or removed;
//! one that was refused is never seen again; what was taken out and answered does not come back. What
//! nobody got an answer for (the power failed, or the disk did, while it was on its way) may have
//! happened or not, but not by half.
//!
//! `SEALPOST_SIMULATION_SEED=17 cargo test -p sealpost-queue --test simulation` runs one seed again, and
//! `17..4000` in place of 17 a part of a long run.

#[path = "simulation/dice.rs"]
mod dice;
#[path = "simulation/disk.rs"]
mod disk;
#[path = "simulation/history.rs"]
mod history;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use history::History;

const SEED_VARIABLE: &str = "SEALPOST_SIMULATION_SEED";

/// So many histories are one line of progress.
const STEP: u64 = 2_500;

/// Plays every history, or those that were asked for.
fn run(seeds: Range<u64>) {
    let seeds = match std::env::var(SEED_VARIABLE) {
        Ok(asked) => seeds_of(&asked),
        Err(_) => seeds,
    };
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    play(seed);
                    if seed.is_multiple_of(STEP) {
                        eprintln!("played to about {seed}");
                    }
                }
            });
        }
    });
}

/// `17`, or `17..4000`.
fn seeds_of(asked: &str) -> Range<u64> {
    let number = |text: &str| text.parse().expect("a seed, or two with .. between them");
    match asked.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => number(asked)..number(asked) + 1,
    }
}

fn play(seed: u64) {
    if let Err(failure) = catch_unwind(AssertUnwindSafe(|| History::play(seed))) {
        eprintln!("{SEED_VARIABLE}={seed} shows it again");
        std::panic::resume_unwind(failure);
    }
}

#[test]
fn nothing_acknowledged_is_lost_whatever_happens() {
    run(0..500);
}

/// What once went wrong: 1544, an offered message that was taken while its commit failed; 44518, a report
/// that was in the queue though its worker had heard that the message was gone.
#[test]
fn histories_that_found_something_find_nothing_any_more() {
    [1_544, 44_518].into_iter().for_each(play);
}

#[test]
#[ignore = "an hour: before a change of the journal lands"]
fn nothing_acknowledged_is_lost_in_a_hundred_thousand_histories() {
    run(500..100_500);
}
