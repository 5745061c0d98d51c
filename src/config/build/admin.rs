//! `[admin]` with the token of its file.

use crate::disk;
use crate::policy::{AdminSettings, AdminToken};

use super::super::document::{Document, Table};
use super::super::format;
use super::super::problem::Problems;
use super::users::is_ours_alone;

/// The token and some white space.
const FILE_BYTES_MAX: u64 = 1024;
/// Shortest and longest token: 20 characters of base64 are 120 bits.
const TOKEN_BYTES_MIN: usize = 20;
const TOKEN_BYTES_MAX: usize = 200;
const HOW_TO_MAKE_ONE: &str = "make one with `openssl rand -hex 32`";

/// The listener, who may look at its page, and what may be done there.
pub fn admin(document: &Document, problems: &mut Problems) -> AdminSettings {
    let table = document.table("admin");
    AdminSettings {
        listen: table.read("listen", format::listen).flatten(),
        token: token(document, table, problems),
        allow_steering: table.bool("allow_steering"),
    }
}

fn token(document: &Document, table: &Table, problems: &mut Problems) -> Option<AdminToken> {
    let name = table.text("token_file").filter(|name| !name.is_empty())?;
    let path = document.resolve(name.as_ref());
    let place = table.place("token_file");
    let bytes = match disk::read(&path, FILE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) => {
            let what = format!("cannot read {}: {error}", path.display());
            problems.error(place, what, format!("check the path and its permissions, or {HOW_TO_MAKE_ONE}"));
            return None;
        }
    };
    is_ours_alone(&path, &place, problems);
    let token = bytes.trim_ascii();
    let is_good =
        (TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&token.len()) && token.iter().all(u8::is_ascii_graphic);
    if !is_good {
        let what = format!(
            "{} does not hold one token of {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} printable characters",
            path.display()
        );
        problems.error(place, what, HOW_TO_MAKE_ONE);
        return None;
    }
    Some(AdminToken::new(token))
}
