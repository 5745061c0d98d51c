//! Who is signed in to the status page. In memory: a restart signs everybody out.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64ct::{Base64UrlUnpadded, Encoding};
use sha2::{Digest, Sha256};

use crate::policy::AdminToken;

/// Sessions at one time; for another the one goes that was used longest ago.
const SESSIONS_MAX: usize = 32;
/// From sign-in, and from the last request, to the end of a session.
pub(super) const AGE_MAX: Duration = Duration::from_secs(12 * 3600);
const IDLE_MAX: Duration = Duration::from_secs(3600);
/// Octets of an id: nobody guesses 256 bits.
const ID_BYTES: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<Vec<Session>>);

#[derive(Debug)]
struct Session {
    /// SHA-256 of the id: looking one up tells nothing about others by the time it takes.
    key: [u8; 32],
    /// What it was opened with; another token in the settings ends it.
    token: AdminToken,
    began: Instant,
    used: Instant,
}

impl Sessions {
    /// A new session's id, for the cookie.
    pub(super) fn open(&self, token: &AdminToken, now: Instant) -> String {
        let id = Base64UrlUnpadded::encode_string(&rand::random::<[u8; ID_BYTES]>());
        let mut sessions = self.lock(now);
        if sessions.len() >= SESSIONS_MAX
            && let Some(oldest) = (0..sessions.len()).min_by_key(|place| sessions[*place].used)
        {
            sessions.swap_remove(oldest);
        }
        sessions.push(Session { key: key(&id), token: token.clone(), began: now, used: now });
        id
    }

    /// Whether `id` is of a session opened with `token`; its idle time begins anew.
    pub(super) fn is_open(&self, id: &str, token: &AdminToken, now: Instant) -> bool {
        let key = key(id);
        let mut sessions = self.lock(now);
        sessions.retain(|session| session.token.is_same(token));
        let found = sessions.iter_mut().find(|session| session.key == key);
        found.map(|session| session.used = now).is_some()
    }

    pub(super) fn close(&self, id: &str, now: Instant) {
        let key = key(id);
        self.lock(now).retain(|session| session.key != key);
    }

    /// Without those whose time is over.
    fn lock(&self, now: Instant) -> MutexGuard<'_, Vec<Session>> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| {
            now.duration_since(session.began) < AGE_MAX && now.duration_since(session.used) < IDLE_MAX
        });
        sessions
    }
}

fn key(id: &str) -> [u8; 32] {
    Sha256::digest(id.as_bytes()).into()
}

/// Names a session in the audit log without being good for anything.
pub(super) fn mark(id: &str) -> String {
    key(id)[..4].iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_by_sign_out_by_time_and_with_its_token() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let (token, other) = (AdminToken::new(b"one"), AdminToken::new(b"two"));
        let id = sessions.open(&token, now);
        assert_eq!(id.len(), 43);
        assert!(sessions.is_open(&id, &token, now));
        assert!(!sessions.is_open("guess", &token, now) && !sessions.is_open("", &token, now));
        let second = sessions.open(&token, now);
        sessions.close(&id, now);
        assert!(!sessions.is_open(&id, &token, now) && sessions.is_open(&second, &token, now));
        assert!(!sessions.is_open(&second, &other, now), "the token was changed");
        assert!(!sessions.is_open(&second, &token, now), "and the session does not come back");
    }

    #[test]
    fn a_session_ends_when_idle_and_when_old() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let token = AdminToken::new(b"one");
        let idle = sessions.open(&token, now);
        assert!(!sessions.is_open(&idle, &token, now + IDLE_MAX));
        let busy = sessions.open(&token, now);
        let step = IDLE_MAX - Duration::from_secs(1);
        let mut later = now;
        while later + step < now + AGE_MAX {
            later += step;
            assert!(sessions.is_open(&busy, &token, later));
        }
        assert!(!sessions.is_open(&busy, &token, now + AGE_MAX));
    }

    #[test]
    fn there_are_never_more_than_a_few() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let token = AdminToken::new(b"one");
        let first = sessions.open(&token, now);
        for number in 1..=SESSIONS_MAX as u32 {
            sessions.open(&token, now + Duration::from_secs(1) * number);
        }
        assert_eq!(sessions.0.lock().unwrap().len(), SESSIONS_MAX);
        assert!(!sessions.is_open(&first, &token, now + Duration::from_secs(60)));
    }
}
