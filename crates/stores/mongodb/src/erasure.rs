//! Erasing a call.

use mongodb::ClientSession;
use mongodb::bson::{Document, doc};
use outdial_domain::{Call, Result, Tombstone};

use crate::calls::changed;
use crate::codec::{decode, encode, put_time};
use crate::fault::Outcome;
use crate::record::number;
use crate::transaction::transact;
use crate::{MongoStore, schema};

impl MongoStore {
    pub(crate) async fn erase_call(&self, call: &Call, tombstone: &Tombstone) -> Result<()> {
        self.run("mongodb.erase_call", async {
            let document = tombstone_document(tombstone)?;
            transact(&self.link, async |mut session| {
                let erased = self.erase_in(&mut session, call, &document).await;
                (session, erased)
            })
            .await
        })
        .await
    }

    /// Takes the call, with the idempotency key in it, and all that belongs to it away.
    async fn erase_in(
        &self,
        session: &mut ClientSession,
        call: &Call,
        tombstone: &Document,
    ) -> Outcome<()> {
        let room = call.room_name().as_str();
        let query = doc! {"_id": room, "version": number(call.version)?};
        let calls = self.collection(schema::CALLS).await?;
        if calls.delete_one(query).session(&mut *session).await?.deleted_count == 0 {
            return Err(changed());
        }
        let transcripts = self.collection(schema::TRANSCRIPTS).await?;
        transcripts.delete_one(doc! {"_id": room}).session(&mut *session).await?;
        let deliveries = self.collection(schema::DELIVERIES).await?;
        deliveries.delete_many(doc! {"room_name": room}).session(&mut *session).await?;
        let tombstones = self.collection(schema::TOMBSTONES).await?;
        let same = doc! {"_id": tombstone.get_str("_id")?};
        tombstones.replace_one(same, tombstone).upsert(true).session(session).await?;
        Ok(())
    }

    pub(crate) async fn find_tombstone(&self, id: &str) -> Result<Option<Tombstone>> {
        self.run("mongodb.tombstone", async {
            let tombstones = self.collection(schema::TOMBSTONES).await?;
            let found = tombstones.find_one(doc! {"_id": id}).await?;
            found.as_ref().map(read_tombstone).transpose()
        })
        .await
    }
}

pub(crate) fn tombstone_document(tombstone: &Tombstone) -> Outcome<Document> {
    let mut document = doc! {"_id": &tombstone.id, "account_id": tombstone.account_id.as_str()};
    put_time(&mut document, "created_at", tombstone.created_at);
    if let Some(at) = tombstone.ended_at {
        put_time(&mut document, "ended_at", at);
    }
    if let Some(outcome) = tombstone.outcome {
        document.insert("outcome", outcome.as_str());
    }
    put_time(&mut document, "erased_at", tombstone.erased_at);
    document.insert("tombstone", encode(tombstone)?);
    Ok(document)
}

pub(crate) fn read_tombstone(document: &Document) -> Outcome<Tombstone> {
    decode(document.get_document("tombstone")?)
}
