//! `--fault`: any text, for logs of others have faults of their own; shells offer the names that we know.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command, Error};

use crate::trust::Fault;

/// Takes any text; completions offer the faults of docs/faults.md.
#[derive(Clone, Copy, Debug)]
pub struct FaultNames;

impl TypedValueParser for FaultNames {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Fault::all().map(|fault| PossibleValue::new(fault.name()))))
    }
}
