//! Pages of lists: newest first, and by id where times are equal.

use outdial_domain::ports::{CallFilter, Cursor, Page, PageRequest};
use outdial_domain::{AccountId, AssistantId, Call, Status};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};
use serde::de::DeserializeOwned;

use crate::calls::{COLUMNS, read_call};
use crate::codec::{decode, nanos, time};
use crate::fault::Outcome;

/// A `SELECT` under construction: conditions, and their parameters in order.
pub(crate) struct Query {
    sql: String,
    parameters: Vec<Value>,
}

impl Query {
    fn new(select: String, account: &AccountId) -> Self {
        let sql = format!("{select} WHERE account_id = ?");
        Self { sql, parameters: vec![account.to_string().into()] }
    }

    /// `condition` holds one `?` for each of `parameters`.
    fn and(&mut self, condition: &str, parameters: impl IntoIterator<Item = Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.parameters.extend(parameters);
    }

    /// The whole statement; its last parameter is the number of rows.
    pub(crate) fn into_sql(self, id: &str) -> String {
        let order = format!(" ORDER BY created_at DESC, {id} DESC LIMIT ?");
        self.sql + &order
    }

    /// The page, ordered by creation and the column `id`.
    ///
    /// Starting behind a place, not at a number, keeps the pages to come stable while rows are added.
    fn page<T>(
        mut self,
        connection: &Connection,
        id: &str,
        page: &PageRequest,
        read: impl Fn(&Row<'_>) -> Outcome<T>,
    ) -> Outcome<Page<T>> {
        if let Some(after) = &page.after {
            let place = [nanos(after.created_at).into(), after.id.clone().into()];
            self.and(&format!("(created_at, {id}) < (?, ?)"), place);
        }
        // One more, to know whether there is one.
        self.parameters.push((i64::from(page.limit) + 1).into());
        let parameters = std::mem::take(&mut self.parameters);
        let mut statement = connection.prepare_cached(&self.into_sql(id))?;
        let mut rows = statement.query(params_from_iter(parameters))?;
        let mut items = Vec::new();
        let mut last = None;
        while let Some(row) = rows.next()? {
            if u32::try_from(items.len()).is_ok_and(|read| read >= page.limit) {
                return Ok(Page { items, next: last });
            }
            items.push(read(row)?);
            last = Some(Cursor { created_at: time(row.get("created_at")?), id: row.get(id)? });
        }
        Ok(Page { items, next: None })
    }
}

pub(crate) fn calls(
    connection: &Connection,
    filter: &CallFilter,
    page: &PageRequest,
) -> Outcome<Page<Call>> {
    calls_query(filter).page(connection, "room_name", page, read_call)
}

pub(crate) fn calls_query(filter: &CallFilter) -> Query {
    let CallFilter {
        account_id,
        status,
        outcome,
        to_number,
        assistant_id,
        created_from,
        created_to,
    } = filter;
    let select = format!("SELECT {COLUMNS}, created_at, room_name FROM calls");
    let mut query = Query::new(select, account_id);
    if let Some(status) = status {
        query.and("status = ?", [status.as_str().to_owned().into()]);
        if *status != Status::Ended {
            // The words of the partial index: SQLite does not look into parameters to see that it fits.
            query.and("status <> 'ended'", []);
        }
    }
    if let Some(outcome) = outcome {
        query.and("outcome = ?", [outcome.as_str().to_owned().into()]);
    }
    if let Some(number) = to_number {
        query.and("to_number = ?", [number.to_string().into()]);
    }
    if let Some(id) = assistant_id {
        query.and("assistant_id = ?", [AssistantId::to_string(id).into()]);
    }
    if let Some(from) = created_from {
        query.and("created_at >= ?", [nanos(*from).into()]);
    }
    if let Some(to) = created_to {
        query.and("created_at < ?", [nanos(*to).into()]);
    }
    query
}

/// A page of an account's rows in a table of documents.
pub(crate) fn documents<T: DeserializeOwned>(
    connection: &Connection,
    table: &str,
    account: &AccountId,
    page: &PageRequest,
) -> Outcome<Page<T>> {
    let select = format!("SELECT document, created_at, id FROM {table}");
    Query::new(select, account).page(connection, "id", page, |row| {
        decode(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)
    })
}
