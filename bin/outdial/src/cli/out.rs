//! Writing to the terminal. Results go to standard output, all else to standard error.

use std::io::{self, Write as _};

/// Prints one line of the result.
///
/// # Errors
/// When nobody reads any more.
pub(crate) fn line(text: impl std::fmt::Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Tells a person on standard error.
pub(crate) fn note(text: impl std::fmt::Display) {
    // There is nobody left to tell that nobody reads this.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Tells what went wrong, with its causes.
pub(crate) fn complain(error: &anyhow::Error) {
    note(format_args!("error: {error:#}"));
}
