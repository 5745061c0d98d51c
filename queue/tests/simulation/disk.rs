//! A disk in memory that does what disks do on a bad day: it forgets what was not synced, or keeps
//! some of it, or a part of one write; it fills up; it fails once, or goes away in the middle.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealpost_queue::{Disk, DiskFile, DiskLock, Space};

use super::dice::Dice;

/// A write that a crash cuts ends at a multiple of this.
const SECTOR: usize = 512;
const EIO: i32 = 5;

/// Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimulatedDisk(Arc<Mutex<World>>);

#[derive(Debug)]
struct World {
    dice: Dice,
    files: BTreeMap<u64, Content>,
    /// As the running program sees them.
    names: BTreeMap<Name, u64>,
    /// As a crash leaves them.
    durable_names: BTreeMap<Name, u64>,
    directories: BTreeSet<Name>,
    locked: BTreeSet<PathBuf>,
    next_file: u64,
    total: u64,
    /// Changes left until the power fails.
    power: Option<u64>,
    /// Changes left until one fails.
    failure: Option<u64>,
    /// A change has failed since the last start, by a cut or otherwise.
    has_failed: bool,
}

/// An entry of a directory: entries of one stand together, and compare as octets, which is most of what a
/// history of a queue with its 256 directories would otherwise spend its time on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    directory: String,
    entry: String,
}

impl Name {
    fn of(path: &Path) -> Self {
        let text = |part: Option<&Path>| part.map(|part| part.display().to_string()).unwrap_or_default();
        Self { directory: text(path.parent()), entry: text(path.file_name().map(Path::new)) }
    }

    /// Before every entry of `directory`.
    fn first_of(directory: &Path) -> Self {
        Self { directory: directory.display().to_string(), entry: String::new() }
    }
}

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Since the last sync, in order.
    writes: Vec<(usize, Vec<u8>)>,
}

impl SimulatedDisk {
    pub fn new(seed: u64, total: u64) -> Self {
        Self(Arc::new(Mutex::new(World {
            dice: Dice::new(seed),
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            directories: BTreeSet::new(),
            locked: BTreeSet::new(),
            next_file: 0,
            total,
            power: None,
            failure: None,
            has_failed: false,
        })))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After so many further changes the power fails; before that, one change fails.
    pub fn plan(&self, power: Option<u64>, failure: Option<u64>) {
        let mut world = self.world();
        (world.power, world.failure) = (power, failure);
    }

    /// Whether the power has failed.
    pub fn is_dead(&self) -> bool {
        self.world().power == Some(0)
    }

    /// Whether it could not write something since it was last started.
    pub fn has_failed(&self) -> bool {
        self.world().has_failed
    }

    pub fn resize(&self, total: u64) {
        self.world().total = total;
    }

    /// What is left when the power comes back: what was synced, and of the rest whatever the disk
    /// happened to have written by then.
    pub fn crash(&self) {
        let mut world = self.world();
        let World { dice, files, names, durable_names, locked, power, failure, has_failed, .. } = &mut *world;
        let every_name: BTreeSet<Name> = names.keys().chain(durable_names.keys()).cloned().collect();
        for name in every_name {
            if names.get(&name) != durable_names.get(&name) && dice.one_in(2) {
                match names.get(&name) {
                    Some(file) => durable_names.insert(name, *file),
                    None => durable_names.remove(&name),
                };
            }
        }
        for content in files.values_mut() {
            for (offset, bytes) in std::mem::take(&mut content.writes) {
                match dice.below(3) {
                    0 => {}
                    1 => lay(&mut content.durable, offset, &bytes),
                    _ => tear(dice, &mut content.durable, offset, &bytes),
                }
            }
            content.now.clone_from(&content.durable);
        }
        *names = durable_names.clone();
        let named: BTreeSet<u64> = names.values().copied().collect();
        files.retain(|file, _| named.contains(file));
        locked.clear();
        (*power, *failure) = (None, None);
        *has_failed = false;
    }
}

/// Some sectors of a write arrive, others do not.
fn tear(dice: &mut Dice, content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let mut at = offset;
    let end = offset + bytes.len();
    while at < end {
        let next = ((at / SECTOR + 1) * SECTOR).min(end);
        if dice.one_in(2) {
            lay(content, at, &bytes[at - offset..next - offset]);
        }
        at = next;
    }
}

fn lay(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    extend(content, offset);
    let over = bytes.len().min(content.len() - offset);
    content[offset..offset + over].copy_from_slice(&bytes[..over]);
    content.extend_from_slice(&bytes[over..]);
}

/// With zeros, as many at once as a debug build can.
fn extend(content: &mut Vec<u8>, end: usize) {
    const ZEROS: &[u8] = &[0; 64 << 10];
    content.reserve_exact(end.saturating_sub(content.len()));
    while content.len() < end {
        content.extend_from_slice(&ZEROS[..(end - content.len()).min(ZEROS.len())]);
    }
}

/// What stands in `directory` itself.
fn entries<'a>(
    names: &'a BTreeMap<Name, u64>,
    directory: &Path,
) -> impl Iterator<Item = (&'a Name, &'a u64)> {
    let first = Name::first_of(directory);
    names.range(first.clone()..).take_while(move |(name, _)| name.directory == first.directory)
}

impl World {
    /// One more change of the disk: it may be the last, or fail.
    fn change(&mut self) -> Result<()> {
        if let Some(left) = &mut self.power {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.has_failed = true;
                return Err(Error::from_raw_os_error(EIO));
            }
        }
        if let Some(left) = &mut self.failure {
            *left -= 1;
            if *left == 0 {
                self.failure = None;
                self.has_failed = true;
                return Err(Error::from_raw_os_error(EIO));
            }
        }
        Ok(())
    }

    fn free(&self) -> u64 {
        let used: usize = self.names.values().map(|file| self.files[file].now.len()).sum();
        self.total.saturating_sub(used as u64)
    }

    fn file(&self, path: &Path) -> Result<u64> {
        self.names.get(&Name::of(path)).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn grow(&self, file: u64, end: usize) -> Result<()> {
        let more = end.saturating_sub(self.files[&file].now.len());
        if more as u64 > self.free() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Disk for SimulatedDisk {
    fn make_directory(&self, path: &Path) -> Result<()> {
        let mut world = self.world();
        // The index is SQLite's, which is not simulated: the queue's own directory must be there.
        if !path.parent().is_some_and(|parent| world.directories.contains(&Name::of(parent))) {
            std::fs::create_dir_all(path)?;
        }
        world.change()?;
        world.directories.extend(path.ancestors().map(Name::of));
        Ok(())
    }

    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        let mut world = self.world();
        world.change()?;
        if world.names.contains_key(&Name::of(path)) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let file = world.next_file;
        world.next_file += 1;
        world.files.insert(file, Content::default());
        world.names.insert(Name::of(path), file);
        Ok(Box::new(SimulatedFile { disk: self.clone(), file }))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        let file = self.world().file(path)?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), file }))
    }

    fn open_to_write(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        self.open(path)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>> {
        if !self.world().locked.insert(path.to_path_buf()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimulatedLock { disk: self.clone(), path: path.to_path_buf() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut world = self.world();
        world.change()?;
        let file = world.file(from)?;
        world.names.remove(&Name::of(from));
        world.names.insert(Name::of(to), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let mut world = self.world();
        world.change()?;
        world.file(path)?;
        world.names.remove(&Name::of(path));
        Ok(())
    }

    fn remove_directory(&self, path: &Path) -> Result<()> {
        let mut world = self.world();
        world.change()?;
        if entries(&world.names, path).next().is_some() {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        world.directories.remove(&Name::of(path));
        Ok(())
    }

    fn list(&self, path: &Path) -> Result<Vec<String>> {
        let world = self.world();
        if !world.directories.contains(&Name::of(path)) {
            return Err(ErrorKind::NotFound.into());
        }
        let first = Name::first_of(path);
        let directories = world.directories.range(&first..);
        let directories = directories.take_while(|name| name.directory == first.directory);
        let files = entries(&world.names, path).map(|(name, _)| name);
        Ok(files.chain(directories).map(|name| name.entry.clone()).collect())
    }

    fn sync_directory(&self, path: &Path) -> Result<()> {
        let mut world = self.world();
        world.change()?;
        let World { names, durable_names, .. } = &mut *world;
        let gone = entries(durable_names, path).filter(|(name, _)| !names.contains_key(name));
        let gone: Vec<Name> = gone.map(|(name, _)| name.clone()).collect();
        for name in &gone {
            durable_names.remove(name);
        }
        durable_names.extend(entries(names, path).map(|(name, file)| (name.clone(), *file)));
        Ok(())
    }

    fn size(&self, path: &Path) -> Result<u64> {
        let world = self.world();
        Ok(world.files[&world.file(path)?].now.len() as u64)
    }

    fn space(&self, _: &Path) -> Result<Space> {
        let world = self.world();
        Ok(Space { free: world.free(), total: world.total })
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    file: u64,
}

impl DiskFile for SimulatedFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<usize> {
        let world = self.disk.world();
        let content = world.files.get(&self.file).map_or(&[][..], |content| &content.now);
        let rest = content.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<()> {
        let mut world = self.disk.world();
        let bytes = parts.iter().map(|part| &**part).collect::<Vec<&[u8]>>().concat();
        let (offset, end) = (offset as usize, offset as usize + bytes.len());
        let done = world.change();
        world.grow(self.file, end)?;
        // The one at which the power fails may have begun.
        let Some(content) = world.files.get_mut(&self.file) else { return done };
        lay(&mut content.now, offset, &bytes);
        content.writes.push((offset, bytes));
        done
    }

    fn preallocate(&self, bytes: u64) -> Result<()> {
        let mut world = self.disk.world();
        world.change()?;
        world.grow(self.file, bytes as usize)?;
        let Some(content) = world.files.get_mut(&self.file) else { return Ok(()) };
        if content.now.len() < bytes as usize {
            extend(&mut content.now, bytes as usize);
            content.writes.push((bytes as usize, Vec::new()));
        }
        Ok(())
    }

    /// After a failure the system forgets what it could not write, and the next sync is content.
    fn sync_data(&self) -> Result<()> {
        let mut world = self.disk.world();
        let done = world.change();
        let World { dice, files, .. } = &mut *world;
        let Some(content) = files.get_mut(&self.file) else { return done };
        if done.is_ok() {
            let Content { durable, writes, .. } = content;
            writes.iter().for_each(|(offset, bytes)| lay(durable, *offset, bytes));
        } else {
            for (offset, bytes) in &content.writes {
                if dice.one_in(2) {
                    tear(dice, &mut content.durable, *offset, bytes);
                }
            }
        }
        content.writes.clear();
        done
    }
}

#[derive(Debug)]
struct SimulatedLock {
    disk: SimulatedDisk,
    path: PathBuf,
}

impl DiskLock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.disk.world().locked.remove(&self.path);
    }
}
