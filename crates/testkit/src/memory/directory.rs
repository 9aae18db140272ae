//! Accounts, keys, assistants, trunks.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use outdial_domain::ports::{Cursor, Directory, Page, PageRequest};
use outdial_domain::{
    Account, AccountId, ApiKey, ApiKeyId, Assistant, AssistantId, Error, ErrorKind, Result, Trunk,
    TrunkId,
};

use super::{MemoryStore, page};

fn conflict(operation: &'static str) -> Error {
    Error::new(ErrorKind::Conflict, operation, "it has changed")
}

fn exists(operation: &'static str) -> Error {
    Error::new(ErrorKind::Exists, operation, "the id is taken")
}

#[async_trait]
impl Directory for MemoryStore {
    async fn account_named(&self, name: &str, now: DateTime<Utc>) -> Result<Account> {
        self.write("memory.account_named", |state| {
            if let Some(account) = state.accounts.iter().find(|account| account.name == name) {
                return Ok(account.clone());
            }
            let account =
                Account { account_id: AccountId::random(), name: name.to_owned(), created_at: now };
            state.accounts.push(account.clone());
            Ok(account)
        })
    }

    async fn insert_key(&self, key: &ApiKey) -> Result<()> {
        let operation = "memory.insert_key";
        self.write(operation, |state| {
            if state.api_keys.contains_key(&key.key_id) {
                return Err(exists(operation));
            }
            state.api_keys.insert(key.key_id.clone(), key.clone());
            Ok(())
        })
    }

    async fn key(&self, id: &ApiKeyId) -> Result<Option<ApiKey>> {
        Ok(self.read("memory.key")?.api_keys.get(id).cloned())
    }

    async fn keys(&self, account: &AccountId, request: &PageRequest) -> Result<Page<ApiKey>> {
        let state = self.read("memory.keys")?;
        let all = state.api_keys.values();
        let own = all.filter(|key| key.account_id == *account);
        let place =
            |key: &ApiKey| Cursor { created_at: key.created_at, id: key.key_id.to_string() };
        Ok(page(own, place, request))
    }

    async fn revoke_key(
        &self,
        account: &AccountId,
        id: &ApiKeyId,
        at: DateTime<Utc>,
    ) -> Result<Option<ApiKey>> {
        self.write("memory.revoke_key", |state| {
            let key = state.api_keys.get_mut(id);
            Ok(key.filter(|key| key.account_id == *account).map(|key| {
                key.revoked_at.get_or_insert(at);
                key.clone()
            }))
        })
    }

    async fn insert_assistant(&self, assistant: &Assistant) -> Result<()> {
        let operation = "memory.insert_assistant";
        self.write(operation, |state| {
            if state.assistants.contains_key(&assistant.assistant_id) {
                return Err(exists(operation));
            }
            let row = assistant.clone();
            state.assistants.insert(row.assistant_id, row);
            Ok(())
        })
    }

    async fn assistant(&self, account: &AccountId, id: AssistantId) -> Result<Option<Assistant>> {
        let state = self.read("memory.assistant")?;
        let row = state.assistants.get(&id);
        Ok(row.filter(|row| row.account_id == *account).cloned())
    }

    async fn assistants(
        &self,
        account: &AccountId,
        request: &PageRequest,
    ) -> Result<Page<Assistant>> {
        let state = self.read("memory.assistants")?;
        let all = state.assistants.values();
        let own = all.filter(|row| row.account_id == *account);
        let place = |row: &Assistant| Cursor {
            created_at: row.created_at,
            id: row.assistant_id.to_string(),
        };
        Ok(page(own, place, request))
    }

    async fn save_assistant(&self, assistant: &Assistant, read: DateTime<Utc>) -> Result<()> {
        let operation = "memory.save_assistant";
        self.write(operation, |state| {
            let row = state.assistants.get_mut(&assistant.assistant_id);
            let same = |row: &&mut Assistant| {
                row.account_id == assistant.account_id && row.updated_at == read
            };
            *row.filter(same).ok_or_else(|| conflict(operation))? = assistant.clone();
            Ok(())
        })
    }

    async fn delete_assistant(&self, account: &AccountId, id: AssistantId) -> Result<bool> {
        self.write("memory.delete_assistant", |state| {
            let rows = state.assistants.len();
            let all = &mut state.assistants;
            all.retain(|_, row| row.assistant_id != id || row.account_id != *account);
            Ok(all.len() < rows)
        })
    }

    async fn insert_trunk(&self, trunk: &Trunk) -> Result<()> {
        let operation = "memory.insert_trunk";
        self.write(operation, |state| {
            if state.trunks.contains_key(&trunk.trunk_id) {
                return Err(exists(operation));
            }
            state.trunks.insert(trunk.trunk_id.clone(), trunk.clone());
            Ok(())
        })
    }

    async fn trunk(&self, account: &AccountId, id: &TrunkId) -> Result<Option<Trunk>> {
        let state = self.read("memory.trunk")?;
        let row = state.trunks.get(id);
        Ok(row.filter(|row| row.account_id == *account).cloned())
    }

    async fn trunks(&self, account: &AccountId, request: &PageRequest) -> Result<Page<Trunk>> {
        let state = self.read("memory.trunks")?;
        let all = state.trunks.values();
        let own = all.filter(|row| row.account_id == *account);
        let place =
            |row: &Trunk| Cursor { created_at: row.created_at, id: row.trunk_id.to_string() };
        Ok(page(own, place, request))
    }

    async fn save_trunk(&self, trunk: &Trunk, read: DateTime<Utc>) -> Result<()> {
        let operation = "memory.save_trunk";
        self.write(operation, |state| {
            let row = state.trunks.get_mut(&trunk.trunk_id);
            let same =
                |row: &&mut Trunk| row.account_id == trunk.account_id && row.updated_at == read;
            *row.filter(same).ok_or_else(|| conflict(operation))? = trunk.clone();
            Ok(())
        })
    }

    async fn delete_trunk(&self, account: &AccountId, id: &TrunkId) -> Result<bool> {
        self.write("memory.delete_trunk", |state| {
            let rows = state.trunks.len();
            let all = &mut state.trunks;
            all.retain(|_, row| row.trunk_id != *id || row.account_id != *account);
            Ok(all.len() < rows)
        })
    }
}
