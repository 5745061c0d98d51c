//! PLAIN (RFC 4616): name and password as they are, so only ever inside TLS.

use zeroize::Zeroizing;

use super::{HIDDEN, Secret, Verifier};

/// Longest name and password that are taken, octets (RFC 4616 2 asks for 255).
const PART_BYTES_MAX: usize = 1024;

/// Who somebody says he is.
pub struct Login {
    pub user: String,
    pub password: Zeroizing<String>,
}

/// A password, and what it is to be compared with: some milliseconds of work.
pub struct Attempt {
    pub verifier: Verifier,
    pub password: Zeroizing<String>,
}

impl Attempt {
    /// Whether it is the one. Takes as long for a wrong one.
    pub fn is_right(&self) -> bool {
        self.verifier.is_of(&self.password)
    }
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Reads a client's message. Acting for somebody else is nothing we know: an authorization identity is
/// taken only where it is the user's own name.
pub fn parse(message: &Secret) -> Option<Login> {
    let mut parts = message.octets().split(|octet| *octet == 0);
    let mut part = || {
        let part = parts.next().filter(|part| part.len() <= PART_BYTES_MAX)?;
        std::str::from_utf8(part).ok()
    };
    let (acts_as, user, password) = (part()?, part()?, part()?);
    let well_formed = parts.next().is_none() && !user.is_empty() && !password.is_empty();
    if !well_formed || !(acts_as.is_empty() || acts_as == user) {
        return None;
    }
    Some(Login { user: user.to_owned(), password: Zeroizing::new(password.to_owned()) })
}

/// What a client says.
pub fn message(user: &str, password: &str) -> Secret {
    Secret::new(format!("\0{user}\0{password}"))
}
