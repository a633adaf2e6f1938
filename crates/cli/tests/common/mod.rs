//! Runs the built command.
#![allow(dead_code, reason = "each file of tests uses its part of this")]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A call of the command.
pub(crate) struct Call {
    args: Vec<String>,
    input: Vec<u8>,
}

/// What it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn pairwatch<'a>(args: impl IntoIterator<Item = &'a str>) -> Call {
    Call {
        args: args.into_iter().map(str::to_owned).collect(),
        input: Vec::new(),
    }
}

impl Call {
    /// With this on standard input.
    pub(crate) fn given(mut self, input: &[u8]) -> Self {
        self.input = input.to_vec();
        self
    }

    pub(crate) fn succeeds(self) -> Said {
        self.exits(0)
    }

    /// Exits with 0; returns what may be no text.
    pub(crate) fn succeeds_in_bytes(self) -> Vec<u8> {
        let out = self.output();
        assert!(out.status.success(), "{out:?}");
        out.stdout
    }

    /// Exits with 2; returns what it said why.
    pub(crate) fn fails(self) -> String {
        self.exits(2).stderr
    }

    /// Exits with this code.
    pub(crate) fn exits(self, code: i32) -> Said {
        let (found, said) = self.run();
        assert_eq!(found, Some(code), "{said:?}");
        said
    }

    fn run(self) -> (Option<i32>, Said) {
        let out = self.output();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            out.status.code(),
            Said {
                stdout: text(out.stdout),
                stderr: text(out.stderr),
            },
        )
    }

    fn output(self) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pairwatch"))
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // In a thread of its own: the command may write before it has read everything, or not read at all.
        let feed = std::thread::spawn(move || stdin.write_all(&self.input));
        let out = child.wait_with_output().unwrap();
        let _ = feed.join().unwrap();
        out
    }
}

/// A file of the test's own.
pub(crate) fn scratch(name: &str, content: &[u8]) -> String {
    let test = std::thread::current().name().unwrap_or("test").to_owned();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}
