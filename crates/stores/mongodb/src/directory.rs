//! Accounts, keys, assistants, trunks.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use mongodb::options::ReturnDocument;
use outdial_domain::ports::{Directory, Page, PageRequest};
use outdial_domain::{
    Account, AccountId, ApiKey, ApiKeyId, Assistant, AssistantId, ErrorKind, Result, Trunk, TrunkId,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{decode, encode, put_time};
use crate::fault::{Fault, Outcome};
use crate::{MongoStore, listing, schema};

/// Where a kind of rows is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    collection: &'static str,
    /// The field that holds the exact record; the fields beside it are for queries and for people.
    field: &'static str,
}

pub(crate) const ACCOUNTS: Kind = Kind { collection: schema::ACCOUNTS, field: "account" };
pub(crate) const API_KEYS: Kind = Kind { collection: schema::API_KEYS, field: "api_key" };
pub(crate) const ASSISTANTS: Kind = Kind { collection: schema::ASSISTANTS, field: "assistant" };
pub(crate) const TRUNKS: Kind = Kind { collection: schema::TRUNKS, field: "trunk" };

impl Kind {
    /// The exact record in a document.
    pub(crate) fn read<T: DeserializeOwned>(self, document: &Document) -> Outcome<T> {
        decode(document.get_document(self.field)?)
    }

    fn write<T: Serialize>(self, mut document: Document, record: &T) -> Outcome<Document> {
        document.insert(self.field, encode(record)?);
        Ok(document)
    }
}

pub(crate) fn account_document(account: &Account) -> Outcome<Document> {
    let mut document = doc! {"_id": account.account_id.as_str(), "name": &account.name};
    put_time(&mut document, "created_at", account.created_at);
    ACCOUNTS.write(document, account)
}

pub(crate) fn key_document(key: &ApiKey) -> Outcome<Document> {
    let mut document = doc! {
        "_id": key.key_id.as_str(),
        "account_id": key.account_id.as_str(),
        "name": &key.name,
        "admin": key.admin,
    };
    put_time(&mut document, "created_at", key.created_at);
    if let Some(at) = key.revoked_at {
        put_time(&mut document, "revoked_at", at);
    }
    API_KEYS.write(document, key)
}

pub(crate) fn assistant_document(assistant: &Assistant) -> Outcome<Document> {
    let mut document = doc! {
        "_id": assistant.assistant_id.to_string(),
        "account_id": assistant.account_id.as_str(),
        "name": &assistant.assistant_name,
        "is_active": assistant.is_active,
    };
    put_time(&mut document, "created_at", assistant.created_at);
    put_time(&mut document, "updated_at", assistant.updated_at);
    ASSISTANTS.write(document, assistant)
}

pub(crate) fn trunk_document(trunk: &Trunk) -> Outcome<Document> {
    let mut document = doc! {
        "_id": trunk.trunk_id.as_str(),
        "account_id": trunk.account_id.as_str(),
        "name": &trunk.name,
        "call_service": trunk.call_service.as_str(),
    };
    put_time(&mut document, "created_at", trunk.created_at);
    put_time(&mut document, "updated_at", trunk.updated_at);
    TRUNKS.write(document, trunk)
}

#[async_trait]
impl Directory for MongoStore {
    async fn account_named(&self, name: &str, now: DateTime<Utc>) -> Result<Account> {
        self.run("mongodb.account_named", async {
            let accounts = self.collection(ACCOUNTS.collection).await?;
            if let Some(found) = accounts.find_one(doc! {"name": name}).await? {
                return ACCOUNTS.read(&found);
            }
            let account_id = AccountId::random();
            let fresh = Account { account_id, name: name.to_owned(), created_at: now };
            let stored = find_or_insert(&accounts, "name", account_document(&fresh)?).await?;
            ACCOUNTS.read(&stored)
        })
        .await
    }

    async fn insert_key(&self, key: &ApiKey) -> Result<()> {
        self.insert_row("mongodb.insert_key", API_KEYS, key_document(key)).await
    }

    async fn key(&self, id: &ApiKeyId) -> Result<Option<ApiKey>> {
        self.row("mongodb.key", API_KEYS, doc! {"_id": id.as_str()}).await
    }

    async fn keys(&self, account: &AccountId, page: &PageRequest) -> Result<Page<ApiKey>> {
        self.rows("mongodb.keys", API_KEYS, account, page).await
    }

    async fn revoke_key(
        &self,
        account: &AccountId,
        id: &ApiKeyId,
        at: DateTime<Utc>,
    ) -> Result<Option<ApiKey>> {
        self.run("mongodb.revoke_key", async {
            let keys = self.collection(API_KEYS.collection).await?;
            let own = own(account, id.as_str());
            let mut valid = own.clone();
            valid.insert("api_key.revoked_at", None::<String>);
            let mut revoked = doc! {"api_key.revoked_at": text(at)?};
            put_time(&mut revoked, "revoked_at", at);
            keys.update_one(valid, doc! {"$set": revoked}).await?;
            let stored = keys.find_one(own).await?;
            stored.as_ref().map(|stored| API_KEYS.read(stored)).transpose()
        })
        .await
    }

    async fn insert_assistant(&self, assistant: &Assistant) -> Result<()> {
        let row = assistant_document(assistant);
        self.insert_row("mongodb.insert_assistant", ASSISTANTS, row).await
    }

    async fn assistant(&self, account: &AccountId, id: AssistantId) -> Result<Option<Assistant>> {
        self.row("mongodb.assistant", ASSISTANTS, own(account, &id.to_string())).await
    }

    async fn assistants(&self, account: &AccountId, page: &PageRequest) -> Result<Page<Assistant>> {
        self.rows("mongodb.assistants", ASSISTANTS, account, page).await
    }

    async fn save_assistant(&self, assistant: &Assistant, read: DateTime<Utc>) -> Result<()> {
        let row = assistant_document(assistant);
        self.save_row("mongodb.save_assistant", ASSISTANTS, row, read).await
    }

    async fn delete_assistant(&self, account: &AccountId, id: AssistantId) -> Result<bool> {
        let own = own(account, &id.to_string());
        self.delete_row("mongodb.delete_assistant", ASSISTANTS, own).await
    }

    async fn insert_trunk(&self, trunk: &Trunk) -> Result<()> {
        self.insert_row("mongodb.insert_trunk", TRUNKS, trunk_document(trunk)).await
    }

    async fn trunk(&self, account: &AccountId, id: &TrunkId) -> Result<Option<Trunk>> {
        self.row("mongodb.trunk", TRUNKS, own(account, id.as_str())).await
    }

    async fn trunks(&self, account: &AccountId, page: &PageRequest) -> Result<Page<Trunk>> {
        self.rows("mongodb.trunks", TRUNKS, account, page).await
    }

    async fn save_trunk(&self, trunk: &Trunk, read: DateTime<Utc>) -> Result<()> {
        self.save_row("mongodb.save_trunk", TRUNKS, trunk_document(trunk), read).await
    }

    async fn delete_trunk(&self, account: &AccountId, id: &TrunkId) -> Result<bool> {
        let own = own(account, id.as_str());
        self.delete_row("mongodb.delete_trunk", TRUNKS, own).await
    }
}

impl MongoStore {
    async fn insert_row(
        &self,
        operation: &'static str,
        kind: Kind,
        row: Outcome<Document>,
    ) -> Result<()> {
        self.run(operation, async {
            let rows = self.collection(kind.collection).await?;
            let inserted = rows.insert_one(row?).await.map_err(Fault::from);
            inserted.map(drop).map_err(|fault| match fault.is_duplicate() {
                true => Fault::decided(ErrorKind::Exists, "the id is taken"),
                false => fault,
            })
        })
        .await
    }

    async fn row<T: DeserializeOwned + Send>(
        &self,
        operation: &'static str,
        kind: Kind,
        query: Document,
    ) -> Result<Option<T>> {
        self.run(operation, async {
            let rows = self.collection(kind.collection).await?;
            let found = rows.find_one(query).await?;
            found.as_ref().map(|found| kind.read(found)).transpose()
        })
        .await
    }

    async fn rows<T: DeserializeOwned + Send>(
        &self,
        operation: &'static str,
        kind: Kind,
        account: &AccountId,
        page: &PageRequest,
    ) -> Result<Page<T>> {
        self.run(operation, async {
            let rows = self.collection(kind.collection).await?;
            listing::page(&rows, listing::of(account), page, |row| kind.read(row)).await
        })
        .await
    }

    async fn save_row(
        &self,
        operation: &'static str,
        kind: Kind,
        row: Outcome<Document>,
        read: DateTime<Utc>,
    ) -> Result<()> {
        self.run(operation, async {
            let rows = self.collection(kind.collection).await?;
            let mut row = row?;
            // In the query they say which row it is; they never change.
            let mut query = Document::new();
            for field in ["_id", "account_id"] {
                query.extend(row.remove(field).map(|value| (field.to_owned(), value)));
            }
            query.insert(format!("{}.updated_at", kind.field), text(read)?);
            let mut update = doc! {"$set": &row};
            if !row.contains_key("updated_at_ns") {
                update.insert("$unset", doc! {"updated_at_ns": ""});
            }
            let saved = rows.update_one(query, update).await?;
            if saved.matched_count == 0 {
                let message = "it has changed since it was read, or is gone";
                return Err(Fault::decided(ErrorKind::Conflict, message));
            }
            Ok(())
        })
        .await
    }

    async fn delete_row(
        &self,
        operation: &'static str,
        kind: Kind,
        query: Document,
    ) -> Result<bool> {
        self.run(operation, async {
            let rows = self.collection(kind.collection).await?;
            Ok(rows.delete_one(query).await?.deleted_count > 0)
        })
        .await
    }
}

/// The document with the same value in the unique field `by`, found or made in one step: whoever
/// comes second is told what is stored.
pub(crate) async fn find_or_insert(
    collection: &Collection<Document>,
    by: &str,
    mut document: Document,
) -> Outcome<Document> {
    // It comes from the query; the server tries again by itself only when the update leaves it alone.
    let query: Document =
        document.remove(by).map(|value| (by.to_owned(), value)).into_iter().collect();
    let update = doc! {"$setOnInsert": document};
    loop {
        let found = collection
            .find_one_and_update(query.clone(), update.clone())
            .upsert(true)
            .return_document(ReturnDocument::After)
            .await
            .map_err(Fault::from);
        match found {
            Ok(Some(document)) => return Ok(document),
            Ok(None) => return Err(Fault::corrupt("a document was stored and is not there")),
            // Somebody else has just made it.
            Err(fault) if fault.is_duplicate() => {}
            Err(fault) => return Err(fault),
        }
    }
}

/// The account's row of that id.
fn own(account: &AccountId, id: &str) -> Document {
    doc! {"_id": id, "account_id": account.as_str()}
}

/// A time as it is written in exact records.
fn text(time: DateTime<Utc>) -> Outcome<String> {
    match serde_json::to_value(time).map_err(Fault::Encode)? {
        serde_json::Value::String(text) => Ok(text),
        other => Ok(other.to_string()),
    }
}
