//! Identifiers, and the random texts they are made of.

use std::fmt;
use std::str::FromStr;

use rand::RngExt;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `length` random characters `[a-z0-9]` from the thread's cryptographic generator; 5.17 bits each.
pub fn random_text(length: usize) -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut rng = rand::rng();
    (0..length).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect()
}

/// Why a text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IdError(&'static str);

/// The id of an assistant: a UUID (any version), written in lower case with hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AssistantId(Uuid);

impl AssistantId {
    /// A fresh random id (UUID version 4).
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for AssistantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AssistantId {
    type Err = IdError;
    /// Reads the 36-character form with hyphens only.
    fn from_str(text: &str) -> Result<Self, IdError> {
        const RULE: IdError =
            IdError("an assistant id is a UUID like 550e8400-e29b-41d4-a716-446655440000");
        if text.len() != 36 {
            return Err(RULE);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| RULE)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $random:literal, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// A fresh random id.
            pub fn random() -> Self {
                Self(format!("{}{}", $prefix, random_text($random)).into())
            }

            /// The whole id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let good = text.strip_prefix($prefix).is_some_and(|rest| {
                    (1..=64).contains(&rest.len())
                        && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
                });
                if good { Ok(Self(text.into())) } else { Err(IdError($rule)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// The id of a SIP trunk: `ST_` and 20 random characters `[a-z0-9]`; 1 to 64 of
    /// `[A-Za-z0-9_-]` are read.
    TrunkId, "ST_", 20, "a trunk id is ST_ followed by up to 64 letters, digits, _ or -"
);
text_id!(
    /// The id of an account: `AC_` and 16 random characters.
    AccountId, "AC_", 16, "an account id is AC_ followed by up to 64 letters, digits, _ or -"
);
text_id!(
    /// The public part of an API key: `AK_` and 16 random characters.
    ApiKeyId, "AK_", 16, "a key id is AK_ followed by up to 64 letters, digits, _ or -"
);
text_id!(
    /// A node: one running server with a data folder of its own. `ND_` and 12 random characters.
    NodeId, "ND_", 12, "a node id is ND_ followed by up to 64 letters, digits, _ or -"
);
text_id!(
    /// One attempt to deliver a webhook: `DL_` and 16 random characters.
    DeliveryId, "DL_", 16, "a delivery id is DL_ followed by up to 64 letters, digits, _ or -"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trunk_ids() {
        for good in ["ST_a1b2c3d4e5f6", "ST_exotel_abc123"] {
            assert_eq!(good.parse::<TrunkId>().unwrap().as_str(), good);
        }
        let fresh = TrunkId::random();
        assert_eq!(fresh.as_str().parse::<TrunkId>().unwrap(), fresh);
        for bad in
            ["", "ST_", "a1b2", "st_abc", "ST_a b", "ST_é", &format!("ST_{}", "a".repeat(65))]
        {
            assert!(bad.parse::<TrunkId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn assistant_ids_have_one_form() {
        let id = "550e8400-e29b-41d4-a716-446655440000";
        assert_eq!(id.parse::<AssistantId>().unwrap().to_string(), id);
        for bad in
            ["", "550e8400e29b41d4a716446655440000", "{550e8400-e29b-41d4-a716-446655440000}", "x"]
        {
            assert!(bad.parse::<AssistantId>().is_err(), "{bad:?}");
        }
    }
}
