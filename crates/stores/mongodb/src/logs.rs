//! Transcripts and deliveries.

use async_trait::async_trait;
use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use outdial_domain::ports::{Deliveries, Delivery, Transcripts};
use outdial_domain::{Result, RoomName, Speaker, TranscriptLine};

use crate::MongoStore;
use crate::codec::{decode, encode, get_time, put_time};
use crate::fault::{Fault, Outcome};
use crate::schema::{DELIVERIES, TRANSCRIPTS};

#[async_trait]
impl Transcripts for MongoStore {
    async fn append(&self, room: &RoomName, lines: &[TranscriptLine]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.run("mongodb.append_transcript", async {
            let transcripts = self.collection(TRANSCRIPTS).await?;
            let lines: Vec<_> = lines.iter().map(write_line).collect();
            // Order and idempotence in one atomic step: only lines that are not there are added, at
            // the end.
            let update = doc! {"$addToSet": {"lines": {"$each": lines}}};
            let query = doc! {"_id": room.as_str()};
            transcripts.update_one(query, update).upsert(true).await?;
            Ok(())
        })
        .await
    }

    async fn read(&self, room: &RoomName, from: usize) -> Result<Vec<TranscriptLine>> {
        let from = i32::try_from(from).unwrap_or(i32::MAX);
        self.run("mongodb.read_transcript", async {
            let transcripts = self.collection(TRANSCRIPTS).await?;
            let tail = doc! {"lines": {"$slice": [from, i32::MAX]}};
            let query = doc! {"_id": room.as_str()};
            let found = transcripts.find_one(query).projection(tail).await?;
            found.as_ref().map_or(Ok(Vec::new()), read_lines)
        })
        .await
    }
}

/// Two lines are the same when their documents are, so each has one way to be written.
fn write_line(line: &TranscriptLine) -> Document {
    let mut document = doc! {"speaker": word(line.speaker), "text": &line.text};
    put_time(&mut document, "timestamp", line.timestamp);
    document
}

fn read_line(line: &Bson) -> Outcome<TranscriptLine> {
    let line = line.as_document().ok_or_else(|| damaged("is no document"))?;
    let timestamp = get_time(line, "timestamp")?.ok_or_else(|| damaged("has no timestamp"))?;
    let speaker = speaker(line.get_str("speaker")?)?;
    Ok(TranscriptLine { speaker, text: line.get_str("text")?.to_owned(), timestamp })
}

fn damaged(how: &str) -> Fault {
    Fault::corrupt(format!("a line of a stored transcript {how}"))
}

pub(crate) fn transcript_document(room: &RoomName, lines: &[TranscriptLine]) -> Document {
    let lines: Vec<_> = lines.iter().map(write_line).collect();
    doc! {"_id": room.as_str(), "lines": lines}
}

pub(crate) fn read_lines(transcript: &Document) -> Outcome<Vec<TranscriptLine>> {
    transcript.get_array("lines")?.iter().map(read_line).collect()
}

fn word(speaker: Speaker) -> &'static str {
    match speaker {
        Speaker::Agent => "agent",
        Speaker::User => "user",
    }
}

fn speaker(word: &str) -> Outcome<Speaker> {
    match word {
        "agent" => Ok(Speaker::Agent),
        "user" => Ok(Speaker::User),
        _ => Err(damaged("has an unknown speaker")),
    }
}

#[async_trait]
impl Deliveries for MongoStore {
    async fn log(&self, delivery: &Delivery) -> Result<()> {
        self.run("mongodb.log_delivery", async {
            let deliveries = self.collection(DELIVERIES).await?;
            let logged = deliveries.insert_one(delivery_document(delivery)?).await;
            match logged.map_err(Fault::from) {
                // An attempt logged twice, after a doubt, stays one attempt.
                Err(fault) if !fault.is_duplicate() => Err(fault),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn deliveries(&self, room: &RoomName) -> Result<Vec<Delivery>> {
        self.run("mongodb.deliveries", async {
            let deliveries = self.collection(DELIVERIES).await?;
            let found =
                deliveries.find(doc! {"room_name": room.as_str()}).sort(doc! {"at": 1}).await?;
            let found: Vec<Document> = found.try_collect().await?;
            let mut found: Vec<_> = found.iter().map(read_delivery).collect::<Outcome<_>>()?;
            // Dates of MongoDB end at the ms.
            found.sort_by_key(|delivery| (delivery.at, delivery.attempt));
            Ok(found)
        })
        .await
    }
}

pub(crate) fn delivery_document(delivery: &Delivery) -> Outcome<Document> {
    let mut document = doc! {
        "_id": delivery.delivery_id.as_str(),
        "room_name": delivery.room_name.as_str(),
        "attempt": i64::from(delivery.attempt),
    };
    put_time(&mut document, "at", delivery.at);
    if let Some(code) = delivery.status_code {
        document.insert("status_code", i32::from(code));
    }
    if let Some(error) = &delivery.error {
        document.insert("error", error);
    }
    document.insert("delivery", encode(delivery)?);
    Ok(document)
}

pub(crate) fn read_delivery(document: &Document) -> Outcome<Delivery> {
    decode(document.get_document("delivery")?)
}
