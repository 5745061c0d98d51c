//! The options table as Markdown (`config reference`, docs/configuration.md), as JSON, and in words for
//! the manual page.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::options::{self, Default, Key, Kind, SECTIONS, Scalar, Section};

const HEAD: &str = "\
# Configuration

<!-- Made by `sealpost config reference`; change src/config/options/ instead. -->

One TOML file: `sealpost serve -c FILE`, else `$SEALPOST_CONFIG`, else `/etc/sealpost/sealpost.toml`.
Relative paths are relative to the file. `sealpost config check` tells every error and warning at once;
`sealpost config show SECTION.NAME` what is in force. A reload (SIGHUP) takes up every change but those
of keys marked *restart*; a file with an error changes nothing.

Durations are strings with units `ms`, `s`, `min`, `hours`, `days`, `weeks` (`\"1 h 30 min\"`); sizes with
`B`, `KiB`, `MiB`, `GiB`, `TiB` or the decimal `kB`, `MB`, `GB`, `TB`. Working examples are in `config/`.
";

/// The whole page.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for section in SECTIONS {
        let _ = write!(page, "\n## {}\n\n{}\n\n", heading(section), section.doc);
        page.push_str(
            "| key | type | default | unit | a change needs | meaning |\n|---|---|---|---|---|---|\n",
        );
        for key in options::of(section.name) {
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} | {} | {} |",
                key.name,
                cell(&kind(key)),
                cell(&default(key)),
                unit(key),
                if key.restart { "restart" } else { "reload" },
                cell(key.doc),
            );
        }
    }
    page
}

/// `[{section, key, type, default, unit, restart, meaning}]`.
pub fn to_json() -> Value {
    let keys = options::all().map(|key| {
        json!({
            "section": key.section,
            "key": key.name,
            "type": kind(key),
            "default": default(key),
            "unit": unit(key),
            "restart": key.restart,
            "meaning": key.doc,
        })
    });
    Value::Array(keys.collect())
}

/// What there is to say of one key, in Markdown.
pub struct Described {
    pub kind: String,
    pub default: String,
    pub meaning: String,
}

pub fn describe(key: &Key) -> Described {
    let unit = Some(unit(key)).filter(|unit| !unit.is_empty()).map(|unit| format!(" ({unit})"));
    let kind = kind(key).replace("\\|", "|");
    Described {
        kind: kind + &unit.unwrap_or_default(),
        default: default(key).replace("\\|", "|"),
        meaning: key.doc.replace("\\|", "|"),
    }
}

pub fn heading(section: &Section) -> String {
    match section.named_by {
        None if section.name.is_empty() => "Top of the file".to_owned(),
        None => format!("`[{}]`", section.name),
        Some(_) => format!("`[[{}]]`", section.name),
    }
}

fn kind(key: &Key) -> String {
    match key.kind {
        Kind::Bool => "boolean".to_owned(),
        Kind::Integer { min, max } => format!("integer, {min} to {max}"),
        Kind::One(scalar) => scalar_kind(scalar),
        Kind::Many(scalar) => format!("list: {}", scalar_kind(scalar)),
        Kind::WordOrMany(words, format) => {
            format!("{}, or list: {}", scalar_kind(Scalar::Word(words)), format.name)
        }
    }
}

/// Of strings the units stand in the value.
fn unit(key: &Key) -> &'static str {
    match key.kind {
        Kind::One(Scalar::Format(format)) | Kind::Many(Scalar::Format(format)) => match format.name {
            "duration" => "ms … weeks",
            "size" => "B … TiB",
            _ => key.unit,
        },
        Kind::Bool | Kind::Integer { .. } | Kind::One(_) | Kind::Many(_) | Kind::WordOrMany(..) => key.unit,
    }
}

fn scalar_kind(scalar: Scalar) -> String {
    match scalar {
        Scalar::Format(format) => format.name.to_owned(),
        Scalar::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" \\| "),
    }
}

fn default(key: &Key) -> String {
    match key.default {
        Default::Required => "**required**".to_owned(),
        Default::Nothing => "none".to_owned(),
        Default::Derived(how) => how.to_owned(),
        Default::Bool(_) | Default::Integer(_) | Default::Text(_) | Default::List(_) => {
            format!("`{}`", key.default.toml())
        }
    }
}

/// A `|` would end the cell, unless it has been escaped.
fn cell(text: &str) -> String {
    text.replace("\\|", "|").replace('|', "\\|")
}
