//! API keys on the wire.

use outdial_domain::{Account, AccountId, ApiKey, ApiKeyId, Secret};
use outdial_engine::NewKey;
use serde::Serialize;
use utoipa::ToSchema;

use super::Timestamp;
use crate::error::Result;
use crate::input::fields::Fields;
use crate::input::rules::{Flag, line};

/// A key to create.
#[derive(Debug, ToSchema)]
pub(crate) struct CreateKey {
    /// The name of the account it is for, 1 to 100 characters; the account is created when there is
    /// none of that name.
    #[schema(max_length = 100, example = "acme")]
    account: String,
    /// What its holder calls it: 1 to 100 characters.
    #[schema(max_length = 100, example = "crm")]
    name: String,
    /// May create keys, also for other accounts.
    #[schema(value_type = Option<bool>, default = false)]
    admin: bool,
}

impl CreateKey {
    pub(crate) fn read(mut body: Fields) -> Result<Self> {
        let new = Self {
            account: body.required("account", line(100))?,
            name: body.required("name", line(100))?,
            admin: body.optional("admin", Flag)?.unwrap_or(false),
        };
        body.finish()?;
        Ok(new)
    }
}

impl From<CreateKey> for NewKey {
    fn from(create: CreateKey) -> Self {
        let CreateKey { account, name, admin } = create;
        Self { account, name, admin }
    }
}

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(crate) struct KeyData {
    #[schema(value_type = String, example = "AK_a1b2c3d4e5f6g7h8")]
    key_id: ApiKeyId,
    #[schema(value_type = String, example = "AC_a1b2c3d4e5f6g7h8")]
    account_id: AccountId,
    name: String,
    admin: bool,
    created_at: Timestamp,
    /// Since when it is no longer valid.
    revoked_at: Option<Timestamp>,
}

impl From<ApiKey> for KeyData {
    fn from(key: ApiKey) -> Self {
        let ApiKey { key_id, account_id, name, admin, secret_sha256: _, created_at, revoked_at } =
            key;
        Self {
            key_id,
            account_id,
            name,
            admin,
            created_at: created_at.into(),
            revoked_at: revoked_at.map(Timestamp),
        }
    }
}

/// A new API key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyCreated {
    #[serde(flatten)]
    key: KeyData,
    /// The name of its account.
    account: String,
    /// The key itself, to be sent as `x-api-key`. Shown here only.
    #[schema(example = "AK_a1b2c3d4e5f6g7h8.k3y0fth1rtytw0charactersandn0t1less")]
    api_key: String,
}

impl KeyCreated {
    pub(crate) fn new(account: Account, key: ApiKey, token: &Secret) -> Self {
        Self { key: key.into(), account: account.name, api_key: token.expose().to_owned() }
    }
}
