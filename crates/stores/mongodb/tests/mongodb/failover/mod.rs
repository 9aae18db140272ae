//! A set of three whose primary is lost in the middle of writes.

mod claims;
mod known;
mod ledger;

use std::sync::Arc;

use mongodb::bson::doc;
use outdial_domain::ports::Store;
use outdial_mongodb::MongoStore;
use tokio::sync::{Mutex, MutexGuard};

use self::ledger::Ledger;
use crate::database::Database;
use crate::member::ReplicaSet;

/// What the store answers once it is available.
macro_rules! answer {
    ($ask:expr) => {{
        let answered = async {
            loop {
                match $ask.await {
                    Err(error) if error.kind == ErrorKind::Unavailable => {}
                    answer => return answer,
                }
            }
        };
        tokio::time::timeout($crate::database::LONG, answered).await.expect("the store works again")
    }};
}
use answer;

/// Acknowledged writes that are waited for before a fault, and behind it.
const ENOUGH: usize = 200;

/// Three servers at a time are enough for a small machine.
static ONE_SET: Mutex<()> = Mutex::const_new(());

/// A set, a database on it, a store, and writers at work.
struct Fixture {
    store: Arc<MongoStore>,
    ledger: Arc<Ledger>,
    // Dropped before its servers.
    database: Database,
    set: ReplicaSet,
    _turn: MutexGuard<'static, ()>,
}

impl Fixture {
    async fn start() -> Self {
        let turn = ONE_SET.lock().await;
        let set = ReplicaSet::start(3).await;
        let database = Database::on(&set.url());
        let store = Arc::new(database.store().await);
        let ledger = Arc::new(Ledger::default());
        ledger::start_writers(&store, &ledger).await;
        ledger.acknowledgements(ENOUGH).await;
        Self { store, ledger, database, set, _turn: turn }
    }

    /// Waits until there is another primary than `old`, and it takes writes.
    async fn works_again(&self, old: usize) {
        self.set.other_primary(old).await;
        self.ledger.acknowledgements(ENOUGH).await;
    }

    /// Ends the writers; everything that was acknowledged is there, in the eyes of a new client too.
    async fn all_is_there(self) {
        self.ledger.stop().await;
        self.store.check().await.unwrap();
        self.ledger.verify(&self.store).await;
        self.ledger.verify(&self.database.store().await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_primary_is_killed() {
    let mut fixture = Fixture::start().await;
    let old = fixture.set.primary().await;
    fixture.set.members[old].kill().await;
    fixture.works_again(old).await;
    // It throws away what only it had: nothing that was acknowledged.
    fixture.set.members[old].restart().await;
    fixture.set.is_whole().await;
    fixture.all_is_there().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_primary_steps_down() {
    let fixture = Fixture::start().await;
    for _ in 0..2 {
        let old = fixture.set.primary().await;
        fixture.set.members[old].run(doc! {"replSetStepDown": 60, "force": true}).await;
        fixture.works_again(old).await;
        // Lets it be elected again.
        fixture.set.members[old].run(doc! {"replSetFreeze": 0}).await;
    }
    fixture.all_is_there().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_primary_stands_still_and_goes_on() {
    let fixture = Fixture::start().await;
    let old = fixture.set.primary().await;
    fixture.set.members[old].signal("STOP").await;
    fixture.works_again(old).await;
    // It takes itself for the primary at first.
    fixture.set.members[old].signal("CONT").await;
    fixture.set.is_whole().await;
    fixture.ledger.acknowledgements(ENOUGH).await;
    fixture.all_is_there().await;
}
