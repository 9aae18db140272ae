//! Accounts, API keys, assistants and trunks: what customers set up before they call.

mod assistants;
mod trunks;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use outdial_domain::ports::{Page, PageRequest};
use outdial_domain::{Account, AccountId, ApiKey, ApiKeyId, ApiKeyToken, Secret};

pub(crate) use self::assistants::webhook_context;
pub use self::assistants::{AssistantChange, DEFAULT_AGENT_NAME, NewAssistant, SecretRotation};
pub(crate) use self::trunks::password_context;
pub use self::trunks::{NewTrunk, TrunkChange};
use crate::{Engine, EngineError, Result};

/// Who makes a request, proven by an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account.
    pub account_id: AccountId,
    /// The key.
    pub key_id: ApiKeyId,
    /// The key may create keys for any account.
    pub admin: bool,
}

/// A key to create.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The name of the account it is for; created when there is none.
    pub account: String,
    /// What its holder calls it.
    pub name: String,
    /// May create keys.
    pub admin: bool,
}

/// Keys as they were read lately, so that not every request reads the store. A revocation takes
/// effect at once on this node, on others when their copy is too old.
#[derive(Default)]
pub(crate) struct KeyCache(Mutex<HashMap<ApiKeyId, (ApiKey, DateTime<Utc>)>>);

const KEY_CACHE_SECS: i64 = 2;
const KEY_CACHE_SIZE: usize = 4096;

impl KeyCache {
    fn get(&self, id: &ApiKeyId, now: DateTime<Utc>) -> Option<ApiKey> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, read_at) = keys.get(id)?;
        let fresh = (now - *read_at).abs() < TimeDelta::seconds(KEY_CACHE_SECS);
        fresh.then(|| key.clone())
    }

    fn put(&self, key: ApiKey, now: DateTime<Utc>) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEY_CACHE_SIZE {
            keys.clear();
        }
        keys.insert(key.key_id.clone(), (key, now));
    }

    fn forget(&self, id: &ApiKeyId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// Keys.
impl Engine {
    /// Who shows this token; `None` when it is unknown, wrong or revoked.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn authenticate(&self, token: &ApiKeyToken) -> Result<Option<Caller>> {
        let now = self.inner.now();
        let key = match self.inner.keys.get(&token.key_id, now) {
            Some(key) => key,
            None => {
                let Some(key) = self.inner.parts.store.key(&token.key_id).await? else {
                    return Ok(None);
                };
                self.inner.keys.put(key.clone(), now);
                key
            }
        };
        Ok(key.accepts(token).then(|| Caller {
            account_id: key.account_id.clone(),
            key_id: key.key_id.clone(),
            admin: key.admin,
        }))
    }

    /// Creates a key, and its account where there is none of that name. The token is shown once.
    ///
    /// # Errors
    /// `Invalid` when a name is empty, too long or has control characters; or when the store fails.
    pub async fn create_key(&self, new: NewKey) -> Result<(Account, ApiKey, Secret)> {
        check_name("account", &new.account)?;
        check_name("name", &new.name)?;
        let now = self.inner.now();
        let account = self.inner.parts.store.account_named(&new.account, now).await?;
        let (key, token) = ApiKey::generate(account.account_id.clone(), new.name, new.admin, now);
        self.inner.parts.store.insert_key(&key).await?;
        Ok((account, key, token))
    }

    /// The account's keys.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn keys(&self, account: &AccountId, page: &PageRequest) -> Result<Page<ApiKey>> {
        Ok(self.inner.parts.store.keys(account, page).await?)
    }

    /// Revokes a key of the account; revoking again changes nothing.
    ///
    /// # Errors
    /// `NotFound`, or when the store fails.
    pub async fn revoke_key(&self, account: &AccountId, id: &ApiKeyId) -> Result<ApiKey> {
        let key = self.inner.parts.store.revoke_key(account, id, self.inner.now()).await?;
        self.inner.keys.forget(id);
        key.ok_or(EngineError::NotFound { what: "key" })
    }
}

fn check_name(field: &'static str, name: &str) -> Result<()> {
    let good = (1..=100).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if good {
        return Ok(());
    }
    let rule = "1 to 100 characters, none of them a control character";
    Err(EngineError::invalid(field, rule, "choose a shorter, plain name"))
}

pub(crate) fn set<T>(field: &mut T, change: Option<T>) {
    if let Some(value) = change {
        *field = value;
    }
}

/// `updated_at` doubles as the version that a save compares: it always moves on.
pub(crate) fn later(now: DateTime<Utc>, read: DateTime<Utc>) -> DateTime<Utc> {
    now.max(read + TimeDelta::microseconds(1))
}
