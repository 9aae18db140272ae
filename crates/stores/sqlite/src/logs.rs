//! Transcripts and deliveries.

use async_trait::async_trait;
use outdial_domain::ports::{Deliveries, Delivery, Transcripts};
use outdial_domain::{ErrorKind, Result, RoomName, Speaker, TranscriptLine};
use rusqlite::{Connection, params};

use crate::SqliteStore;
use crate::codec::{decode, encode, nanos, time};
use crate::fault::{Fault, Outcome};

#[async_trait]
impl Transcripts for SqliteStore {
    async fn append(&self, room: &RoomName, lines: &[TranscriptLine]) -> Result<()> {
        let (room, lines) = (room.clone(), lines.to_vec());
        self.run_write("sqlite.append_transcript", move |connection| {
            lines.iter().try_for_each(|line| append(connection, &room, line))
        })
        .await
    }

    async fn read(&self, room: &RoomName, from: usize) -> Result<Vec<TranscriptLine>> {
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        self.run_read("sqlite.read_transcript", |connection| lines(connection, room, from))
    }
}

/// The lines of a call from a number on.
pub(crate) fn lines(
    connection: &Connection,
    room: &RoomName,
    from: i64,
) -> Outcome<Vec<TranscriptLine>> {
    let mut statement = connection.prepare_cached(
        "SELECT speaker, text, at FROM transcript_lines
         WHERE room_name = ?1 AND number >= ?2 ORDER BY number",
    )?;
    let mut rows = statement.query(params![room.as_str(), from])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        lines.push(TranscriptLine {
            speaker: speaker(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?,
            text: row.get(1)?,
            timestamp: time(row.get(2)?),
        });
    }
    Ok(lines)
}

/// Adds a line unless it is there.
pub(crate) fn append(
    connection: &Connection,
    room: &RoomName,
    line: &TranscriptLine,
) -> Outcome<()> {
    connection
        .prepare_cached(
            "INSERT INTO transcript_lines (room_name, number, speaker, at, text)
             SELECT ?1, (SELECT coalesce(max(number) + 1, 0) FROM transcript_lines
                         WHERE room_name = ?1), ?2, ?3, ?4
             WHERE NOT EXISTS (SELECT 1 FROM transcript_lines
                               WHERE room_name = ?1 AND at = ?3 AND speaker = ?2 AND text = ?4)",
        )?
        .execute(params![room.as_str(), word(line.speaker), nanos(line.timestamp), line.text])?;
    Ok(())
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
        _ => Err(Fault::decided(ErrorKind::Corrupt, "a transcript line has an unknown speaker")),
    }
}

#[async_trait]
impl Deliveries for SqliteStore {
    async fn log(&self, delivery: &Delivery) -> Result<()> {
        let operation = "sqlite.log_delivery";
        let row = DeliveryRow::new(delivery).map_err(|fault| fault.at(operation))?;
        // An attempt logged twice, after a doubt, stays one attempt.
        self.run_write(operation, move |connection| log(connection, &row)).await
    }

    async fn deliveries(&self, room: &RoomName) -> Result<Vec<Delivery>> {
        self.run_read("sqlite.deliveries", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT document FROM deliveries WHERE room_name = ?1 ORDER BY at, rowid",
            )?;
            let mut rows = statement.query([room.as_str()])?;
            let mut deliveries = Vec::new();
            while let Some(row) = rows.next()? {
                let document = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
                deliveries.push(decode(document)?);
            }
            Ok(deliveries)
        })
    }
}

/// An attempt, ready to be written.
pub(crate) struct DeliveryRow {
    id: String,
    room_name: String,
    at: i64,
    document: String,
}

impl DeliveryRow {
    pub(crate) fn new(delivery: &Delivery) -> Outcome<Self> {
        Ok(Self {
            id: delivery.delivery_id.to_string(),
            room_name: delivery.room_name.to_string(),
            at: nanos(delivery.at),
            document: encode(delivery)?,
        })
    }
}

/// Adds an attempt unless it is there.
pub(crate) fn log(connection: &Connection, row: &DeliveryRow) -> Outcome<()> {
    connection
        .prepare_cached(
            "INSERT INTO deliveries (delivery_id, room_name, at, document)
             VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        )?
        .execute(params![row.id, row.room_name, row.at, row.document])?;
    Ok(())
}
