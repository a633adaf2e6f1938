//! `--help`, completions and the man page: all from the same definitions.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]

mod common;

use clap::CommandFactory;
use common::pairwatch;
use pairwatch_cli::args::Cli;

fn commands() -> Vec<String> {
    let all = Cli::command();
    all.get_subcommands()
        .map(|c| c.get_name().to_owned())
        .collect()
}

#[test]
fn the_definitions_hold_together() {
    Cli::command().debug_assert();
}

#[test]
fn each_commands_help_teaches_by_examples_that_are_commands() {
    for command in commands() {
        let help = pairwatch([&*command, "--help"]).succeeds().stdout;
        if command == "schema" {
            continue;
        }
        let (_, examples) = help
            .split_once("Examples:")
            .unwrap_or_else(|| panic!("{command} has none"));
        assert!(
            examples.contains(&format!("pairwatch {command}")),
            "{examples}"
        );
    }
    let help = pairwatch(["--help"]).succeeds().stdout;
    for words in ["Exit status:", "--fail-on", "more than half"] {
        assert!(help.contains(words), "no {words:?} in {help}");
    }
}

#[test]
fn every_shells_completions_know_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let text = pairwatch(["completions", shell]).succeeds().stdout;
        for command in commands() {
            assert!(text.contains(&command), "{shell} does not know {command}");
        }
    }
}

#[test]
fn the_manual_has_a_page_for_all_and_for_each() {
    let all = pairwatch(["man"]).succeeds().stdout;
    assert!(all.starts_with(".ie \\n(.g .ds Aq"), "roff: {all:.40}");
    for command in commands() {
        assert!(all.contains(&command), "nothing of {command}");
        let page = pairwatch(["man", &command]).succeeds().stdout;
        assert!(page.contains(".SH NAME"), "{page:.200}");
    }
    pairwatch(["man", "tea"]).fails();
}

#[test]
fn the_help_of_commands_on_logs_says_when_pseudonyms_last() {
    for command in ["replay", "report", "explain", "train", "policy"] {
        let help = pairwatch([command, "--help"]).succeeds().stdout;
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            help.contains("has no identity.key, each run draws its own"),
            "{help}"
        );
    }
}
