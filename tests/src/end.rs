//! How a call should have ended.

use serde_json::{Value, json};

/// How a call should have ended: what its record and its webhook say alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    outcome: &'static str,
    cause: Option<(&'static str, &'static str, bool)>,
    reason: Option<&'static str>,
}

impl End {
    /// Completed, for this reason.
    pub const fn completed(reason: &'static str) -> Self {
        Self { outcome: "completed", cause: None, reason: Some(reason) }
    }

    /// By a cause with this layer and code that will not go away by itself.
    pub const fn because(outcome: &'static str, layer: &'static str, code: &'static str) -> Self {
        Self { outcome, cause: Some((layer, code, false)), reason: None }
    }

    /// By a cause that may be gone later.
    pub const fn passing(outcome: &'static str, layer: &'static str, code: &'static str) -> Self {
        Self { outcome, cause: Some((layer, code, true)), reason: None }
    }

    /// Compares it with a record, or with the `data` of a webhook.
    ///
    /// # Panics
    /// When the call ended in another way.
    #[track_caller]
    pub fn check(self, data: &Value) {
        let cause = match &data["cause"] {
            Value::Null => Value::Null,
            cause => json!([cause["layer"], cause["code"], cause["retryable"]]),
        };
        let got = json!([data["outcome"], cause, data["end_reason"]]);
        assert_eq!(got, json!([self.outcome, self.cause, self.reason]), "{data}");
    }
}
