//! Query strings.

use std::borrow::Cow;

use actix_web::HttpRequest;
use chrono::{DateTime, Utc};

use super::fields::{shown, unknown};
use crate::code::ErrorCode;
use crate::error::{ApiError, Result};

/// A query string that is being read: every parameter is taken once.
pub(crate) struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    asked: Vec<&'static str>,
}

impl<'a> Query<'a> {
    pub(crate) fn of(request: &'a HttpRequest) -> Result<Self> {
        let mut pairs: Vec<(Cow<'a, str>, _)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(request.query_string().as_bytes()) {
            if pairs.iter().any(|(known, _)| *known == name) {
                let name = shown(&name);
                let message = format!("query parameter {name:?} stands twice");
                return Err(ApiError::field(ErrorCode::InvalidField, name, message));
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs, asked: Vec::new() })
    }

    /// The parameter `name`; an empty one counts as absent.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<Cow<'a, str>> {
        self.asked.push(name);
        let at = self.pairs.iter().position(|(known, _)| known == name)?;
        Some(self.pairs.swap_remove(at).1).filter(|value| !value.is_empty())
    }

    /// The parameter `name`, read by `read`.
    pub(crate) fn read<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'static str, &str) -> Result<T>,
    ) -> Result<Option<T>> {
        self.take(name).map(|value| read(name, &value)).transpose()
    }

    /// Ends the reading. A parameter that nobody asked for is refused: a misspelt filter must not
    /// silently give everything.
    pub(crate) fn finish(mut self) -> Result<()> {
        match self.pairs.pop() {
            None => Ok(()),
            Some((name, _)) => Err(unknown("query parameter", &name, &self.asked)),
        }
    }
}

/// Gives the `+` back that a query string turns into a blank unless it is written `%2B`.
pub(crate) fn plus(value: &str) -> Cow<'_, str> {
    if value.contains(' ') { Cow::Owned(value.replace(' ', "+")) } else { Cow::Borrowed(value) }
}

/// A time in RFC 3339.
pub(crate) fn time(name: &'static str, text: &str) -> Result<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(&plus(text)).map(|time| time.to_utc()).map_err(|error| {
        ApiError::field(
            ErrorCode::InvalidField,
            name,
            format!("{name} must be an ISO 8601 time with a zone: {error}"),
        )
        .hint("for example 2026-01-31T09:30:00.000Z")
    })
}
