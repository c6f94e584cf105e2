//! The program when nobody reads what it prints.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Read;
use std::process::{Command, Stdio};

#[test]
fn a_reader_that_leaves_is_no_panic() {
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    xtask.args(["test", "--list"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = xtask.spawn().unwrap();
    // Before the list is printed: first the program asks cargo where it is.
    drop(child.stdout.take());
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "");
    assert_eq!(child.wait().unwrap().code(), Some(141));
}
