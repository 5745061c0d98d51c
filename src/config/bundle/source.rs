//! Making a bundle's content from the organisation's file and what lies beside it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::disk;

use super::super::parse::{self, Part};
use super::super::problem::{Place, Problem, Problems};
use super::content::{Content, File, check_name};
use super::{BUNDLE_BYTES_MAX, FILE_BYTES_MAX, FILES_MAX, SETTINGS_BYTES_MAX, scope};

/// Reads the shared settings and every file that they name. The serial is 0, for the caller to set.
///
/// # Errors
/// Everything that is wrong, at once: keys that are unknown or an edge's own, files that cannot be read.
pub fn gather(settings: &Path) -> Result<Content, Vec<Problem>> {
    let mut problems = Problems::new(settings);
    problems.call_shared(&settings.to_string_lossy());
    let content = read(settings, &mut problems);
    match content {
        Some(content) if !problems.has_errors() => Ok(content),
        Some(_) | None => Err(problems.into_sorted()),
    }
}

fn read(settings: &Path, problems: &mut Problems) -> Option<Content> {
    let bytes = disk::read(settings, SETTINGS_BYTES_MAX).map_err(|error| {
        let what = format!("cannot read the organisation's settings: {error}");
        problems.error(Place::whole_file(), what, "name a TOML file of at most 1 MiB");
    });
    let Ok(text) = String::from_utf8(bytes.ok()?) else {
        problems.error(Place::whole_file(), "the settings are not UTF-8", "save the file as UTF-8");
        return None;
    };
    let settings_name = settings.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if let Err(error) = check_name(&settings_name) {
        problems.error_sentence(Place::whole_file(), &error.to_string());
    }
    let parsed = parse::parse(settings, &text, Part::Organisation, problems)?;
    let directory = settings.parent().unwrap_or(Path::new(""));
    let mut files = BTreeMap::new();
    let mut bytes_in_all = 0;
    for (name, place) in parsed.document.tables.iter().flat_map(scope::files_of) {
        if let Err(error) = check_name(&name) {
            problems.error_sentence(place, &error.to_string());
            continue;
        }
        match disk::read(&directory.join(&name), FILE_BYTES_MAX) {
            Ok(bytes) => {
                bytes_in_all += bytes.len() as u64;
                files.insert(name, File { bytes });
            }
            Err(error) => {
                problems.error(place, format!("cannot read {name}: {error}"), "check the path and its size");
            }
        }
        if files.len() > FILES_MAX || bytes_in_all > BUNDLE_BYTES_MAX {
            let what = "the files are more than 1,000, or more than 64 MiB";
            problems.error(Place::whole_file(), what, "leave out what edges do not need");
            return None;
        }
    }
    Some(Content { serial: 0, settings_name, settings: text, files })
}
