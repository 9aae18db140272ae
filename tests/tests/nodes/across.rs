//! A call belongs to one node, and everything about it can be done through the other.

use outdial_testkit::receiver::Answer;
use outdial_tests::{End, Stack, nodes, until};
use serde_json::{Value, json};

use crate::scene::{QUICK, SLOW, Scene};

const CANCELED: End = End::because("canceled", "api", "hangup");
const COMPLETED: End = End::completed("callee_hangup");

#[tokio::test]
async fn hanging_up() {
    let _seat = Stack::seat_without_agent().await;
    let scene = Scene::start(&[("sandbox.time_scale", "0.3")]).await;
    let [owner, other] = &scene.desks;
    let ringing = owner.place("+15550500903").await;
    owner.reaches(&ringing, "ringing").await;
    other.api.hang_up(&ringing).await.data();
    let talking = owner.place("+15550501903").await;
    other.reaches(&talking, "in_progress").await;
    other.api.hang_up(&talking).await.data();
    let record = owner.ended(&talking).await;
    assert_eq!(record["end_reason"], "api_hangup", "{record}");
    let record = owner.ended(&ringing).await;
    assert!(["canceled", "completed"].contains(&record["outcome"].as_str().unwrap()), "{record}");
    scene.all_end_once(1, &[ringing, talking]).await;
}

/// It waits for its turn: nothing is dialled any more.
#[tokio::test]
async fn hanging_up_what_waits() {
    let _seat = Stack::seat_without_agent().await;
    let scene = Scene::start(&[SLOW]).await;
    let [owner, other] = &scene.desks;
    let slow = json!({"name": "slow", "call_service": "twilio", "sandbox": true,
        "calls_per_second": 0.01});
    let trunk = owner.api.post("/trunks", &slow).await.data();
    let (mut owner, mut other) = (owner.clone(), other.clone());
    (owner.trunk, other.trunk) = (trunk.clone(), trunk);
    let first = owner.enqueue("+15550502000").await;
    owner.reaches(&first, "ringing").await;
    let waiting = owner.enqueue("+15550503000").await;
    assert_eq!(other.record(&waiting).await["status"], "queued");
    other.api.hang_up(&waiting).await.data();
    let record = other.ends(&waiting, CANCELED).await;
    assert_eq!(record["dialed_at"], Value::Null);
    other.api.hang_up(&first).await.data();
    other.ends(&first, CANCELED).await;
}

#[tokio::test]
async fn watching() {
    let _seat = Stack::seat_without_agent().await;
    let scene = Scene::start(&[("sandbox.time_scale", "0.3")]).await;
    let [owner, other] = &scene.desks;
    let room = owner.place("+15550504000").await;
    let mut live = other.api.events(&room, None).await;
    let mut seen = Vec::new();
    while let Some(event) = live.next().await {
        seen.push(event);
    }
    let statuses: Vec<_> = seen.iter().filter(|event| event.kind == "status").collect();
    let statuses: Vec<_> = statuses.iter().map(|event| event.data["status"].clone()).collect();
    assert_eq!(statuses, ["queued", "starting", "dialing", "ringing", "in_progress", "ended"]);
    let lines: Vec<_> = seen.iter().filter(|event| event.kind == "transcript").collect();
    let record = owner.ends(&room, COMPLETED).await;
    assert_eq!(lines.len(), owner.lines(&room).await.len());
    assert_eq!(other.lines(&room).await, owner.lines(&room).await);
    assert_eq!(other.record(&room).await, record);
    assert_eq!(other.calls("").await, owner.calls("").await);
    // Resumed at the node where it had not been watched.
    let rest = owner.api.events(&room, Some(&statuses_id(&seen, "ringing"))).await.rest().await;
    assert_eq!(rest.len(), lines.len() + 2);
}

/// The id of the event of a status.
fn statuses_id(events: &[outdial_tests::Event], status: &str) -> String {
    let found = events.iter().find(|event| event.data["status"] == status);
    found.expect("the status").id.clone()
}

#[tokio::test]
async fn repeating_a_request() {
    let _seat = Stack::seat_without_agent().await;
    let scene = Scene::start(&[QUICK]).await;
    let [one, two] = &scene.desks;
    let mut rooms = Vec::new();
    for number in 0..20 {
        let order = one.order(&format!("+15550{number:03}486"));
        let key = format!("twice-{number}");
        let headers = [("idempotency-key", &*key), ("prefer", "respond-async")];
        let send = |desk| {
            let desk: &outdial_tests::Desk = desk;
            desk.api.post_with("/call/outbound", &headers, &order)
        };
        let (first, second) = tokio::join!(send(one), send(two));
        let room = first.data()["room_name"].clone();
        assert_eq!(second.data()["room_name"], room, "sent twice at the same time");
        let other = two.order("+15550999486");
        let mismatch = two.api.post_with("/call/outbound", &headers, &other).await;
        assert_eq!(mismatch.refused(409), "idempotency_mismatch");
        rooms.push(room.as_str().unwrap().to_owned());
    }
    scene.all_end_once(0, &rooms).await;
}

#[tokio::test]
async fn sending_the_webhook_again() {
    let _seat = Stack::seat_without_agent().await;
    let scene = Scene::start(&[QUICK]).await;
    let [owner, other] = &scene.desks;
    let room = owner.place("+15550505486").await;
    owner.one_webhook(&room).await;
    let replay = format!("/calls/{room}/deliveries/replay");
    let reply = other.api.try_send(http::Method::POST, &replay, &[], None).await.unwrap();
    assert_eq!(reply.status, 202, "{}", reply.body);
    until("the second webhook", async || match owner.delivered(&room).await.len() {
        2 => Ok(()),
        count => Err(format!("{count} came")),
    })
    .await;
    until("both on record", async || {
        let lists = [owner.deliveries(&room).await, other.deliveries(&room).await];
        if lists[0].len() == 2 && lists[0] == lists[1] { Ok(()) } else { Err(format!("{lists:?}")) }
    })
    .await;
}

/// Also while its owner is trying to tell of it.
#[tokio::test]
async fn erasing() {
    let _seat = Stack::seat_without_agent().await;
    let scene = Scene::start(&[QUICK, ("webhooks.retries", "1h")]).await;
    let [owner, other] = &scene.desks;
    owner.endpoint.answer([Answer::status(503)]);
    let waiting = owner.place("+15550506486").await;
    let tried = async || match owner.deliveries(&waiting).await.len() {
        0 => Err("not tried".to_owned()),
        _ => Ok(()),
    };
    until("the first failure on record", tried).await;
    let done = owner.place("+15550507000").await;
    owner.one_webhook(&done).await;
    for room in [&waiting, &done] {
        until("the call to be erased", async || {
            let reply = other.api.erase(room).await;
            if reply.status == 200 { Ok(()) } else { Err(reply.body.to_string()) }
        })
        .await;
        for desk in [owner, other] {
            assert_eq!(desk.api.call(room, "").await.refused(410), "call_erased");
            assert_eq!(desk.api.call(room, "/transcript").await.refused(410), "call_erased");
        }
    }
    assert_eq!(owner.calls("").await, Vec::<Value>::new());
    scene.database.has("calls", mongodb::bson::doc! {}, 0).await;
    scene.database.has("transcripts", mongodb::bson::doc! {}, 0).await;
    scene.database.has("deliveries", mongodb::bson::doc! {}, 0).await;
    scene.database.has("tombstones", mongodb::bson::doc! {}, 2).await;
}

/// Both keep recordings in one bucket.
#[tokio::test]
async fn hearing_the_recording() {
    let (_seat, stack) = (Stack::seat_without_agent().await, Stack::get());
    let folder = stack.s3_folder("nodes");
    let mut settings = stack.s3(&folder, &stack.s3_url).to_vec();
    settings.push(("sandbox.time_scale", "0.1"));
    let scene = Scene::start(&settings).await;
    let [owner, other] = &scene.desks;
    let room = owner.place("+15550508000").await;
    owner.ends(&room, COMPLETED).await;
    let recording = other.recording(&room, "available").await;
    let redirect = other.api.recording(&room, &[]).await;
    assert_eq!(redirect.status, 302);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(redirect.header("location").unwrap()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(recording["bytes"], answer.bytes().await.unwrap().len());
    assert_eq!(other.api.erase(&room).await.status, 200);
    assert_eq!(stack.s3_objects("nodes"), Vec::<std::path::PathBuf>::new());
}

/// What is changed at one node counts at the other from the next request on.
#[tokio::test]
async fn keys_trunks_and_assistants() {
    let _seat = Stack::seat_without_agent().await;
    let database = outdial_tests::Database::fresh().await;
    let url = database.url();
    let [one, two] = nodes([&url, &url], &[QUICK]).await;
    let made = one.api().post("/keys", &json!({"account": "acme", "name": "crm"})).await.data();
    let key = made["api_key"].as_str().unwrap();
    assert_eq!(two.api().with_key(key).get("/keys").await.status, 200);
    let id = key.split('.').next().unwrap();
    let desk = outdial_tests::Desk::new(&two, json!({}), json!({})).await;
    let assistant = format!("/assistants/{}", desk.assistant["assistant_id"].as_str().unwrap());
    let change = json!({"is_active": false});
    let method = http::Method::PATCH;
    one.api().try_send(method, &assistant, &[], Some(&change)).await.unwrap().data();
    assert_eq!(desk.try_place("+15550509000").await.refused(404), "assistant_not_found");
    let keys = one.api().get("/keys").await.data();
    let listed = keys["items"].as_array().unwrap();
    let crm = listed.iter().find(|item| item["name"] == "crm").unwrap_or_else(|| panic!("{id}"));
    let path = format!("/keys/{}", crm["key_id"].as_str().unwrap());
    one.api().delete(&path).await.data();
    until("the key to be revoked", async || {
        let reply = two.api().with_key(key).get("/keys").await;
        if reply.status == 401 { Ok(()) } else { Err(reply.body.to_string()) }
    })
    .await;
}
