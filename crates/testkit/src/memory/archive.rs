//! Everything, out and in.

use async_trait::async_trait;
use outdial_domain::ports::{Archive, Record, RecordKind};
use outdial_domain::{Call, Error, ErrorKind, Result, RoomName, TranscriptLine};

use super::{MemoryStore, State};

#[async_trait]
impl Archive for MemoryStore {
    async fn export(
        &self,
        kind: RecordKind,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Record>> {
        let records = self.read("memory.export")?.records(kind);
        let behind = |record: &Record| after.is_none_or(|after| record.id().as_str() > after);
        let limit = usize::try_from(limit).unwrap();
        Ok(records.into_iter().filter(behind).take(limit).collect())
    }

    async fn import(&self, records: &[Record]) -> Result<()> {
        self.write("memory.import", |state| records.iter().try_for_each(|one| state.import(one)))
    }

    async fn count(&self, kind: RecordKind) -> Result<u64> {
        let records = self.read("memory.count")?.records(kind);
        Ok(u64::try_from(records.len()).unwrap())
    }
}

impl State {
    /// All records of a kind, in order.
    fn records(&self, kind: RecordKind) -> Vec<Record> {
        let mut records: Vec<Record> = match kind {
            RecordKind::Account => self.accounts.iter().cloned().map(Record::Account).collect(),
            RecordKind::ApiKey => self.api_keys.values().cloned().map(Record::ApiKey).collect(),
            RecordKind::Assistant => {
                self.assistants.values().cloned().map(Record::Assistant).collect()
            }
            RecordKind::Trunk => self.trunks.values().cloned().map(Record::Trunk).collect(),
            RecordKind::Call => self.calls.values().map(|call| self.call_record(call)).collect(),
            RecordKind::Transcript => {
                let filled = self.lines.iter().filter(|(_, lines)| !lines.is_empty());
                filled.map(|(room, lines)| transcript(room, lines)).collect()
            }
            RecordKind::Delivery => self.deliveries.iter().cloned().map(Record::Delivery).collect(),
            RecordKind::Tombstone => {
                self.tombstones.values().cloned().map(Record::Tombstone).collect()
            }
        };
        records.sort_by_key(Record::id);
        records
    }

    fn call_record(&self, call: &Call) -> Record {
        let made = self.keys.values().find(|(_, room)| room == call.room_name());
        let idempotency_key = made.map(|(key, _)| key.clone());
        Record::Call { call: Box::new(call.clone()), idempotency_key }
    }

    /// What is stored under the id of `record`.
    fn known(&self, record: &Record) -> Option<Record> {
        match record {
            Record::Account(row) => {
                let known = self.accounts.iter().find(|known| known.account_id == row.account_id);
                known.cloned().map(Record::Account)
            }
            Record::ApiKey(row) => self.api_keys.get(&row.key_id).cloned().map(Record::ApiKey),
            Record::Assistant(row) => {
                self.assistants.get(&row.assistant_id).cloned().map(Record::Assistant)
            }
            Record::Trunk(row) => self.trunks.get(&row.trunk_id).cloned().map(Record::Trunk),
            Record::Call { call, .. } => {
                self.calls.get(call.room_name()).map(|call| self.call_record(call))
            }
            Record::Transcript { room_name, .. } => {
                let lines = self.lines.get(room_name).filter(|lines| !lines.is_empty());
                lines.map(|lines| transcript(room_name, lines))
            }
            Record::Delivery(row) => {
                let mut all = self.deliveries.iter();
                let known = all.find(|known| known.delivery_id == row.delivery_id);
                known.cloned().map(Record::Delivery)
            }
            Record::Tombstone(row) => self.tombstones.get(&row.id).cloned().map(Record::Tombstone),
        }
    }

    fn import(&mut self, record: &Record) -> Result<()> {
        match self.known(record) {
            Some(known) if known == *record => return Ok(()),
            Some(_) => return Err(exists(record)),
            None => {}
        }
        match record.clone() {
            Record::Account(account) => {
                if self.accounts.iter().any(|other| other.name == account.name) {
                    return Err(exists(record));
                }
                self.accounts.push(account);
            }
            Record::ApiKey(key) => drop(self.api_keys.insert(key.key_id.clone(), key)),
            Record::Assistant(row) => drop(self.assistants.insert(row.assistant_id, row)),
            Record::Trunk(row) => drop(self.trunks.insert(row.trunk_id.clone(), row)),
            Record::Call { call, idempotency_key } => {
                if let Some(key) = idempotency_key {
                    let place = (call.order.account_id.clone(), key.key.clone());
                    if self.keys.contains_key(&place) {
                        return Err(exists(record));
                    }
                    self.keys.insert(place, (key, call.room_name().clone()));
                }
                self.calls.insert(call.room_name().clone(), *call);
            }
            Record::Transcript { room_name, lines } => {
                drop(self.lines.insert(room_name, lines));
            }
            Record::Delivery(delivery) => self.deliveries.push(delivery),
            Record::Tombstone(tombstone) => {
                drop(self.tombstones.insert(tombstone.id.clone(), tombstone));
            }
        }
        Ok(())
    }
}

fn transcript(room: &RoomName, lines: &[TranscriptLine]) -> Record {
    Record::Transcript { room_name: room.clone(), lines: lines.to_vec() }
}

fn exists(record: &Record) -> Error {
    let message = format!("{record}: another one is there, or has its name or idempotency key");
    Error::new(ErrorKind::Exists, "memory.import", message)
}
