//! Accounts and their API keys.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{AccountId, ApiKeyId, Secret, random_text};

/// An account: the owner of assistants, trunks, calls and keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub account_id: AccountId,
    /// Its name, unique on a server: 1 to 100 characters.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// An API key as stores keep it: the secret itself is known only to its holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// The public part.
    pub key_id: ApiKeyId,
    /// Whose key it is.
    pub account_id: AccountId,
    /// What the holder calls it.
    pub name: String,
    /// May create keys, also for other accounts.
    pub admin: bool,
    /// SHA-256 of the secret part, in hex. The secret has 165 random bits, so no slow hash is needed.
    pub secret_sha256: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stopped being valid.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// What a caller shows: `{key_id}.{secret}`.
///
/// ```
/// use outdial_domain::{AccountId, ApiKey, ApiKeyToken};
/// let (key, token) = ApiKey::generate(AccountId::random(), "ci", false, chrono::Utc::now());
/// let shown: ApiKeyToken = token.expose().parse().unwrap();
/// assert!(key.accepts(&shown));
/// ```
#[derive(Clone)]
pub struct ApiKeyToken {
    /// The public part: which key it claims to be.
    pub key_id: ApiKeyId,
    secret: Secret,
}

/// The text is not shaped like an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an API key looks like AK_xxxxxxxxxxxxxxxx.secret")]
pub struct ApiKeyTokenError;

impl std::str::FromStr for ApiKeyToken {
    type Err = ApiKeyTokenError;
    fn from_str(text: &str) -> Result<Self, ApiKeyTokenError> {
        let (id, secret) = text.split_once('.').ok_or(ApiKeyTokenError)?;
        let good =
            (16..=128).contains(&secret.len()) && secret.bytes().all(|b| b.is_ascii_alphanumeric());
        if !good {
            return Err(ApiKeyTokenError);
        }
        let key_id = id.parse().map_err(|_| ApiKeyTokenError)?;
        Ok(Self { key_id, secret: Secret::new(secret) })
    }
}

impl ApiKey {
    /// A new key, and the token to show once to its holder.
    pub fn generate(
        account_id: AccountId,
        name: impl Into<String>,
        admin: bool,
        now: DateTime<Utc>,
    ) -> (Self, Secret) {
        let key_id = ApiKeyId::random();
        let secret = random_text(32);
        let token = Secret::new(format!("{key_id}.{secret}"));
        let secret_sha256 = hash(&secret);
        let key = Self {
            key_id,
            account_id,
            name: name.into(),
            admin,
            secret_sha256,
            created_at: now,
            revoked_at: None,
        };
        (key, token)
    }

    /// Whether `token` is this key's, and the key has not been revoked. Constant time in the secret.
    pub fn accepts(&self, token: &ApiKeyToken) -> bool {
        let same = hash(token.secret.expose()).as_bytes().ct_eq(self.secret_sha256.as_bytes());
        bool::from(same) && self.key_id == token.key_id && self.revoked_at.is_none()
    }
}

fn hash(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_unrevoked_token_is_accepted() {
        let now = Utc::now();
        let (mut key, token) = ApiKey::generate(AccountId::random(), "k", false, now);
        let token: ApiKeyToken = token.expose().parse().unwrap();
        let (_, other) = ApiKey::generate(AccountId::random(), "k", false, now);
        assert!(key.accepts(&token));
        assert!(!key.accepts(&other.expose().parse().unwrap()));
        let forged = format!("{}.{}", key.key_id, "a".repeat(32));
        assert!(!key.accepts(&forged.parse().unwrap()));
        key.revoked_at = Some(now);
        assert!(!key.accepts(&token));
    }

    #[test]
    fn malformed_tokens_are_refused() {
        for bad in [
            "",
            "x",
            "AK_abc",
            "AK_abc.",
            "AK_abc.short",
            ".aaaaaaaaaaaaaaaaaaaaaa",
            "AK_abc.aaaaaaaaaaaaaaaaaaaa é",
        ] {
            assert!(bad.parse::<ApiKeyToken>().is_err(), "{bad:?}");
        }
    }
}
