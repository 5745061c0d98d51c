//! The way to one milter: how many sessions use it, and whether it could be reached of late.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::net::milter::{MilterConnection, MilterError};
use crate::observe::{Event, FilterEvent, Observer};
use crate::policy::milter::Milter;

/// After a milter could not be reached, nobody waits for it again for so long.
const RESPITE: Duration = Duration::from_secs(2);

/// All milters that were asked since the start, by name.
#[derive(Default)]
pub struct Gates {
    known: Mutex<HashMap<String, Arc<Gate>>>,
}

pub struct Gate {
    milter: Milter,
    permits: Arc<Semaphore>,
    down: Mutex<Option<Down>>,
}

struct Down {
    error: String,
    /// It is not tried before.
    until: Instant,
    told: bool,
}

/// A connection and the leave to have it.
pub struct Link {
    pub connection: MilterConnection,
    _permit: OwnedSemaphorePermit,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum NoLink {
    #[error("{0}")]
    Milter(#[from] MilterError),
    #[error("it was down a moment ago: {0}")]
    Down(String),
    #[error("all {0} connections to it are in use")]
    Busy(usize),
}

impl Gates {
    /// The gate of a milter as it is configured now.
    pub fn to(&self, milter: &Milter) -> Arc<Gate> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&milter.name) {
            Some(gate) if gate.milter == *milter => Arc::clone(gate),
            Some(_) | None => {
                known.retain(|_, gate| Arc::strong_count(gate) > 1);
                let gate = Arc::new(Gate {
                    permits: Arc::new(Semaphore::new(milter.max_connections)),
                    milter: milter.clone(),
                    down: Mutex::default(),
                });
                known.insert(milter.name.clone(), Arc::clone(&gate));
                gate
            }
        }
    }
}

impl Gate {
    pub async fn open(&self, change_bytes_max: usize) -> Result<Link, NoLink> {
        if let Some(error) = self.was_down() {
            return Err(NoLink::Down(error));
        }
        let permit = Arc::clone(&self.permits).acquire_owned();
        let permit = tokio::time::timeout(self.milter.connect_timeout, permit).await;
        let Ok(Ok(permit)) = permit else { return Err(NoLink::Busy(self.milter.max_connections)) };
        let connection = MilterConnection::open(&self.milter, change_bytes_max).await;
        let connection = connection.inspect_err(|error| self.rest(error))?;
        Ok(Link { connection, _permit: permit })
    }

    /// Whether a session may keep its connection between two messages: not when others want it.
    pub fn has_room(&self) -> bool {
        self.permits.available_permits() * 2 > self.milter.max_connections
    }

    /// It did its work.
    pub fn works(&self, observer: &Observer) {
        let was_down = self.down.lock().unwrap_or_else(PoisonError::into_inner).take().is_some();
        if was_down {
            observer.event(Event::Filter(FilterEvent::MilterUp { milter: self.milter.name.clone() }));
        }
    }

    /// It did not; that is told once, until it does again.
    pub fn failed(&self, error: &str, observer: &Observer) {
        let told = {
            let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
            let down = down.get_or_insert_with(|| Down::since(error, Duration::ZERO));
            std::mem::replace(&mut down.told, true)
        };
        if !told {
            observer.event(Event::Filter(FilterEvent::MilterDown {
                milter: self.milter.name.clone(),
                address: self.milter.address.to_string(),
                error: error.to_owned(),
                default_action: self.milter.default_action.as_str(),
            }));
        }
    }

    /// It cannot be reached: nobody tries for a while.
    fn rest(&self, error: &MilterError) {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        let told = down.as_ref().is_some_and(|down| down.told);
        *down = Some(Down { told, ..Down::since(&error.to_string(), RESPITE) });
    }

    fn was_down(&self) -> Option<String> {
        let down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        down.as_ref().filter(|down| down.until > Instant::now()).map(|down| down.error.clone())
    }
}

impl Down {
    fn since(error: &str, respite: Duration) -> Self {
        Self { error: error.to_owned(), until: Instant::now() + respite, told: false }
    }
}
