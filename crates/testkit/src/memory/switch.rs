//! Failures on demand.

use std::fmt;

use outdial_domain::{Error, ErrorKind};

/// How an operation of a [`MemoryStore`](super::MemoryStore) fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// With an error of this kind; nothing is changed.
    Error(ErrorKind),
    /// A write happens, but its answer is lost: the error says
    /// [`Unavailable`](ErrorKind::Unavailable). A read just fails so.
    LostAnswer,
}

impl Failure {
    pub(super) fn error(self, operation: &'static str) -> Error {
        let kind = match self {
            Self::Error(kind) => kind,
            Self::LostAnswer => ErrorKind::Unavailable,
        };
        Error::new(kind, operation, "the test asked for a failure")
    }
}

type Rule = Box<dyn FnMut(&'static str) -> Option<Failure> + Send>;

/// What fails through one view.
#[derive(Default)]
pub(super) struct Switch {
    pub(super) closed: bool,
    pub(super) all: Option<ErrorKind>,
    pub(super) writes: Option<ErrorKind>,
    pub(super) lose_answers: bool,
    pub(super) rule: Option<Rule>,
}

impl Switch {
    /// Whether the operation that begins now is to fail.
    pub(super) fn decide(&mut self, operation: &'static str, is_write: bool) -> Option<Failure> {
        if self.closed {
            return Some(Failure::Error(ErrorKind::Unavailable));
        }
        let told = self.all.or(self.writes.filter(|_| is_write)).map(Failure::Error);
        let lost = (is_write && self.lose_answers).then_some(Failure::LostAnswer);
        told.or(lost).or_else(|| self.rule.as_mut().and_then(|rule| rule(operation)))
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch")
            .field("closed", &self.closed)
            .field("all", &self.all)
            .field("writes", &self.writes)
            .field("lose_answers", &self.lose_answers)
            .finish_non_exhaustive()
    }
}
