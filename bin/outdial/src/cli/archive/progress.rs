//! How far it is: a bar on a terminal, lines elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::out;

/// Between two lines on what is no terminal: a record less than this many is not worth one.
const TELL_EVERY: u64 = 100_000;

/// How far it is with one thing.
pub(super) struct Progress {
    what: &'static str,
    /// `None`: nobody watches.
    bar: Option<ProgressBar>,
    unit: Unit,
    done: u64,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Records.
    Records,
    /// Bytes of a file.
    Bytes,
}

impl Progress {
    /// Begins `what`, such as `exporting`; without a total nobody knows how long it takes.
    pub(super) fn begin(what: &'static str, unit: Unit, total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            bar.set_style(style(unit, total.is_some()));
            bar.set_message(what);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { what, bar, unit, done: 0 }
    }

    pub(super) fn add(&mut self, count: u64) {
        let before = self.done;
        self.done += count;
        match &self.bar {
            Some(bar) => bar.set_position(self.done),
            None if self.unit == Unit::Records && before / TELL_EVERY < self.done / TELL_EVERY => {
                out::note(format_args!("{}: {} records", self.what, self.done));
            }
            None => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(unit: Unit, bounded: bool) -> ProgressStyle {
    let template = match (unit, bounded) {
        (Unit::Records, true) => "{msg:>10} [{bar:30}] {pos}/{len} records, {eta} left",
        (Unit::Records, false) => "{msg:>10} {spinner} {pos} records",
        (Unit::Bytes, true) => "{msg:>10} [{bar:30}] {bytes}/{total_bytes}, {eta} left",
        (Unit::Bytes, false) => "{msg:>10} {spinner} {bytes}",
    };
    // A test reads all templates.
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_without_a_terminal_prints_little() {
        let mut progress = Progress::begin("exporting", Unit::Records, Some(10));
        for _ in 0..10 {
            progress.add(1);
        }
        assert_eq!(progress.done, 10);
    }
}
