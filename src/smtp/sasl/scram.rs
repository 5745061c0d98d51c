//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, 7677): each side proves that it knows the password,
//! or what is kept of it, and neither says it. With PLUS the proof holds for one TLS session only, so
//! that nobody in the middle can pass it on (RFC 9266).

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use super::Secret;
use super::verifier::{
    ITERATIONS_MAX, ITERATIONS_MIN, Key, Verifier, are_equal, hash, salted_password, sign,
};

/// `tls-exporter` (RFC 9266): what both ends of one TLS session, and nobody else, can compute.
pub type ChannelBinding = [u8; 32];

/// The one kind of channel binding that we speak.
const BINDING_NAME: &str = "tls-exporter";
/// Longest message of the other side, and longest nonce in it, octets.
const MESSAGE_BYTES_MAX: usize = 4096;
const NONCE_BYTES_MAX: usize = 512;

/// What a client may say of channel binding (the GS2 header, RFC 5802 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// The client knows of none (`n`).
    Unknown,
    /// The client could bind and believes that the server cannot (`y`).
    NotOffered,
    /// Bound to this session (`p`).
    Bound(ChannelBinding),
}

/// A client's message, or a server's, is not what the mechanism says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    #[error("a message of the exchange is malformed")]
    Malformed,
    #[error("the client would act for somebody else, which nobody may")]
    ActsForAnother,
    #[error("the client believes that channel binding was not offered: somebody may have taken it out")]
    Downgraded,
    #[error("the proof is bound to another TLS session")]
    WrongBinding,
    #[error("the server's nonce does not begin with ours, or is no longer than it")]
    WrongNonce,
    #[error("the server asks for fewer than {ITERATIONS_MIN} or more than {ITERATIONS_MAX} rounds")]
    Iterations,
    #[error("the password is wrong")]
    WrongPassword,
    #[error("the server does not know the password, and is not whom it claims to be")]
    WrongServer,
}

/// The client's first message, read by a server.
#[derive(Debug)]
pub struct ClientFirst {
    pub user: String,
    gs2_header: String,
    bare: String,
    nonce: String,
    binding: Option<ChannelBinding>,
}

/// A server that has sent its challenge.
#[derive(Debug)]
pub struct ServerExchange {
    first: ClientFirst,
    server_first: String,
    nonce: String,
    verifier: Verifier,
}

/// Reads the client's first message. `plus` holds this session's binding where the client chose
/// SCRAM-SHA-256-PLUS; `offered` says whether it could have.
///
/// # Errors
/// Where it is malformed, or binds as the chosen mechanism does not.
pub fn client_first(
    message: &Secret,
    plus: Option<ChannelBinding>,
    offered: bool,
) -> Result<ClientFirst, ScramError> {
    let text = text_of(message)?;
    let mut parts = text.splitn(3, ',');
    let mut part = || parts.next().ok_or(ScramError::Malformed);
    let (flag, acts_as, bare) = (part()?, part()?, part()?);
    match (flag, plus) {
        ("n", None) => {}
        ("y", None) if offered => return Err(ScramError::Downgraded),
        ("y", None) => {}
        (flag, Some(_)) if flag.strip_prefix("p=") == Some(BINDING_NAME) => {}
        _ => return Err(ScramError::Malformed),
    }
    let mut attributes = bare.split(',');
    let user = attributes.next().and_then(|first| first.strip_prefix("n=")).and_then(unescaped);
    let nonce =
        attributes.next().and_then(|second| second.strip_prefix("r=")).filter(|nonce| is_nonce(nonce));
    let (Some(user), Some(nonce)) = (user, nonce) else { return Err(ScramError::Malformed) };
    if !acts_as.is_empty() && acts_as.strip_prefix("a=").and_then(unescaped).as_ref() != Some(&user) {
        return Err(ScramError::ActsForAnother);
    }
    Ok(ClientFirst {
        user,
        gs2_header: format!("{flag},{acts_as},"),
        nonce: nonce.to_owned(),
        bare: bare.to_owned(),
        binding: plus,
    })
}

impl ClientFirst {
    /// Answers with a challenge; `nonce` is printable, without commas, and never used twice.
    pub fn challenge(self, nonce: &str, verifier: Verifier) -> (ServerExchange, Secret) {
        let nonce = format!("{}{nonce}", self.nonce);
        let salt = Base64::encode_string(&verifier.salt);
        let server_first = format!("r={nonce},s={salt},i={}", verifier.iterations);
        let said = Secret::new(server_first.as_str());
        (ServerExchange { first: self, server_first, nonce, verifier }, said)
    }
}

impl ServerExchange {
    pub fn user(&self) -> &str {
        &self.first.user
    }

    /// Judges the client's proof; with a good one the server's own, to be sent.
    ///
    /// # Errors
    /// Where it is malformed or wrong.
    pub fn finish(&self, message: &Secret) -> Result<Secret, ScramError> {
        let text = text_of(message)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(ScramError::Malformed)?;
        let mut attributes = without_proof.split(',');
        let mut value = |name: &str| attributes.next()?.strip_prefix(name);
        let (binding, nonce) = value("c=").zip(value("r=")).ok_or(ScramError::Malformed)?;
        if Base64::decode_vec(binding).ok() != Some(binding_of(&self.first.gs2_header, self.first.binding)) {
            return Err(ScramError::WrongBinding);
        }
        if nonce != self.nonce {
            return Err(ScramError::Malformed);
        }
        let proof = Base64::decode_vec(proof).ok().and_then(|octets| Key::try_from(octets).ok());
        let proof = proof.ok_or(ScramError::Malformed)?;
        let said = format!("{},{},{without_proof}", self.first.bare, self.server_first);
        let client_key = xor(&proof, &sign(&self.verifier.stored_key, said.as_bytes()));
        if !are_equal(&hash(&client_key), &self.verifier.stored_key) {
            return Err(ScramError::WrongPassword);
        }
        let signature = Base64::encode_string(&sign(&self.verifier.server_key, said.as_bytes()));
        Ok(Secret::new(format!("v={signature}")))
    }
}

/// A client that has said its first message.
pub struct ClientExchange {
    password: Zeroizing<String>,
    gs2_header: String,
    binding: Option<ChannelBinding>,
    bare: String,
    nonce: String,
}

/// A client that awaits the server's proof.
pub struct ClientProved {
    server_signature: Key,
}

/// Begins an exchange; `nonce` is printable, without commas, and never used twice.
pub fn begin(user: &str, password: &str, nonce: &str, binding: Binding) -> (ClientExchange, Secret) {
    let (flag, binding) = match binding {
        Binding::Unknown => ("n".to_owned(), None),
        Binding::NotOffered => ("y".to_owned(), None),
        Binding::Bound(binding) => (format!("p={BINDING_NAME}"), Some(binding)),
    };
    let gs2_header = format!("{flag},,");
    let bare = format!("n={},r={nonce}", escaped(user));
    let said = Secret::new(format!("{gs2_header}{bare}"));
    let password = Zeroizing::new(password.to_owned());
    (ClientExchange { password, gs2_header, binding, bare, nonce: nonce.to_owned() }, said)
}

impl ClientExchange {
    /// Answers the server's challenge with our proof.
    ///
    /// # Errors
    /// Where the challenge is malformed, answers somebody else, or asks for too little or too much.
    pub fn prove(&self, challenge: &Secret) -> Result<(ClientProved, Secret), ScramError> {
        let server_first = text_of(challenge)?;
        let mut attributes = server_first.split(',');
        let mut value = |name: &str| attributes.next()?.strip_prefix(name);
        let (nonce, salt, iterations) = (value("r="), value("s="), value("i="));
        let nonce = nonce.ok_or(ScramError::Malformed)?;
        let salt = salt.and_then(|text| Base64::decode_vec(text).ok()).filter(|salt| !salt.is_empty());
        let iterations = iterations.and_then(|text| text.parse::<u32>().ok());
        let (salt, iterations) = salt.zip(iterations).ok_or(ScramError::Malformed)?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(ScramError::WrongNonce);
        }
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(ScramError::Iterations);
        }
        let salted = salted_password(&self.password, &salt, iterations);
        let client_key = sign(&*salted, b"Client Key");
        let binding = Base64::encode_string(&binding_of(&self.gs2_header, self.binding));
        let without_proof = format!("c={binding},r={nonce}");
        let said = format!("{},{server_first},{without_proof}", self.bare);
        let proof = xor(&client_key, &sign(&hash(&client_key), said.as_bytes()));
        let server_signature = sign(&sign(&*salted, b"Server Key"), said.as_bytes());
        let message = format!("{without_proof},p={}", Base64::encode_string(&proof));
        Ok((ClientProved { server_signature }, Secret::new(message)))
    }
}

impl ClientProved {
    /// Judges the server's proof: one that cannot give it never knew the password.
    ///
    /// # Errors
    /// Where it is malformed or wrong.
    pub fn verify(&self, message: &Secret) -> Result<(), ScramError> {
        let text = text_of(message)?;
        let signature = text.strip_prefix("v=").map(|rest| rest.split(',').next().unwrap_or_default());
        let signature = signature.and_then(|text| Key::try_from(Base64::decode_vec(text).ok()?).ok());
        match signature {
            Some(signature) if are_equal(&signature, &self.server_signature) => Ok(()),
            Some(_) => Err(ScramError::WrongServer),
            None => Err(ScramError::Malformed),
        }
    }
}

/// What `c=` holds: the GS2 header, and the binding where there is one.
fn binding_of(gs2_header: &str, binding: Option<ChannelBinding>) -> Vec<u8> {
    let bound = binding.as_ref().map_or(&[][..], |octets| octets.as_slice());
    [gs2_header.as_bytes(), bound].concat()
}

fn text_of(message: &Secret) -> Result<&str, ScramError> {
    let octets = message.octets();
    let text = std::str::from_utf8(octets).ok().filter(|text| text.len() <= MESSAGE_BYTES_MAX);
    text.filter(|text| !text.contains('\0')).ok_or(ScramError::Malformed)
}

fn is_nonce(text: &str) -> bool {
    (1..=NONCE_BYTES_MAX).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic())
}

/// `=2C` and `=3D` stand for comma and equals sign (RFC 5802 5.1).
fn unescaped(text: &str) -> Option<String> {
    let plain = text.replace("=2C", ",").replace("=3D", "=");
    (!text.is_empty() && escaped(&plain) == text).then_some(plain)
}

fn escaped(text: &str) -> String {
    text.replace('=', "=3D").replace(',', "=2C")
}

fn xor(one: &Key, other: &Key) -> Key {
    let mut both = *one;
    both.iter_mut().zip(other).for_each(|(octet, with)| *octet ^= with);
    both
}
