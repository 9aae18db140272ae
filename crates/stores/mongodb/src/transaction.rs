//! Several documents in one step.

use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::ClientSession;
use mongodb::bson::doc;
use mongodb::options::ReadConcern;
use rand::RngExt;

use crate::client::Link;
use crate::fault::{Fault, Outcome};

/// The first pause before a transaction is tried again, and how far it grows.
const PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// After so many tries somebody else has been in the way for about a second.
const PATIENCE: u32 = 12;

/// Does `work` in a transaction, and again as long as others are in its way. Unbounded: whoever asks
/// for it has a time limit.
///
/// Read and write concern are those of the client. Of a try that fails nothing stays. The session is
/// lent by value, as the compiler does not see yet that a future which borrows it from its caller is
/// `Send`.
pub(crate) async fn transact<F>(
    link: &Link,
    mut work: impl FnMut(ClientSession) -> F,
) -> Outcome<()>
where
    F: Future<Output = (ClientSession, Outcome<()>)>,
{
    let mut pause = PAUSE;
    let mut tried: u32 = 0;
    loop {
        let mut session = link.prepared().await?.client().start_session().await?;
        session.start_transaction().await?;
        let (session, outcome) = work(session).await;
        match end(session, outcome).await {
            Err(fault) if fault.is_transient() => tried += 1,
            done => return done,
        }
        // Those who were in each other's way do not meet again at once.
        let share = rand::rng().random_range(0.5..1.5);
        tokio::time::sleep(pause.mul_f64(share)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        if tried.is_multiple_of(PATIENCE) {
            undo_abandoned(link).await;
        }
    }
}

/// Commits what was a success, else undoes all.
async fn end(mut session: ClientSession, outcome: Outcome<()>) -> Outcome<()> {
    match outcome {
        Ok(()) => commit(&mut session).await,
        Err(fault) => {
            // One that the server does not hear of it undoes by itself.
            let _ = session.abort_transaction().await;
            Err(fault)
        }
    }
}

/// Commits; again as long as it is not known whether that has happened.
async fn commit(session: &mut ClientSession) -> Outcome<()> {
    loop {
        match session.commit_transaction().await.map_err(Fault::Mongo) {
            Err(fault) if fault.is_commit_unknown() && !fault.is_transient() => {
                tokio::time::sleep(PAUSE).await;
            }
            other => return other,
        }
    }
}

/// Undoes the transactions of nodes that have died, or stand still, in the middle of one. MongoDB
/// itself waits a minute for them, and whoever writes to the same documents waits with it.
///
/// A transaction of this program that has been open for twice the time of an operation is such a
/// one: its node has given it up or will find that it is gone, and try again. Needs no rights beyond
/// those to the user's own sessions. Best effort: done again when it matters.
pub(crate) async fn undo_abandoned(link: &Link) {
    match try_undo_abandoned(link).await {
        Ok(0) => {}
        Ok(undone) => tracing::warn!(undone, "transactions that a node had left open were undone"),
        Err(fault) => {
            let (_, error) = fault.describe();
            tracing::debug!(%error, "transactions left open cannot be looked for");
        }
    }
}

async fn try_undo_abandoned(link: &Link) -> Outcome<usize> {
    let Some(app_name) = link.app_name() else { return Ok(0) };
    let admin = link.connected().await?.client().database("admin");
    let age = i64::try_from(link.operation_timeout().as_micros() * 2).unwrap_or(i64::MAX);
    let open = doc! {
        "type": "idleSession",
        "appName": app_name,
        "transaction.timeOpenMicros": {"$gt": age},
    };
    let pipeline = [
        doc! {"$currentOp": {"allUsers": false, "idleSessions": true}},
        doc! {"$match": open},
        doc! {"$project": {"lsid": 1}},
    ];
    // The look itself does not know of the majority's state.
    let mut found = admin.aggregate(pipeline).read_concern(ReadConcern::local()).await?;
    let mut sessions = Vec::new();
    while let Some(session) = found.try_next().await? {
        if let Some(id) = session.get_document("lsid").ok().and_then(|lsid| lsid.get("id")) {
            sessions.push(doc! {"id": id});
        }
    }
    let count = sessions.len();
    if count > 0 {
        admin.run_command(doc! {"killSessions": sessions}).await?;
    }
    Ok(count)
}
