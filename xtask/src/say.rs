//! Lines on standard output, for readers that may leave early.

use std::io::{ErrorKind, Write};

/// Exit code after the reader left: what a shell gives a program that SIGPIPE ended.
const READER_LEFT: i32 = 128 + 13;

/// Prints a line as `println!`, but ends the program quietly where nobody reads any more, as `head` does.
macro_rules! say {
    ($($argument:tt)*) => { $crate::say::line(format_args!($($argument)*)) };
}
pub(crate) use say;

/// What [`say!`] does.
pub fn line(text: std::fmt::Arguments) {
    if let Err(error) = writeln!(std::io::stdout(), "{text}") {
        if error.kind() != ErrorKind::BrokenPipe {
            eprintln!("error: cannot write to standard output: {error}");
        }
        std::process::exit(READER_LEFT);
    }
}
