//! Passwords that are being looked at. Each costs milliseconds of a core on purpose, so it is done beside
//! the threads that carry sessions, on half of the cores at most: who guesses passwords must not
//! keep mail waiting.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::smtp::sasl::plain::Attempt;

/// How long a client waits for its turn; then it is told to come back.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Passwords {
    places: Arc<Semaphore>,
    patience: Duration,
}

impl Default for Passwords {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { places: Arc::new(Semaphore::new((cores / 2).max(1))), patience: PATIENCE }
    }
}

impl Passwords {
    /// Whether it is right; `None` when its turn did not come in time.
    pub async fn check(&self, attempt: Attempt) -> Option<bool> {
        let place = timeout(self.patience, Arc::clone(&self.places).acquire_owned()).await.ok()?.ok()?;
        let work = move || {
            let is_right = attempt.is_right();
            // The place is free when the work is done, whether or not anybody still waits for it.
            drop(place);
            is_right
        };
        tokio::task::spawn_blocking(work).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::smtp::sasl::{ITERATIONS_MIN, Verifier};

    fn attempt(password: &str) -> Attempt {
        let verifier = Verifier::of_password("correct horse", b"0123456789abcdef", ITERATIONS_MIN);
        Attempt { verifier, password: Zeroizing::new(password.to_owned()) }
    }

    #[tokio::test]
    async fn a_flood_of_guesses_waits_for_its_turn_and_is_told_so() {
        let patience = Duration::from_millis(20);
        let passwords = Passwords { places: Arc::new(Semaphore::new(1)), patience };
        assert_eq!(passwords.check(attempt("correct horse")).await, Some(true));
        assert_eq!(passwords.check(attempt("battery staple")).await, Some(false));
        let taken = Arc::clone(&passwords.places).acquire_owned().await.unwrap();
        assert_eq!(passwords.check(attempt("correct horse")).await, None);
        drop(taken);
        assert_eq!(passwords.check(attempt("correct horse")).await, Some(true));
    }
}
