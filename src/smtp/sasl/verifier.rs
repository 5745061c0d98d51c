//! What is kept of a password: enough to tell whether somebody knows it, too little to log in with
//! elsewhere (RFC 5802 3, RFC 7677). Written as PostgreSQL writes it.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

/// Rounds for new passwords: some 5 ms of a server's time for each attempt with PLAIN.
pub const ITERATIONS: u32 = 16_384;
/// Fewer are too few (RFC 7677 4).
pub const ITERATIONS_MIN: u32 = 4_096;
/// More are an attack on whoever has to compute them.
pub const ITERATIONS_MAX: u32 = 1_000_000;
pub const SALT_BYTES: usize = 16;
const SALT_BYTES_MAX: usize = 128;
const NAME: &str = "SCRAM-SHA-256";

pub(super) type Key = [u8; 32];

/// Salt, rounds and the two keys of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub(super) iterations: u32,
    pub(super) salt: Vec<u8>,
    pub(super) stored_key: Key,
    pub(super) server_key: Key,
}

/// What a client of SCRAM is shown of a verifier before it proves anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    iterations: u32,
    salt_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    #[error("it is not of the form SCRAM-SHA-256$ROUNDS:SALT$STORED:SERVER")]
    Malformed,
    #[error("it has fewer than {ITERATIONS_MIN} or more than {ITERATIONS_MAX} rounds")]
    Iterations,
}

impl Verifier {
    /// Of a password, with a salt that nobody else has. `iterations` within the limits above.
    pub fn of_password(password: &str, salt: &[u8], iterations: u32) -> Self {
        let salted = salted_password(password, salt, iterations);
        let client_key = sign(&*salted, b"Client Key");
        Self {
            iterations,
            salt: salt.to_vec(),
            stored_key: hash(&client_key),
            server_key: sign(&*salted, b"Server Key"),
        }
    }

    /// Of nobody's password. What a client hears of it is the same each time for the same name, as it
    /// would be of a user, and looks like one of `shapes`, those of the users; `secret` is ours. Shapes that
    /// come and go change only the decoys that had, or get, theirs, and these like a new password would.
    pub fn decoy(user: &str, secret: &[u8], shapes: &BTreeSet<Shape>) -> Self {
        let octets = |what: &str| sign(secret, format!("{what} {user}").as_bytes());
        let of_shape = |shape: &Shape, what: &str| {
            octets(&format!("{what} of {} rounds and {} octets", shape.iterations, shape.salt_bytes))
        };
        let shape = shapes.iter().max_by_key(|shape| of_shape(shape, "place"));
        let shape = shape.copied().unwrap_or_default();
        let salt = (0..).flat_map(|part: u32| of_shape(&shape, &format!("salt {part}")));
        Self {
            iterations: shape.iterations,
            salt: salt.take(shape.salt_bytes).collect(),
            stored_key: of_shape(&shape, "stored"),
            server_key: of_shape(&shape, "server"),
        }
    }

    pub fn shape(&self) -> Shape {
        Shape { iterations: self.iterations, salt_bytes: self.salt.len() }
    }

    /// Whether it is the password. Takes as long for a wrong one.
    pub fn is_of(&self, password: &str) -> bool {
        let presented = Self::of_password(password, &self.salt, self.iterations);
        are_equal(&presented.stored_key, &self.stored_key)
    }
}

/// That of the verifiers which we make ourselves.
impl Default for Shape {
    fn default() -> Self {
        Self { iterations: ITERATIONS, salt_bytes: SALT_BYTES }
    }
}

impl FromStr for Verifier {
    type Err = VerifierError;

    fn from_str(text: &str) -> Result<Self, VerifierError> {
        let parts: Vec<&str> = text.split('$').collect();
        let [NAME, rounds, keys] = parts[..] else { return Err(VerifierError::Malformed) };
        let (iterations, salt) = rounds.split_once(':').ok_or(VerifierError::Malformed)?;
        let (stored, server) = keys.split_once(':').ok_or(VerifierError::Malformed)?;
        let iterations: u32 = iterations.parse().map_err(|_| VerifierError::Malformed)?;
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(VerifierError::Iterations);
        }
        let key = |text| {
            let octets = Base64::decode_vec(text).map_err(|_| VerifierError::Malformed)?;
            Key::try_from(octets).map_err(|_| VerifierError::Malformed)
        };
        let salt = Base64::decode_vec(salt).map_err(|_| VerifierError::Malformed)?;
        if !(1..=SALT_BYTES_MAX).contains(&salt.len()) {
            return Err(VerifierError::Malformed);
        }
        Ok(Self { iterations, salt, stored_key: key(stored)?, server_key: key(server)? })
    }
}

/// `SCRAM-SHA-256$16384:SALT$STORED:SERVER`
impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(Base64::encode_string);
        write!(f, "{NAME}${}:{salt}${stored}:{server}", self.iterations)
    }
}

/// The server's key would let its reader pretend to be us.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

/// `Hi` of RFC 5802. Zero rounds are taken for one; both sides refuse so few before they get here.
pub(super) fn salted_password(password: &str, salt: &[u8], iterations: u32) -> Zeroizing<Key> {
    let mut salted = Zeroizing::new(Key::default());
    let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password.as_bytes(), &mut *salted);
    salted
}

pub(super) fn sign(key: &[u8], message: &[u8]) -> Key {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    first_octets(tag.as_ref())
}

pub(super) fn hash(octets: &[u8]) -> Key {
    first_octets(digest::digest(&digest::SHA256, octets).as_ref())
}

/// Both are of this length; the library does not say so in its types.
fn first_octets(octets: &[u8]) -> Key {
    let mut key = Key::default();
    key.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
    key
}

pub(super) fn are_equal(one: &Key, other: &Key) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}
