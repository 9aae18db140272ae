//! What `outdial doctor` finds of the store.

use chrono::{TimeDelta, Utc};
use outdial_domain::ports::{RecordKind, Store as Port};
use outdial_domain::{Error, ErrorKind};
use outdial_mongodb::MongoStore;

use super::archive::is_in_use;
use super::doctor::Finding;
use crate::data_dir;
use crate::server::store;
use crate::settings::{MongoDb, Settings, Store};

/// Nodes take each other's calls over by their clocks.
const WORST_SKEW: TimeDelta = TimeDelta::seconds(2);

/// Looks at it as the server would.
pub(super) async fn examine(settings: &Settings) -> Finding {
    match &settings.store {
        Store::Sqlite(_) => sqlite(settings).await,
        Store::MongoDb(mongodb) => match store::open_mongodb(&store::patient(mongodb)).await {
            Ok(store) => {
                let found = Box::pin(replica_set(settings, mongodb, &store)).await;
                let closed = store.close().await;
                found.unwrap_or_else(|fault| fault).and(closed)
            }
            Err(error) => Finding::Fail(error.message),
        },
    }
}

impl Finding {
    fn and(self, closed: outdial_domain::Result<()>) -> Self {
        match (self, closed) {
            (Self::Ok(_), Err(error)) => Self::Fail(error.message),
            (found, _) => found,
        }
    }
}

async fn sqlite(settings: &Settings) -> Finding {
    let shown = data_dir::database(settings).unwrap_or_default().display().to_string();
    let store = match store::open(settings).await {
        Ok(store) => store,
        Err(error) => {
            return match error.downcast_ref::<Error>() {
                Some(error) if is_in_use(error) => {
                    Finding::Ok(format!("{shown} is in use, by a running server it seems"))
                }
                Some(error) => Finding::Fail(error.message.clone()),
                None => Finding::Fail(format!("{error:#}")),
            };
        }
    };
    let found = match check(settings, &*store).await {
        Ok(()) => Finding::Ok(format!("{shown} can be read and written")),
        Err(fault) => fault,
    };
    found.and(store.close().await)
}

async fn replica_set(
    settings: &Settings,
    mongodb: &MongoDb,
    store: &MongoStore,
) -> Result<Finding, Finding> {
    let asked = Utc::now();
    let server = store.server().await.map_err(|error| not_reached(mongodb, &error))?;
    // Its clock was read somewhere between question and answer.
    let ahead = server.local_time - (asked + (Utc::now() - asked) / 2);
    store.prepare().await.map_err(failed)?;
    check(settings, store).await?;
    if ahead.abs() > WORST_SKEW {
        return Err(Finding::Fail(format!(
            "the clocks of the database's server and of this machine are {:.1} s apart: set both by \
             NTP, as nodes take each other's calls over by their clocks",
            ahead.abs().as_seconds_f64()
        )));
    }
    let found = format!(
        "MongoDB {} on {} can be read and written; {}",
        server.version,
        server.members.join(", "),
        nodes(store).await?
    );
    Ok(match server.members.len() {
        1 | 2 if !server.is_router => Finding::Warn(format!(
            "{found}; a replica set of fewer than 3 members stops when one of them does"
        )),
        _ => Finding::Ok(found),
    })
}

/// Who is running.
async fn nodes(store: &dyn Port) -> Result<String, Finding> {
    let now = Utc::now();
    let nodes = store.nodes().await.map_err(failed)?;
    let alive: Vec<_> = nodes
        .iter()
        .filter(|node| node.is_alive(now))
        .map(|node| match node.draining {
            true => format!("{} {} (stopping)", node.node_id, node.version),
            false => format!("{} {}", node.node_id, node.version),
        })
        .collect();
    Ok(match alive.len() {
        0 => "no node is running".to_owned(),
        1 => format!("1 node is running: {}", alive.join("")),
        count => format!("{count} nodes are running: {}", alive.join(", ")),
    })
}

/// Whether it can be written, and its secrets be opened.
async fn check(settings: &Settings, store: &dyn Port) -> Result<(), Finding> {
    store.check().await.map_err(failed)?;
    let key = data_dir::present_master_key(settings);
    let key = key.map_err(|error| Finding::Fail(format!("{error:#}")))?;
    let mut secrets = 0;
    for kind in [RecordKind::Assistant, RecordKind::Trunk] {
        secrets += store.count(kind).await.map_err(failed)?;
    }
    match key {
        // A new store takes the key of the first server, and not of whoever looks.
        Some(key) if secrets > 0 => store::agree_on_key(store, &key).await.map_err(failed),
        _ => Ok(()),
    }
}

fn failed(error: Error) -> Finding {
    Finding::Fail(error.message)
}

fn not_reached(mongodb: &MongoDb, error: &Error) -> Finding {
    let fix = match error.kind {
        ErrorKind::Unavailable => format!(
            "; is it running, is it initiated (rs.initiate()), and does {} lead to it?",
            mongodb.shown()
        ),
        _ => String::new(),
    };
    Finding::Fail(format!("{}{fix}", error.message))
}
