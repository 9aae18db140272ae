//! Transcripts and deliveries.

use async_trait::async_trait;
use outdial_domain::ports::{Deliveries, Delivery, Store, Transcripts};
use outdial_domain::{Result, RoomName, TranscriptLine};

use super::MemoryStore;

#[async_trait]
impl Transcripts for MemoryStore {
    async fn append(&self, room: &RoomName, lines: &[TranscriptLine]) -> Result<()> {
        self.write("memory.append_transcript", |state| {
            let transcript = state.lines.entry(room.clone()).or_default();
            for line in lines {
                if !transcript.contains(line) {
                    transcript.push(line.clone());
                }
            }
            Ok(())
        })
    }

    async fn read(&self, room: &RoomName, from: usize) -> Result<Vec<TranscriptLine>> {
        let state = self.read("memory.read_transcript")?;
        let lines = state.lines.get(room).into_iter().flatten();
        Ok(lines.skip(from).cloned().collect())
    }
}

#[async_trait]
impl Deliveries for MemoryStore {
    async fn log(&self, delivery: &Delivery) -> Result<()> {
        self.write("memory.log_delivery", |state| {
            let known = |other: &Delivery| other.delivery_id == delivery.delivery_id;
            if !state.deliveries.iter().any(known) {
                state.deliveries.push(delivery.clone());
            }
            Ok(())
        })
    }

    async fn deliveries(&self, room: &RoomName) -> Result<Vec<Delivery>> {
        let state = self.read("memory.deliveries")?;
        let all = state.deliveries.iter();
        let mut found: Vec<_> = all.filter(|d| d.room_name == *room).cloned().collect();
        found.sort_by_key(|delivery| delivery.at);
        Ok(found)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn check(&self) -> Result<()> {
        self.write("memory.check", |_| Ok(()))
    }

    async fn agree(&self, name: &str, value: &str) -> Result<String> {
        self.write("memory.agree", |state| {
            let agreed = state.agreements.entry(name.to_owned());
            Ok(agreed.or_insert_with(|| value.to_owned()).clone())
        })
    }

    async fn close(&self) -> Result<()> {
        self.switch.lock().unwrap().closed = true;
        Ok(())
    }
}
