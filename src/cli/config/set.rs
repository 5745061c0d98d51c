//! `sealpost config set`: one key of the file, its comments and everything else kept.

use std::path::Path;

use clap::Args;

use crate::cli::certificate::place::Refusal;
use crate::config::edit::{self, Edit, EditError, Target};

use super::file::ConfigFile;

#[derive(Debug, Args)]
pub struct SetArgs {
    /// SECTION.KEY, SECTION.NAME.KEY or KEY, such as `transport.header_from` or `partner.Woodgrove Bank.mode`
    key: String,
    /// The value; of a list all members (`[]` is the empty list)
    #[arg(required_unless_present_any = ["add", "remove", "unset"])]
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
    /// Have the running server take it up at once
    #[arg(long)]
    reload: bool,
    #[arg(long)]
    json: bool,
}

/// Gives the exit status: 0, 1 (it could not be written or reloaded) or 2 (usage or configuration).
pub fn run(args: &SetArgs, config: &Path) -> Result<u8, Refusal> {
    let target = Target::parse(&args.key).map_err(usage)?;
    let what = if args.unset {
        Edit::Unset
    } else if args.value.is_empty() {
        Edit::Members { remove: args.remove.clone(), add: args.add.clone() }
    } else {
        Edit::Set(args.value.clone())
    };
    let file = ConfigFile::open(config)?;
    let text = edit::edit(&file.text, &target, &what).map_err(usage)?;
    Ok(file.replace(&text)?.tell(config, args.reload, args.json))
}

pub fn usage(error: EditError) -> Refusal {
    Refusal::usage(error)
}
