//! Revocation lists of strangers: no panic, a list that is read holds what it says, and one that
//! is not signed by an issuer speaks for no certificate.

use sealpost::trust::RevocationList;

pub fn run(input: &[u8]) {
    let (serial, bytes) = input.split_at(input.len().min(4));
    let each = RevocationList::parse_each("fuzz.crl", bytes);
    assert!(!each.is_empty());
    for list in each {
        match list {
            Ok(list) => {
                assert!(!list.is_empty() || list.find(serial).is_none());
                let now = list.this_update;
                assert!(!list.is_current_at(now) || list.next_update.is_some_and(|next| next >= now));
            }
            Err(error) => assert!(error.to_string().starts_with("fuzz.crl: ")),
        }
    }
    let _ = RevocationList::parse("fuzz.crl", bytes);
}
