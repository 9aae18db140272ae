//! When calls may start.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;
use outdial_domain::TrunkId;

use crate::MongoStore;
use crate::fault::{Fault, Outcome};
use crate::schema::TRUNK_STARTS;

impl MongoStore {
    /// The last moment reserved is in one document of the trunk, in nanoseconds since 1970 as
    /// MongoDB's own times end at the ms. One update moves it on if it may.
    pub(crate) async fn start_on(
        &self,
        trunk: &TrunkId,
        spacing: Duration,
        now: DateTime<Utc>,
        latest: DateTime<Utc>,
    ) -> Outcome<Option<DateTime<Utc>>> {
        let spacing = i64::try_from(spacing.as_nanos()).unwrap_or(i64::MAX);
        let (now, latest) = (nanos(now), nanos(latest));
        if now > latest {
            return Ok(None);
        }
        let starts = self.collection(TRUNK_STARTS).await?;
        let query =
            doc! {"_id": trunk.as_str(), "last_ns": {"$lte": latest.saturating_sub(spacing)}};
        // With no document yet the first update makes one. If there is one that does not fit, the
        // upsert fails on its id: then it is too late, or somebody else has just made it.
        for upsert in [true, false] {
            let update = starts.find_one_and_update(query.clone(), advance(now, spacing));
            let update = update.upsert(upsert).return_document(ReturnDocument::After);
            match update.await.map_err(Fault::from) {
                Ok(Some(found)) => return moment(&found).map(Some),
                Ok(None) => return Ok(None),
                Err(fault) if upsert && fault.is_duplicate() => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(None)
    }
}

fn advance(now: i64, spacing: i64) -> Vec<Document> {
    vec![
        doc! {"$set": {"last_ns": {"$max": [now, {"$add": ["$last_ns", spacing]}]}}},
        // For people, and for the database to drop the documents of trunks that are gone.
        doc! {"$set": {
            "last": {"$toDate": {"$toLong": {"$divide": ["$last_ns", 1_000_000_i64]}}},
            "touched_at": "$$NOW",
        }},
    ]
}

fn moment(document: &Document) -> Outcome<DateTime<Utc>> {
    match document.get("last_ns") {
        Some(Bson::Int64(nanos)) => Ok(DateTime::from_timestamp_nanos(*nanos)),
        _ => Err(Fault::corrupt("the last start on a trunk cannot be read")),
    }
}

/// Nanoseconds since 1970; times outside the years 1677 to 2262 become the first or the last one.
fn nanos(time: DateTime<Utc>) -> i64 {
    let outside = if time < DateTime::UNIX_EPOCH { i64::MIN } else { i64::MAX };
    time.timestamp_nanos_opt().unwrap_or(outside)
}
