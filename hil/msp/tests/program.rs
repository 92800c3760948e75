//! The command line: help, example, and one sentence for whatever is wrong.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up has failed"
)]

use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aid-msp"))
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn help_version_and_example_go_to_stdout() {
    for (args, part) in [
        (&["--help"][..], "withdraw"),
        (&["--version"], "aid-msp "),
        (&["example-config"], "redirect_uris"),
    ] {
        let output = run(args);
        assert!(
            output.status.success() && String::from_utf8(output.stdout).unwrap().contains(part)
        );
    }
    assert_eq!(run(&["frobnicate"]).status.code(), Some(2));
}

#[test]
fn bad_input_is_one_sentence_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("msp.toml");
    let name = file.to_str().unwrap();
    let check = |part: &str| {
        let output = run(&["check-config", "--config", name]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(
            text.contains(part) && text.trim_end().lines().count() == 1,
            "{text}"
        );
    };
    check("msp.toml");
    std::fs::write(
        &file,
        aid_msp::EXAMPLE.replace("mode = \"sync\"", "moode = \"sync\""),
    )
    .unwrap();
    check("moode");
    std::fs::write(&file, aid_msp::EXAMPLE).unwrap();
    check("aid1-ca.pem");
}
