//! Two nodes, a client that is as careful as it should be, and what holds for calls in the end.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::ready;

use futures_util::{StreamExt as _, stream};
use http::Method;
use outdial_tests::{Database, Desk, End, Outdial, Setting, nodes, until};
use serde_json::json;

/// The simulated network ends with its server's process: a call that was on is lost.
pub(crate) const LOST: End = End::because("interrupted", "livekit", "leg_gone");
/// Conversations that are over in less than a second.
pub(crate) const QUICK: Setting<'static> = ("sandbox.time_scale", "0.02");
/// It rings for 20 s, and then they talk for minutes: what goes on does not change.
pub(crate) const SLOW: Setting<'static> = ("sandbox.time_scale", "10");
/// How many requests a client has on their way at a time.
const AT_A_TIME: usize = 8;

/// Two nodes on one database, and what calls are made with.
pub(crate) struct Scene {
    pub nodes: [Outdial; 2],
    /// The same desk, through one node and through the other.
    pub desks: [Desk; 2],
    pub database: Database,
}

impl Scene {
    /// On a database of its own.
    pub(crate) async fn start(settings: &[Setting<'_>]) -> Self {
        Self::on(Database::fresh().await, settings).await
    }

    /// On this database.
    pub(crate) async fn on(database: Database, settings: &[Setting<'_>]) -> Self {
        let url = database.url();
        Self::at(database, [&url, &url], settings).await
    }

    /// Each node with its own way to the database.
    pub(crate) async fn at(database: Database, urls: [&str; 2], settings: &[Setting<'_>]) -> Self {
        let nodes = nodes(urls, settings).await;
        let desk = Desk::new(&nodes[0], json!({}), json!({"calls_per_second": 1000})).await;
        let desks = [desk.clone(), desk.through(&nodes[1])];
        Self { nodes, desks, database }
    }

    /// Places calls at both nodes in turn, as [`placed`] does; `fault` strikes when so many were
    /// acknowledged, and the rest is placed meanwhile. The rooms.
    pub(crate) async fn stream(
        &self,
        count: usize,
        acknowledged: usize,
        fault: impl AsyncFnOnce(),
    ) -> Vec<String> {
        let mut placing = stream::iter(0..count)
            .map(|number| placed(&self.desks, number))
            .buffer_unordered(AT_A_TIME);
        let mut rooms = Vec::new();
        while rooms.len() < acknowledged {
            rooms.push(placing.next().await.expect("more calls"));
        }
        let ((), rest) = futures_util::future::join(fault(), placing.collect::<Vec<_>>()).await;
        rooms.extend(rest);
        rooms
    }

    /// Places calls at both nodes in turn, as [`placed`] does, for as long as `changes` takes. The
    /// rooms.
    pub(crate) async fn stream_during(&self, changes: impl AsyncFnOnce()) -> Vec<String> {
        let over = Cell::new(false);
        let placing = stream::iter(0..)
            .take_while(|_| ready(!over.get()))
            .map(|number| placed(&self.desks, number))
            .buffer_unordered(AT_A_TIME);
        let changes = async {
            changes().await;
            over.set(true);
        };
        futures_util::future::join(placing.collect(), changes).await.0
    }

    /// Places so many calls at one node.
    pub(crate) async fn place_at(&self, node: usize, count: usize) -> Vec<String> {
        let desk = [self.desks[node].clone()];
        let placing = stream::iter(0..count).map(|number| placed(&desk, number));
        placing.buffer_unordered(AT_A_TIME).collect().await
    }

    /// Waits until all these calls have ended, each with one webhook that came once; nothing was
    /// dialled twice, nobody owns a call, and there are no others.
    pub(crate) async fn all_end_once(&self, seen_through: usize, rooms: &[String]) {
        let desk = &self.desks[seen_through];
        for room in rooms {
            until("the delivery of the webhook", async || {
                let record = desk.record(room).await;
                let delivered = record["webhook"]["state"] == "delivered";
                if delivered { Ok(()) } else { Err(record.to_string()) }
            })
            .await;
        }
        self.database.is_left_by_all().await;
        let stored: Vec<String> = self.database.owners().await.into_keys().collect();
        let mut placed = rooms.to_vec();
        placed.sort_unstable();
        placed.dedup();
        assert_eq!(placed.len(), rooms.len(), "a room was given out twice");
        assert_eq!(stored, placed, "every call is one that was acknowledged");
        let hooks = desk.all_webhooks();
        for room in rooms {
            let came: &[_] = hooks.get(room).map_or(&[], Vec::as_slice);
            assert_eq!(came.len(), 1, "{came:?}");
        }
        assert_eq!(desk.endpoint.count(), rooms.len(), "one webhook for each");
        let dials = self.dials();
        assert!(!dials.is_empty(), "dials are logged");
        for (room, count) in dials {
            assert_eq!(count, 1, "dials of {room}");
        }
    }

    /// How often each call was dialled, as the nodes have logged it.
    pub(crate) fn dials(&self) -> BTreeMap<String, usize> {
        let mut dials = BTreeMap::new();
        for line in self.nodes.iter().flat_map(Outdial::log_lines) {
            let Some(room) = line.split_once("dialling").and_then(|(_, rest)| room_in(rest)) else {
                continue;
            };
            *dials.entry(room).or_default() += 1;
        }
        dials
    }
}

/// The room that a line of a log speaks of.
fn room_in(line: &str) -> Option<String> {
    let (_, room) = line.split_once("room=")?;
    Some(room.split_whitespace().next()?.trim_matches('"').to_owned())
}

/// Has a call accepted, as a careful client does: the same request with the same key goes to the next
/// server whenever one cannot say whether it took it. Any other refusal is an error. The room.
pub(crate) async fn placed(desks: &[Desk], number: usize) -> String {
    let (key, order) = (format!("order-{number}"), desks[0].order(&number_of(number)));
    let headers = [("idempotency-key", &*key), ("prefer", "respond-async")];
    let mut turn = number;
    until("an acknowledgement", async || {
        turn += 1;
        let desk = &desks[turn % desks.len()];
        let sent = desk.api.try_send(Method::POST, "/call/outbound", &headers, Some(&order)).await;
        let reply = sent.map_err(|error| error.to_string())?;
        match reply.status {
            200 | 202 => Ok(reply.data()["room_name"].as_str().unwrap().to_owned()),
            503 => Err(reply.body.to_string()),
            _ => panic!("{}: {}", reply.status, reply.body),
        }
    })
    .await
}

/// Somebody who answers, talks, and hangs up.
fn number_of(number: usize) -> String {
    format!("+1555{number:04}000")
}
