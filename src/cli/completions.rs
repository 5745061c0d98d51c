//! `sealpost completions`: what a shell needs to complete our commands and options.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::{Shell, generate};

use crate::cli::print::print_out;

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    shell: CompletedShell,
}

/// The shells that Debian has a directory for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompletedShell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script.
pub fn run(args: &CompletionsArgs) -> ExitCode {
    print_out(script(args.shell));
    ExitCode::SUCCESS
}

fn script(shell: CompletedShell) -> Vec<u8> {
    let shell = match shell {
        CompletedShell::Bash => Shell::Bash,
        CompletedShell::Zsh => Shell::Zsh,
        CompletedShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut super::Cli::command(), "sealpost", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_learns_every_command() {
        let command = super::super::Cli::command();
        for shell in [CompletedShell::Bash, CompletedShell::Zsh, CompletedShell::Fish] {
            let text = String::from_utf8(script(shell)).unwrap();
            for subcommand in command.get_subcommands() {
                assert!(text.contains(subcommand.get_name()), "{shell:?}: {}", subcommand.get_name());
            }
            assert!(
                text.matches("OwnCertificateInvalid").count() > 1,
                "{shell:?}: --fault offers the faults"
            );
        }
    }
}
