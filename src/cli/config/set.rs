//! `sealpost config set`: one key of the file, its comments and everything else kept.

use std::path::Path;

use clap::Args;

use crate::cli::certificate::place::Refusal;
use crate::config::edit::{self, Edit, EditError, Target};

use super::file::ConfigFile;

#[derive(Debug, Args)]
pub struct SetArgs {
    /// SECTION.KEY, SECTION.NAME.KEY or KEY, such as `transport.header_from` or `partner.Woodgrove Bank.mode`;
    /// or KEY=VALUE, as often as there are keys that only make sense together
    #[arg(value_name = "KEY")]
    key: String,
    /// The value; of a list all members (`[]` is the empty list)
    value: Vec<String>,
    /// Add a member to a list, behind those that it has; may be given several times
    #[arg(long, value_name = "MEMBER", conflicts_with = "value")]
    add: Vec<String>,
    /// Take a member off a list; may be given several times
    #[arg(long, value_name = "MEMBER", conflicts_with = "value")]
    remove: Vec<String>,
    /// Take the key out of the file, so that its default holds
    #[arg(long, conflicts_with_all = ["value", "add", "remove"])]
    unset: bool,
    /// Have the running server take it up at once, with whatever else has changed in the file
    #[arg(long)]
    reload: bool,
    #[arg(long)]
    json: bool,
}

/// Gives the exit status: 0, 1 (it could not be written or reloaded) or 2 (usage or configuration).
pub fn run(args: &SetArgs, config: &Path) -> Result<u8, Refusal> {
    let edits = edits(args)?;
    let file = ConfigFile::open(config)?;
    let mut text = file.text.clone();
    for (target, what) in &edits {
        text = edit::edit(&text, target, what).map_err(usage)?;
    }
    Ok(file.replace(&text)?.tell(config, args.reload, args.json, &[]))
}

fn edits(args: &SetArgs) -> Result<Vec<(Target, Edit)>, Refusal> {
    if args.unset {
        return Ok(vec![(Target::parse(&args.key).map_err(usage)?, Edit::Unset)]);
    }
    if !args.add.is_empty() || !args.remove.is_empty() {
        let what = Edit::Members { remove: args.remove.clone(), add: args.add.clone() };
        return Ok(vec![(Target::parse(&args.key).map_err(usage)?, what)]);
    }
    let words = || std::iter::once(&args.key).chain(&args.value);
    if let Some(assignments) = words().map(|word| assignment(word)).collect::<Option<Vec<_>>>() {
        return Ok(together(assignments));
    }
    let what = Edit::Set(args.value.clone());
    match (args.value.as_slice(), args.key.split_once('=')) {
        ([], None) => {
            let sentence = "no value is given; write KEY VALUE, or KEY=VALUE for each of several keys";
            Err(Refusal::usage(sentence))
        }
        // It says what is wrong with the key.
        ([], Some((key, value))) => {
            let what = Edit::Set(vec![value.to_owned()]);
            Target::parse(key).map(|target| vec![(target, what)]).map_err(usage)
        }
        _ => Ok(vec![(Target::parse(&args.key).map_err(usage)?, what)]),
    }
}

/// `KEY=VALUE`; a name in KEY may hold the sign too.
fn assignment(word: &str) -> Option<(Target, &str)> {
    word.match_indices('=').find_map(|(at, _)| Some((Target::parse(&word[..at]).ok()?, &word[at + 1..])))
}

/// Of a list, each member is a `KEY=VALUE` of its own.
fn together(assignments: Vec<(Target, &str)>) -> Vec<(Target, Edit)> {
    let mut values: Vec<(Target, Vec<String>)> = Vec::new();
    for (target, value) in assignments {
        match values.iter_mut().find(|(known, _)| known.to_string() == target.to_string()) {
            Some((_, values)) => values.push(value.to_owned()),
            None => values.push((target, vec![value.to_owned()])),
        }
    }
    values.into_iter().map(|(target, values)| (target, Edit::Set(values))).collect()
}

pub fn usage(error: EditError) -> Refusal {
    Refusal::usage(error)
}
