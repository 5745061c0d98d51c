//! The token of `[admin] token_file`.

use std::fmt;

use aws_lc_rs::constant_time;
use sha2::{Digest, Sha256};

/// Only its SHA-256 is kept: enough to know it again.
#[derive(Clone)]
pub struct AdminToken([u8; 32]);

impl AdminToken {
    pub fn new(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Whether `offered` is the token; takes as long for any that is as long.
    pub fn is(&self, offered: &[u8]) -> bool {
        self.is_same(&Self::new(offered))
    }

    /// Whether both are of one token.
    pub fn is_same(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_again_and_shows_nothing() {
        let token = AdminToken::new(b"correct horse battery staple");
        assert!(token.is(b"correct horse battery staple"));
        assert!(!token.is(b"correct horse battery stapl") && !token.is(b""));
        assert_eq!(format!("{token:?}"), "AdminToken");
    }
}
