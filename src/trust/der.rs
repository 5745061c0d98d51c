//! The little DER that signatures need: which octets are signed, by which algorithm, with which
//! key. Meaning is read elsewhere (webpki, x509-parser); this only cuts (X.690 8.1).

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// One value and what follows it.
struct Cut<'a> {
    tag: u8,
    /// With tag and length octets.
    whole: &'a [u8],
    content: &'a [u8],
    rest: &'a [u8],
}

/// A signed structure: certificate or revocation list.
pub(super) struct Signed<'a> {
    /// The octets that are signed.
    pub signed: &'a [u8],
    /// Content of the AlgorithmIdentifier.
    pub algorithm: &'a [u8],
    pub signature: &'a [u8],
}

/// A SubjectPublicKeyInfo.
pub(super) struct PublicKey<'a> {
    /// Content of the AlgorithmIdentifier.
    pub algorithm: &'a [u8],
    pub key: &'a [u8],
}

/// Whether the octets are one definite-length SEQUENCE and nothing behind it.
pub(super) fn is_one_sequence(bytes: &[u8]) -> bool {
    cut(bytes).is_some_and(|value| value.tag == SEQUENCE && value.rest.is_empty())
}

/// Cuts `SEQUENCE { tbs, AlgorithmIdentifier, BIT STRING }`.
pub(super) fn signed(bytes: &[u8]) -> Option<Signed<'_>> {
    let outer = cut(bytes).filter(|value| value.tag == SEQUENCE)?;
    let body = cut(outer.content).filter(|value| value.tag == SEQUENCE)?;
    let algorithm = cut(body.rest).filter(|value| value.tag == SEQUENCE)?;
    let signature = cut(algorithm.rest)?;
    Some(Signed { signed: body.whole, algorithm: algorithm.content, signature: bits(&signature)? })
}

/// Cuts the content of a SubjectPublicKeyInfo (without its own tag and length).
pub(super) fn public_key(content: &[u8]) -> Option<PublicKey<'_>> {
    let algorithm = cut(content).filter(|value| value.tag == SEQUENCE)?;
    let key = cut(algorithm.rest)?;
    Some(PublicKey { algorithm: algorithm.content, key: bits(&key)? })
}

/// The content of a SEQUENCE given whole.
pub(super) fn content(whole: &[u8]) -> Option<&[u8]> {
    cut(whole).filter(|value| value.tag == SEQUENCE).map(|value| value.content)
}

/// A SEQUENCE around `content`, as DER writes it.
pub(super) fn sequence(content: &[u8]) -> Vec<u8> {
    let mut whole = vec![SEQUENCE];
    let length = content.len();
    if length < 0x80 {
        whole.push(length as u8);
    } else {
        let octets = length.to_be_bytes();
        let significant: Vec<u8> = octets.into_iter().skip_while(|&octet| octet == 0).collect();
        whole.push(0x80 | significant.len() as u8);
        whole.extend(significant);
    }
    whole.extend_from_slice(content);
    whole
}

fn bits<'a>(value: &Cut<'a>) -> Option<&'a [u8]> {
    match (value.tag, value.content.split_first()) {
        (BIT_STRING, Some((0, octets))) => Some(octets),
        _ => None,
    }
}

fn cut(bytes: &[u8]) -> Option<Cut<'_>> {
    let (&tag, after_tag) = bytes.split_first()?;
    let (&first, after_first) = after_tag.split_first()?;
    let (length, header) = match first {
        0..=0x7f => (usize::from(first), 2),
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            let octets = after_first.get(..count)?;
            (octets.iter().fold(0usize, |sum, &octet| sum << 8 | usize::from(octet)), 2 + count)
        }
        _ => return None,
    };
    let end = header.checked_add(length)?;
    Some(Cut { tag, whole: bytes.get(..end)?, content: bytes.get(header..end)?, rest: &bytes[end..] })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cutting_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (is_one_sequence(&bytes), signed(&bytes).is_some(), public_key(&bytes).is_some());
        }

        #[test]
        fn a_sequence_is_cut_as_it_was_written(content_octets in proptest::collection::vec(any::<u8>(), 0..70_000)) {
            let whole = sequence(&content_octets);
            prop_assert!(is_one_sequence(&whole));
            prop_assert_eq!(content(&whole), Some(&content_octets[..]));
        }
    }
}
