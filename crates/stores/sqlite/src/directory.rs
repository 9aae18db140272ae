//! Accounts, keys, assistants, trunks.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use outdial_domain::ports::{Directory, Page, PageRequest};
use outdial_domain::{
    Account, AccountId, ApiKey, ApiKeyId, Assistant, AssistantId, ErrorKind, Result, Trunk, TrunkId,
};
use rusqlite::{Connection, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{decode, encode, nanos};
use crate::fault::{Fault, Outcome};
use crate::{SqliteStore, listing};

/// A row of one of the tables `api_keys`, `assistants`, `trunks`, ready to be written.
pub(crate) struct Document {
    id: String,
    account_id: String,
    created_at: i64,
    updated_at: i64,
    text: String,
}

impl Document {
    fn new<T: Serialize>(
        value: &T,
        id: String,
        account_id: &AccountId,
        [created_at, updated_at]: [DateTime<Utc>; 2],
    ) -> Outcome<Self> {
        Ok(Self {
            id,
            account_id: account_id.to_string(),
            created_at: nanos(created_at),
            updated_at: nanos(updated_at),
            text: encode(value)?,
        })
    }

    pub(crate) fn key(key: &ApiKey) -> Outcome<Self> {
        let times = [key.created_at; 2];
        Self::new(key, key.key_id.to_string(), &key.account_id, times)
    }

    pub(crate) fn assistant(row: &Assistant) -> Outcome<Self> {
        let times = [row.created_at, row.updated_at];
        Self::new(row, row.assistant_id.to_string(), &row.account_id, times)
    }

    pub(crate) fn trunk(row: &Trunk) -> Outcome<Self> {
        let times = [row.created_at, row.updated_at];
        Self::new(row, row.trunk_id.to_string(), &row.account_id, times)
    }
}

#[async_trait]
impl Directory for SqliteStore {
    async fn account_named(&self, name: &str, now: DateTime<Utc>) -> Result<Account> {
        let operation = "sqlite.account_named";
        if let Some(account) = self.run_read(operation, |connection| account(connection, name))? {
            return Ok(account);
        }
        let fresh =
            Account { account_id: AccountId::random(), name: name.to_owned(), created_at: now };
        self.run_write(operation, move |connection| {
            if let Some(account) = account(connection, &fresh.name)? {
                return Ok(account);
            }
            insert_account(connection, &fresh)?;
            Ok(fresh.clone())
        })
        .await
    }

    async fn insert_key(&self, key: &ApiKey) -> Result<()> {
        let row = Document::key(key);
        self.insert_document("sqlite.insert_key", "api_keys", row).await
    }

    async fn key(&self, id: &ApiKeyId) -> Result<Option<ApiKey>> {
        self.run_read("sqlite.key", |connection| {
            let sql = "SELECT document FROM api_keys WHERE id = ?1";
            one(connection, sql, [id.as_str()])
        })
    }

    async fn keys(&self, account: &AccountId, page: &PageRequest) -> Result<Page<ApiKey>> {
        self.run_read("sqlite.keys", |connection| {
            listing::documents(connection, "api_keys", account, page)
        })
    }

    async fn revoke_key(
        &self,
        account: &AccountId,
        id: &ApiKeyId,
        at: DateTime<Utc>,
    ) -> Result<Option<ApiKey>> {
        let (account, id) = (account.clone(), id.clone());
        self.run_write("sqlite.revoke_key", move |connection| {
            let found = document::<ApiKey>(connection, "api_keys", &account, id.as_str())?;
            let Some(mut key) = found else {
                return Ok(None);
            };
            if key.revoked_at.is_none() {
                key.revoked_at = Some(at);
                connection
                    .prepare_cached("UPDATE api_keys SET document = ?2 WHERE id = ?1")?
                    .execute(params![id.as_str(), encode(&key)?])?;
            }
            Ok(Some(key))
        })
        .await
    }

    async fn insert_assistant(&self, assistant: &Assistant) -> Result<()> {
        let row = Document::assistant(assistant);
        self.insert_document("sqlite.insert_assistant", "assistants", row).await
    }

    async fn assistant(&self, account: &AccountId, id: AssistantId) -> Result<Option<Assistant>> {
        self.run_read("sqlite.assistant", |connection| {
            document(connection, "assistants", account, &id.to_string())
        })
    }

    async fn assistants(&self, account: &AccountId, page: &PageRequest) -> Result<Page<Assistant>> {
        self.run_read("sqlite.assistants", |connection| {
            listing::documents(connection, "assistants", account, page)
        })
    }

    async fn save_assistant(&self, assistant: &Assistant, read: DateTime<Utc>) -> Result<()> {
        let row = Document::assistant(assistant);
        self.save_document("sqlite.save_assistant", "assistants", row, read).await
    }

    async fn delete_assistant(&self, account: &AccountId, id: AssistantId) -> Result<bool> {
        let id = id.to_string();
        self.delete_document("sqlite.delete_assistant", "assistants", account, id).await
    }

    async fn insert_trunk(&self, trunk: &Trunk) -> Result<()> {
        let row = Document::trunk(trunk);
        self.insert_document("sqlite.insert_trunk", "trunks", row).await
    }

    async fn trunk(&self, account: &AccountId, id: &TrunkId) -> Result<Option<Trunk>> {
        self.run_read("sqlite.trunk", |connection| {
            document(connection, "trunks", account, id.as_str())
        })
    }

    async fn trunks(&self, account: &AccountId, page: &PageRequest) -> Result<Page<Trunk>> {
        self.run_read("sqlite.trunks", |connection| {
            listing::documents(connection, "trunks", account, page)
        })
    }

    async fn save_trunk(&self, trunk: &Trunk, read: DateTime<Utc>) -> Result<()> {
        let row = Document::trunk(trunk);
        self.save_document("sqlite.save_trunk", "trunks", row, read).await
    }

    async fn delete_trunk(&self, account: &AccountId, id: &TrunkId) -> Result<bool> {
        let id = id.to_string();
        self.delete_document("sqlite.delete_trunk", "trunks", account, id).await
    }
}

impl SqliteStore {
    async fn insert_document(
        &self,
        operation: &'static str,
        table: &'static str,
        row: Outcome<Document>,
    ) -> Result<()> {
        let row = row.map_err(|fault| fault.at(operation))?;
        let write = move |connection: &Connection| insert_row(connection, table, &row);
        self.run_write(operation, write).await
    }

    async fn save_document(
        &self,
        operation: &'static str,
        table: &'static str,
        row: Outcome<Document>,
        read: DateTime<Utc>,
    ) -> Result<()> {
        let row = row.map_err(|fault| fault.at(operation))?;
        let sql = format!(
            "UPDATE {table} SET updated_at = ?4, document = ?5
             WHERE id = ?1 AND account_id = ?2 AND updated_at = ?3"
        );
        self.run_write(operation, move |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let saved = statement.execute(params![
                row.id,
                row.account_id,
                nanos(read),
                row.updated_at,
                row.text
            ])?;
            if saved == 0 {
                let message = "it has changed since it was read, or is gone";
                return Err(Fault::decided(ErrorKind::Conflict, message));
            }
            Ok(())
        })
        .await
    }

    async fn delete_document(
        &self,
        operation: &'static str,
        table: &'static str,
        account: &AccountId,
        id: String,
    ) -> Result<bool> {
        let account = account.clone();
        let sql = format!("DELETE FROM {table} WHERE id = ?1 AND account_id = ?2");
        self.run_write(operation, move |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            Ok(statement.execute(params![id, account.as_str()])? > 0)
        })
        .await
    }
}

pub(crate) fn insert_account(connection: &Connection, account: &Account) -> Outcome<()> {
    let sql = "INSERT INTO accounts (account_id, name, document) VALUES (?1, ?2, ?3)";
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![account.account_id.as_str(), account.name, encode(account)?])?;
    Ok(())
}

pub(crate) fn insert_row(connection: &Connection, table: &str, row: &Document) -> Outcome<()> {
    let mut statement = connection.prepare_cached(&format!(
        "INSERT INTO {table} (id, account_id, created_at, updated_at, document)
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING"
    ))?;
    let times = (row.created_at, row.updated_at);
    let inserted =
        statement.execute(params![row.id, row.account_id, times.0, times.1, row.text])?;
    if inserted == 0 {
        return Err(Fault::decided(ErrorKind::Exists, "the id is taken"));
    }
    Ok(())
}

pub(crate) fn account(connection: &Connection, name: &str) -> Outcome<Option<Account>> {
    let sql = "SELECT document FROM accounts WHERE name = ?1";
    one(connection, sql, [name])
}

/// The account's row of that id.
fn document<T: DeserializeOwned>(
    connection: &Connection,
    table: &str,
    account: &AccountId,
    id: &str,
) -> Outcome<Option<T>> {
    let sql = format!("SELECT document FROM {table} WHERE id = ?1 AND account_id = ?2");
    one(connection, &sql, [id, account.as_str()])
}

/// The document in the first column of the first row, if there is one.
fn one<T: DeserializeOwned>(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Outcome<Option<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let text = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
    decode(text).map(Some)
}
