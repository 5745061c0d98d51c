//! What a bundle says: a serial number, the shared settings as they were written, and the files that
//! they name. The same content is the same octets, always.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{BundleError, FILE_BYTES_MAX, FILES_MAX, NAME_BYTES_MAX, SETTINGS_BYTES_MAX};

/// The shared part of an organisation's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Rises with every change; an edge takes no older one.
    pub serial: u64,
    /// The name that problems are reported under, such as `organisation.toml`.
    pub settings_name: String,
    /// TOML, comments included, so that lines are those of the file it was made from.
    pub settings: String,
    /// By the name under which the settings call them.
    pub files: BTreeMap<String, File>,
}

/// A file that the settings name: anchors, revocation lists, recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub bytes: Vec<u8>,
}

/// As it stands in the bundle.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    serial: u64,
    settings_name: std::borrow::Cow<'a, str>,
    settings: std::borrow::Cow<'a, str>,
    files: Vec<WrittenFile<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFile<'a> {
    name: std::borrow::Cow<'a, str>,
    content: String,
}

impl File {
    /// SHA-256 of its content, lower-case hexadecimal.
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(&self.bytes))
    }
}

impl Content {
    /// JSON in one line; files in the order of their names.
    pub fn to_octets(&self) -> Vec<u8> {
        let files = self.files.iter();
        let files = files.map(|(name, file)| WrittenFile {
            name: name.as_str().into(),
            content: Base64::encode_string(&file.bytes),
        });
        let written = Written {
            serial: self.serial,
            settings_name: self.settings_name.as_str().into(),
            settings: self.settings.as_str().into(),
            files: files.collect(),
        };
        let mut octets = serde_json::to_vec(&written).expect("strings and a number");
        octets.push(b'\n');
        octets
    }

    /// # Errors
    /// Whatever is not as `to_octets` writes it, and what is above a limit: who signed it may err too.
    pub fn from_octets(octets: &[u8]) -> Result<Self, BundleError> {
        let malformed = |error: &dyn std::fmt::Display| BundleError::Malformed(error.to_string());
        let written: Written<'_> = serde_json::from_slice(octets).map_err(|error| malformed(&error))?;
        if written.settings.len() as u64 > SETTINGS_BYTES_MAX {
            return Err(BundleError::TooLarge("1 MiB of settings"));
        }
        if written.files.len() > FILES_MAX {
            return Err(BundleError::TooLarge("1,000 files"));
        }
        let mut files = BTreeMap::new();
        for file in written.files {
            check_name(&file.name)?;
            let bytes = Base64::decode_vec(&file.content).map_err(|error| malformed(&error))?;
            if bytes.len() as u64 > FILE_BYTES_MAX {
                return Err(BundleError::TooLarge("16 MiB in one file"));
            }
            if files.insert(file.name.to_string(), File { bytes }).is_some() {
                return Err(BundleError::Malformed(format!("{} is in it twice", file.name)));
            }
        }
        check_name(&written.settings_name)?;
        let (settings_name, settings) = (written.settings_name.into_owned(), written.settings.into_owned());
        Ok(Self { serial: written.serial, settings_name, settings, files })
    }
}

/// A relative path that cannot leave the place it is put in, and means the same on every system.
///
/// # Errors
/// `BadName`.
pub fn check_name(name: &str) -> Result<(), BundleError> {
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    if name.len() <= NAME_BYTES_MAX && name.split('/').all(plain) {
        Ok(())
    } else {
        Err(BundleError::BadName(name.chars().take(NAME_BYTES_MAX).collect()))
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
