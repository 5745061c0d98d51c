//! "Did you mean …?": the known name closest to what was written.

/// The name with the smallest edit distance, if that is small enough to be a slip.
pub fn nearest<'n>(written: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    /// Longer texts are no slip of the pen, and comparing them would only cost time.
    const WRITTEN_CHARS_MAX: usize = 64;
    if written.chars().count() > WRITTEN_CHARS_MAX {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let ranked = names.map(|name| (distance(&plain(written), &plain(name)), name));
    let (distance, name) = ranked.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + name.len() / 5).then_some(name)
}

/// Levenshtein's, over characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_their_name_and_inventions_do_not() {
        let names = ["bindings", "max_message_size", "require_tls"];
        let near = |written| nearest(written, names.into_iter());
        assert_eq!(near("binding"), Some("bindings"));
        assert_eq!(near("max-message-size"), Some("max_message_size"));
        assert_eq!(near("requiretls"), Some("require_tls"));
        assert_eq!(near("colour"), None);
    }
}
