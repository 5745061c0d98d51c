//! Pins: the SHA-256 of an end-entity's SubjectPublicKeyInfo, written as RFC 7469 does.

use sha2::{Digest, Sha256};

use super::requirement::SpkiPin;

/// Why a text is not a pin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    #[error("a pin begins with `sha256/`")]
    NoPrefix,
    #[error("behind `sha256/` stand 44 characters of base64, the SHA-256 of the SubjectPublicKeyInfo")]
    NotBase64,
}

impl SpkiPin {
    /// Computes the pin of a SubjectPublicKeyInfo in DER.
    pub fn of(subject_public_key_info: &[u8]) -> Self {
        Self(Sha256::digest(subject_public_key_info).into())
    }
}

impl std::str::FromStr for SpkiPin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let text = text.strip_prefix("sha256/").ok_or(PinError::NoPrefix)?;
        decode(text).map(Self).ok_or(PinError::NotBase64)
    }
}

impl std::fmt::Display for SpkiPin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sha256/")?;
        self.0.chunks(3).try_for_each(|octets| f.write_str(&quartet(octets)))
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 (RFC 4648 section 4) of one to three octets.
pub(super) fn quartet(octets: &[u8]) -> String {
    let bits = (0..3).fold(0u32, |bits, i| bits << 8 | u32::from(octets.get(i).copied().unwrap_or(0)));
    let digit = |i: usize| char::from(ALPHABET[(bits >> (18 - 6 * i)) as usize & 63]);
    (0..4).map(|i| if i <= octets.len() { digit(i) } else { '=' }).collect()
}

/// Exactly 32 octets: 43 digits, the last with two spare bits that are zero, and one `=`.
fn decode(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_suffix('=').filter(|digits| digits.len() == 43)?;
    let mut octets = Vec::with_capacity(33);
    let (mut bits, mut count) = (0u32, 0);
    for digit in digits.bytes() {
        let value = ALPHABET.iter().position(|&letter| letter == digit)?;
        bits = (bits << 6 | value as u32) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            octets.push((bits >> count) as u8);
        }
    }
    (bits & 0b11 == 0).then_some(octets)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_nothing_is_written_as_others_write_it() {
        // `openssl dgst -sha256 -binary </dev/null | base64`
        let text = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert_eq!(SpkiPin::of(b"").to_string(), text);
        assert_eq!(text.parse(), Ok(SpkiPin::of(b"")));
        assert!(text.replace("U=", "V=").parse::<SpkiPin>().is_err());
    }

    #[test]
    fn a_pin_reads_back_as_written() {
        let pin = SpkiPin::of(b"key");
        assert_eq!(pin.to_string().parse(), Ok(pin));
        assert_eq!("sha1/AAAA".parse::<SpkiPin>(), Err(PinError::NoPrefix));
        assert_eq!("sha256/AAAA".parse::<SpkiPin>(), Err(PinError::NotBase64));
        let bad = pin.to_string().replace('=', "!");
        assert_eq!(bad.parse::<SpkiPin>(), Err(PinError::NotBase64));
    }
}
