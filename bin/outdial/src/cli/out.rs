//! Writing to the terminal. Results go to standard output, all else to standard error.

use std::io::{self, Write as _};

use outdial_domain::Error;

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
    note(format_args!("error: {}", in_words(error)));
}

/// An error and its causes, down to what a port says for a person.
fn in_words(error: &anyhow::Error) -> String {
    let mut words = Vec::new();
    for cause in error.chain() {
        if let Some(port) = cause.downcast_ref::<Error>() {
            words.push(port.message.clone());
            break;
        }
        words.push(cause.to_string());
    }
    words.join(": ")
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use outdial_domain::ErrorKind;

    use super::*;

    #[test]
    fn internal_names_are_not_for_people() {
        let port = Error::new(ErrorKind::Refused, "mongodb.open", "wrong password");
        let port = port.with_source(anyhow!("{{code: 18}}"));
        assert_eq!(
            in_words(&anyhow::Error::new(port).context("no start")),
            "no start: wrong password"
        );
        assert_eq!(in_words(&anyhow!("b").context("a")), "a: b");
    }
}
