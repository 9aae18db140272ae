//! Pages of lists: newest first, and by id where times are equal.

use futures_util::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use outdial_domain::ports::{CallFilter, Cursor, Page, PageRequest};
use outdial_domain::{AccountId, Call, Result};

use crate::calls::read_call;
use crate::codec::{date, get_time};
use crate::fault::{Fault, Outcome};
use crate::{MongoStore, schema};

impl MongoStore {
    pub(crate) async fn list_calls(
        &self,
        filter: &CallFilter,
        request: &PageRequest,
    ) -> Result<Page<Call>> {
        self.run("mongodb.list_calls", async {
            let collection = self.collection(schema::CALLS).await?;
            page(&collection, calls(filter), request, read_call).await
        })
        .await
    }
}

/// What all documents of an account meet.
pub(crate) fn of(account: &AccountId) -> Document {
    doc! {"account_id": account.as_str()}
}

/// What calls that are wanted meet.
fn calls(filter: &CallFilter) -> Document {
    let CallFilter {
        account_id,
        status,
        outcome,
        to_number,
        assistant_id,
        created_from,
        created_to,
    } = filter;
    let mut query = of(account_id);
    if let Some(status) = status {
        query.insert("status", status.as_str());
    }
    if let Some(outcome) = outcome {
        query.insert("outcome", outcome.as_str());
    }
    if let Some(number) = to_number {
        query.insert("to_number", number.to_string());
    }
    if let Some(id) = assistant_id {
        query.insert("assistant_id", id.to_string());
    }
    let mut created = Document::new();
    if let Some(from) = created_from {
        created.insert("$gte", date(*from).0);
    }
    if let Some(to) = created_to {
        created.insert("$lt", date(*to).0);
    }
    if !created.is_empty() {
        query.insert("created_at", created);
    }
    query
}

/// The part of what meets `query` that begins behind a place, so that documents which are added
/// meanwhile push nothing out of the pages to come.
pub(crate) async fn page<T>(
    collection: &Collection<Document>,
    mut query: Document,
    request: &PageRequest,
    read: impl Fn(&Document) -> Outcome<T>,
) -> Outcome<Page<T>> {
    if let Some(after) = &request.after {
        begin_behind(&mut query, after)?;
    }
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    // One more, to know whether there is one.
    let mut found = collection
        .find(query)
        .sort(doc! {"created_at": -1, "_id": -1})
        .limit(i64::from(request.limit) + 1)
        .await?;
    let mut items = Vec::new();
    let mut last = None;
    while let Some(document) = found.try_next().await? {
        if items.len() >= limit {
            return Ok(Page { items, next: last });
        }
        items.push(read(&document)?);
        last = Some(place(&document)?);
    }
    Ok(Page { items, next: None })
}

/// The range alone picks the place in the index; `$nor` then leaves out what was created in the
/// same ms and is not behind the place. An `$or` of both would be planned as two searches.
fn begin_behind(query: &mut Document, after: &Cursor) -> Outcome<()> {
    let at = date(after.created_at).0;
    match query.get_document_mut("created_at") {
        Ok(created) => {
            created.insert("$lte", at);
        }
        Err(_) => {
            query.insert("created_at", doc! {"$lte": at});
        }
    }
    query.insert("$nor", [doc! {"created_at": at, "_id": {"$gte": &after.id}}].as_slice());
    Ok(())
}

fn place(document: &Document) -> Outcome<Cursor> {
    let created_at = get_time(document, "created_at")?;
    let created_at =
        created_at.ok_or_else(|| Fault::corrupt("a stored document has no created_at"))?;
    Ok(Cursor { created_at, id: document.get_str("_id")?.to_owned() })
}
