//! The queue's promises under simulated time, crashes and disks that lie: each seed is one history of
//! senders, deliveries, an operator and accidents, and after every restart the books are compared.
//!
//! A message whose commit was answered is there, whole, until it was delivered, given up or removed;
//! one that was refused is never seen again; what was taken out and answered does not come back. What
//! nobody got an answer for (the power failed, or the disk did, while it was on its way) may have
//! happened or not, but not by half.
//!
//! `SEALPOST_SIMULATION_SEED=17 cargo test -p sealpost-queue --test simulation` runs one seed again.

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

/// Plays every history, or the one that was asked for.
fn run(seeds: Range<u64>) {
    if let Ok(seed) = std::env::var(SEED_VARIABLE) {
        return History::play(seed.parse().expect("a number"));
    }
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
                }
            });
        }
    });
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

#[test]
#[ignore = "an hour: before a change of the journal lands"]
fn nothing_acknowledged_is_lost_in_a_hundred_thousand_histories() {
    run(500..100_500);
}
