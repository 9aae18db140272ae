//! Claims of due calls while the primary is lost.

use std::collections::HashSet;
use std::sync::Arc;

use outdial_domain::ports::Calls;
use outdial_domain::{AccountId, ErrorKind, Node, NodeId, RoomName};
use outdial_mongodb::MongoStore;
use outdial_testkit::sample;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ONE_SET;
use crate::database::{Database, LONG};
use crate::member::ReplicaSet;

const CALLS: usize = 400;

const NODES: usize = 8;

/// What a node was given, until nothing was due any more.
async fn claim_all(
    store: Arc<MongoStore>,
    node: NodeId,
    count: watch::Sender<usize>,
) -> (NodeId, Vec<RoomName>) {
    let mut claimed = Vec::new();
    loop {
        match store.claim_due(&node, sample::at(1.0), 3).await {
            Ok(calls) if calls.is_empty() => return (node, claimed),
            Ok(calls) => {
                count.send_modify(|count| *count += calls.len());
                claimed.extend(calls.iter().map(|call| call.room_name().clone()));
            }
            Err(error) => assert_eq!(error.kind, ErrorKind::Unavailable, "{error}"),
        }
    }
}

async fn a_living_node(store: &MongoStore) -> NodeId {
    let node = Node {
        node_id: NodeId::random(),
        started_at: sample::START,
        version: "1".into(),
        draining: false,
        alive_until: sample::at(9_999.0),
    };
    store.heartbeat(&node).await.unwrap();
    node.node_id
}

/// A claim whose answer was lost has happened or not: then its node owns the call, or another.
#[tokio::test(flavor = "multi_thread")]
async fn each_call_is_claimed_once_when_the_primary_is_killed() {
    let _turn = ONE_SET.lock().await;
    let mut set = ReplicaSet::start(3).await;
    let database = Database::on(&set.url());
    let store = Arc::new(database.store().await);
    let account = AccountId::random();
    for _ in 0..CALLS {
        store.insert(&mut sample::call(&account), None).await.unwrap();
    }
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(a_living_node(&store).await);
    }
    let count = watch::Sender::new(0);
    let mut claimers = JoinSet::new();
    for node in nodes {
        claimers.spawn(claim_all(Arc::clone(&store), node, count.clone()));
    }
    let mut claimed = count.subscribe();
    let begun = claimed.wait_for(|count| *count >= CALLS / 4);
    timeout(LONG, begun).await.expect("claims go on").unwrap();
    let primary = set.primary().await;
    set.members[primary].kill().await;

    let claimed = timeout(LONG, claimers.join_all()).await.expect("claims go on");
    let (mut given, mut owned) = (HashSet::new(), HashSet::new());
    for (node, claimed) in claimed {
        let own = store.owned(&node).await.unwrap();
        let own: HashSet<_> = own.into_iter().map(|(room, _)| room).collect();
        for room in claimed {
            assert!(own.contains(&room), "{room} was given to {node}, and is not its own");
            assert!(given.insert(room), "a call was given twice");
        }
        owned.extend(own);
    }
    assert_eq!(owned.len(), CALLS);
    drop((store, database));
}
