//! Moving everything out and in.

use std::collections::HashMap;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use mongodb::error::{Error as DriverError, ErrorKind as DriverKind};
use mongodb::options::Hint;
use outdial_domain::ports::{Archive, Record, RecordKind};
use outdial_domain::{ErrorKind, Result};

use crate::calls::{call_document, read_call, read_key};
use crate::directory::{self, ACCOUNTS, API_KEYS, ASSISTANTS, TRUNKS};
use crate::erasure::{read_tombstone, tombstone_document};
use crate::fault::{DUPLICATE_KEY, Fault, Outcome};
use crate::logs::{delivery_document, read_delivery, read_lines, transcript_document};
use crate::{MongoStore, schema};

/// Documents in one answer of the database; it sends fewer when they are large.
const MOST_AT_ONCE: u32 = 1_000;

#[async_trait]
impl Archive for MongoStore {
    async fn export(
        &self,
        kind: RecordKind,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Record>> {
        self.run("mongodb.export", async {
            let collection = self.collection(collection(kind)).await?;
            let query = after.map_or_else(Document::new, |id| doc! {"_id": {"$gt": id}});
            let mut found = collection
                .find(query)
                .sort(doc! {"_id": 1})
                .limit(i64::from(limit.max(1)))
                .batch_size(limit.clamp(1, MOST_AT_ONCE))
                .await?;
            let mut records = Vec::new();
            while let Some(document) = found.try_next().await? {
                records
                    .push(read(kind, &document).map_err(|fault| damaged(kind, &document, &fault))?);
            }
            Ok(records)
        })
        .await
    }

    async fn import(&self, records: &[Record]) -> Result<()> {
        for group in records.chunk_by(|one, next| one.kind() == next.kind()) {
            self.run("mongodb.import", async {
                let Some(kind) = group.first().map(Record::kind) else { return Ok(()) };
                import(&self.collection(collection(kind)).await?, group).await
            })
            .await?;
        }
        Ok(())
    }

    async fn count(&self, kind: RecordKind) -> Result<u64> {
        self.run("mongodb.count", async {
            let collection = self.collection(collection(kind)).await?;
            // Not the estimate from the collection's statistics: that is wrong after a crash.
            Ok(collection.count_documents(doc! {}).hint(Hint::Keys(doc! {"_id": 1})).await?)
        })
        .await
    }
}

fn collection(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Account => schema::ACCOUNTS,
        RecordKind::ApiKey => schema::API_KEYS,
        RecordKind::Assistant => schema::ASSISTANTS,
        RecordKind::Trunk => schema::TRUNKS,
        RecordKind::Call => schema::CALLS,
        RecordKind::Transcript => schema::TRANSCRIPTS,
        RecordKind::Delivery => schema::DELIVERIES,
        RecordKind::Tombstone => schema::TOMBSTONES,
    }
}

fn read(kind: RecordKind, document: &Document) -> Outcome<Record> {
    Ok(match kind {
        RecordKind::Account => Record::Account(ACCOUNTS.read(document)?),
        RecordKind::ApiKey => Record::ApiKey(API_KEYS.read(document)?),
        RecordKind::Assistant => Record::Assistant(ASSISTANTS.read(document)?),
        RecordKind::Trunk => Record::Trunk(TRUNKS.read(document)?),
        RecordKind::Call => Record::Call {
            call: Box::new(read_call(document)?),
            idempotency_key: read_key(document)?,
        },
        RecordKind::Transcript => {
            let room_name = document.get_str("_id")?.parse();
            let room_name =
                room_name.map_err(|_| Fault::corrupt("a stored transcript names no call"))?;
            Record::Transcript { room_name, lines: read_lines(document)? }
        }
        RecordKind::Delivery => Record::Delivery(read_delivery(document)?),
        RecordKind::Tombstone => Record::Tombstone(read_tombstone(document)?),
    })
}

/// The failure, and which document it is about: somebody has to mend it, or take it away.
fn damaged(kind: RecordKind, document: &Document, fault: &Fault) -> Fault {
    let (error, message) = fault.describe();
    let id = document.get_str("_id").unwrap_or("one without an id");
    Fault::decided(error, format!("{id} of the {}: {message}", kind.as_str()))
}

fn write(record: &Record) -> Outcome<Document> {
    match record {
        Record::Account(account) => directory::account_document(account),
        Record::ApiKey(key) => directory::key_document(key),
        Record::Assistant(assistant) => directory::assistant_document(assistant),
        Record::Trunk(trunk) => directory::trunk_document(trunk),
        Record::Call { call, idempotency_key } => call_document(call, idempotency_key.as_ref()),
        Record::Transcript { room_name, lines } => Ok(transcript_document(room_name, lines)),
        Record::Delivery(delivery) => delivery_document(delivery),
        Record::Tombstone(tombstone) => tombstone_document(tombstone),
    }
}

/// Inserts records of one kind in their order; passes over those that are there already.
async fn import(collection: &Collection<Document>, records: &[Record]) -> Outcome<()> {
    let documents: Vec<_> = records.iter().map(write).collect::<Outcome<_>>()?;
    let mut done = 0;
    while done < documents.len() {
        let rest = documents.get(done..).unwrap_or_default();
        let Err(error) = collection.insert_many(rest).await else { return Ok(()) };
        let Some(place) = taken_at(&error) else { return Err(error.into()) };
        done += place;
        done += pass_over(collection, records.get(done..).unwrap_or_default()).await?;
    }
    Ok(())
}

/// The place of the document whose id, or another unique field, is taken.
fn taken_at(error: &DriverError) -> Option<usize> {
    let DriverKind::InsertMany(failure) = error.kind.as_ref() else { return None };
    let first = failure.write_errors.as_ref()?.first()?;
    (first.code == DUPLICATE_KEY && failure.write_concern_error.is_none()).then_some(first.index)
}

/// How many of the records, whose first one could not be inserted, are there and the same. All are
/// looked up at once: an import that is repeated finds them all.
async fn pass_over(collection: &Collection<Document>, records: &[Record]) -> Outcome<usize> {
    let ids: Vec<_> = records.iter().map(Record::id).collect();
    let mut found = collection.find(doc! {"_id": {"$in": ids}}).await?;
    let mut stored = HashMap::new();
    while let Some(document) = found.try_next().await? {
        stored.insert(document.get_str("_id")?.to_owned(), document);
    }
    let mut same = 0;
    for record in records {
        let kind = record.kind();
        match stored.get(&record.id()) {
            Some(document) if read(kind, document)? == *record => same += 1,
            Some(_) => return Err(differs(record, "is there already, and is another one")),
            // It is not known to be in the way.
            None if same > 0 => break,
            None => return Err(differs(record, in_the_way(kind))),
        }
    }
    Ok(same)
}

/// What but its id can keep a record from being inserted.
fn in_the_way(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Account => "cannot be stored: another account has its name",
        RecordKind::Call => "cannot be stored: another call has its idempotency key",
        _ => "cannot be stored: another one is in its way",
    }
}

fn differs(record: &Record, how: &str) -> Fault {
    let message = format!("{} of the {} {how}", record.id(), record.kind().as_str());
    Fault::decided(ErrorKind::Exists, message)
}
