//! Looking at the resources, and what follows from it: `policy::back_pressure` has the marks,
//! receive sessions ask for the level at each MAIL.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::observe::Event;
use crate::policy::back_pressure::LOOK_INTERVAL;
use crate::policy::{BackPressureSettings, Pressure, Resource};

use super::shared::Shared;

/// On a small disk one part in so many kept free is enough, as the queue has it.
const DISK_PART: u64 = 8;

/// The present level: that of the resource that is shortest.
#[derive(Debug, Default)]
pub struct BackPressure(AtomicU8);

impl BackPressure {
    pub fn level(&self) -> Pressure {
        match self.0.load(Ordering::Relaxed) {
            0 => Pressure::Normal,
            1 => Pressure::Medium,
            _ => Pressure::High,
        }
    }

    fn set(&self, level: Pressure) {
        self.0.store(level.as_number(), Ordering::Relaxed);
    }
}

/// Looks once a second, until the server drains.
pub async fn run(shared: Arc<Shared>) {
    let mut levels: HashMap<&'static str, Pressure> = HashMap::new();
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shared.draining.cancelled() => return,
        }
        let settings = shared.settings.load_full();
        let queue = shared.queue.statistics();
        let messages = (queue.active + queue.ready + queue.retry + queue.suspended) as u64;
        let directory = settings.data_directory.clone();
        // A disk that is stuck must not hold up anything else.
        let measured = tokio::task::spawn_blocking(move || (free_space(&directory), resident_memory()));
        let Ok((disk, memory)) = measured.await else { continue };
        for resource in Resource::ALL {
            let looked = usage(resource, &settings.queue.back_pressure, messages, disk, memory);
            let before = levels.get(resource.as_str()).copied().unwrap_or_default();
            // What cannot be measured stays as it was.
            let Some((amount, allowed)) = looked else { continue };
            let level = resource.level(before, amount, allowed);
            levels.insert(resource.as_str(), level);
            if level != before {
                shared.observer.event(Event::BackPressureChanged {
                    resource,
                    before,
                    level,
                    amount,
                    allowed,
                });
            }
        }
        shared.back_pressure.set(levels.values().copied().max().unwrap_or_default());
    }
}

/// What is there of a resource, and the mark of its option.
fn usage(
    resource: Resource,
    settings: &BackPressureSettings,
    messages: u64,
    disk: Option<Disk>,
    memory: Option<u64>,
) -> Option<(u64, u64)> {
    match resource {
        Resource::QueueLength => Some((messages, settings.max_messages)),
        Resource::FreeDisk => disk.map(|disk| (disk.free, settings.min_free_disk.min(disk.all / DISK_PART))),
        Resource::Memory => memory.map(|resident| (resident, settings.max_memory)),
    }
}

/// Octets.
#[derive(Clone, Copy, Debug)]
struct Disk {
    free: u64,
    all: u64,
}

fn free_space(data_directory: &Path) -> Option<Disk> {
    let disk = rustix::fs::statvfs(data_directory.join("queue")).ok()?;
    let octets = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    Some(Disk { free: octets(disk.f_bavail), all: octets(disk.f_blocks) })
}

/// Octets of memory that this process has resident; `None` where the system does not say so in
/// Linux's way.
fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string(PathBuf::from("/proc/self/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_set_against_its_option() {
        let settings = BackPressureSettings { max_messages: 10, min_free_disk: 1000, max_memory: 500 };
        let disk = |all| Some(Disk { free: 700, all });
        let usage = |resource, disk, memory| usage(resource, &settings, 3, disk, memory);
        assert_eq!(usage(Resource::QueueLength, None, None), Some((3, 10)));
        assert_eq!(usage(Resource::FreeDisk, disk(80_000), None), Some((700, 1000)));
        assert_eq!(usage(Resource::FreeDisk, disk(800), None), Some((700, 100)), "an eighth of a small disk");
        assert_eq!(usage(Resource::FreeDisk, None, None), None);
        assert_eq!(usage(Resource::Memory, None, Some(5)), Some((5, 500)));
    }

    #[test]
    fn this_process_is_resident_and_this_disk_has_a_size() {
        assert!(resident_memory().is_none_or(|octets| octets > 1 << 20));
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("queue")).unwrap();
        assert!(free_space(directory.path()).unwrap().all > 0);
    }
}
