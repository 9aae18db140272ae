//! What is accepted, and how fast.

use std::time::Duration;

use chrono::TimeDelta;
use outdial_domain::placeholder::OnMissing;
use outdial_domain::{
    AccountId, ErrorKind, LegEnd, MediaEncryption, Outcome, Route, Secret, SipStatus, Status,
};
use outdial_engine::{AssistantChange, EngineError, Policy};

use crate::rig::Rig;

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_refused_and_nothing_is_stored() {
    let rig = Rig::new().await;
    let (assistant, trunk) = (rig.assistant().await, rig.trunk(Route::Sandbox).await);
    let good = rig.request(&assistant, &trunk, "0000");

    let mut wrong_service = good.clone();
    wrong_service.call_service = outdial_domain::CallService::Exotel;
    let error = rig.engine.place(&rig.account, wrong_service).await.unwrap_err();
    assert!(matches!(error, EngineError::Invalid { field: "call_service", .. }), "{error:?}");

    let stranger = AccountId::random();
    let error = rig.engine.place(&stranger, good.clone()).await.unwrap_err();
    assert!(matches!(error, EngineError::NotFound { what: "assistant" }), "{error:?}");

    let strict = rig.assistant_with(|new| new.on_missing_placeholder = OnMissing::Reject).await;
    let mut missing = rig.request(&strict, &trunk, "0000");
    missing.metadata.clear();
    let error = rig.engine.place(&rig.account, missing).await.unwrap_err();
    assert!(error.to_string().contains("name"), "{error}");

    let change = AssistantChange { is_active: Some(false), ..AssistantChange::default() };
    rig.engine.change_assistant(&rig.account, assistant.assistant_id, change).await.unwrap();
    let error = rig.engine.place(&rig.account, good).await.unwrap_err();
    assert!(matches!(error, EngineError::NotFound { what: "assistant" }), "{error:?}");

    let exotel = rig.trunk(Route::Exotel).await;
    let assistant = rig.assistant().await;
    let error = rig.engine.place(&rig.account, rig.request(&assistant, &exotel, "0000")).await;
    assert!(
        matches!(error, Err(EngineError::Unconfigured(text)) if text.contains("set exotel up"))
    );

    let filter = outdial_domain::ports::CallFilter::of(rig.account.clone());
    let page = outdial_domain::ports::PageRequest { limit: 10, after: None };
    assert!(rig.engine.calls(&filter, &page).await.unwrap().items.is_empty());

    rig.engine.drain();
    let error = rig.engine.place(&rig.account, rig.request(&assistant, &trunk, "0000")).await;
    assert!(matches!(error, Err(EngineError::Stopping)));
}

#[tokio::test(start_paused = true)]
async fn the_provider_gets_the_trunk_with_its_password_opened() {
    let rig = Rig::new().await;
    let assistant = rig.assistant().await;
    let trunk = rig
        .trunk_with(Route::Twilio, |trunk| {
            trunk.auth_username = Some("u".into());
            trunk.auth_password = Some(Secret::new("p4ss"));
        })
        .await;
    assert!(!format!("{trunk:?}").contains("p4ss"));
    let request = rig.request(&assistant, &trunk, "0000");
    rig.engine.place(&rig.account, request).await.unwrap();
    let last = || rig.script.dialed.lock().unwrap().last().unwrap().clone();
    let dialed = last();
    assert_eq!(dialed.trunk.auth_password, Some(Secret::new("p4ss")));
    assert_eq!(dialed.from_number.as_ref().unwrap().as_str(), "+15550100000");
    assert!(dialed.ringing_timeout <= Duration::from_secs(70));

    let trunk = rig
        .trunk_with(Route::Direct, |trunk| {
            trunk.from_host = Some("acme1.pstn.exotel.com".parse().unwrap());
            trunk.outbound_proxies = vec!["10.0.0.1:5070".parse().unwrap()];
            trunk.allowed_addresses = vec!["203.0.113.0/24".parse().unwrap()];
            trunk.media_encryption = Some(MediaEncryption::Require);
        })
        .await;
    rig.engine.place(&rig.account, rig.request(&assistant, &trunk, "0001")).await.unwrap();
    let access = last().trunk;
    assert_eq!(access.trunk_id, trunk.trunk_id);
    assert_eq!(access.from_host, trunk.from_host);
    assert_eq!(access.outbound_proxies, trunk.outbound_proxies);
    assert_eq!(access.allowed_addresses, trunk.allowed_addresses);
    assert_eq!(access.media_encryption, MediaEncryption::Require);
}

#[tokio::test(start_paused = true)]
async fn what_fails_before_the_leg_has_joined_is_an_error_with_a_record_and_a_webhook() {
    let rig = Rig::new().await;
    let (assistant, trunk) = (
        rig.assistant().await,
        rig.trunk_with(Route::Twilio, |t| t.calls_per_second = Some(100.0)).await,
    );
    for (operation, kind, code) in [
        ("create", ErrorKind::Unavailable, "unavailable"),
        ("create", ErrorKind::Refused, "refused"),
        ("dispatch", ErrorKind::Unavailable, "unavailable"),
        ("dial", ErrorKind::Unavailable, "unavailable"),
    ] {
        *rig.script.fails.lock().unwrap() = vec![(operation, kind)];
        let dials = rig.script.count("dial");
        let request = rig.request(&assistant, &trunk, "0000");
        let error = rig.engine.place(&rig.account, request).await.unwrap_err();
        let EngineError::CallFailed(call) = error else { panic!("{error:?}") };
        let end = call.termination.clone().unwrap();
        assert_eq!((end.outcome, end.cause.unwrap().code.as_str()), (Outcome::Failed, code));
        rig.script.fails.lock().unwrap().clear();
        rig.finished(call.room_name()).await;
        assert!(rig.script.count("dial") <= dials + 1, "a dial is never repeated");
    }
    *rig.script.dial_ends.lock().unwrap() =
        Some(LegEnd::Refused(SipStatus { code: 486, reason: "Busy Here".into() }));
    let error = rig.engine.place(&rig.account, rig.request(&assistant, &trunk, "0000")).await;
    let Err(EngineError::CallFailed(call)) = error else { panic!() };
    assert_eq!(call.termination.as_ref().unwrap().outcome, Outcome::Busy);
    rig.finished(call.room_name()).await;
    assert_eq!(rig.sender.bodies().len(), 5);
    assert_eq!(rig.script.count("delete"), 5, "every room is deleted");
}

#[tokio::test(start_paused = true)]
async fn a_trunk_starts_only_so_many_calls_a_second() {
    let policy = Policy { pacing_max_wait: Duration::from_secs(2), ..Policy::default() };
    let rig = Rig::with(policy).await;
    // A Twilio trunk that sets no pace starts one call a second.
    let (assistant, trunk) = (rig.assistant().await, rig.trunk(Route::Twilio).await);
    let begun = tokio::time::Instant::now();
    let mut placed = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let (engine, account) = (rig.engine.clone(), rig.account.clone());
        let request = rig.request(&assistant, &trunk, "0000");
        placed.spawn(async move { engine.place(&account, request).await });
    }
    let mut started = Vec::new();
    let mut refused = 0;
    for result in placed.join_all().await {
        match result {
            Ok(call) => started.push(call.started_at.unwrap()),
            Err(EngineError::TooMany { .. }) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!((started.len(), refused), (3, 2));
    started.sort();
    assert!(
        started.windows(2).all(|pair| pair[1] - pair[0] >= TimeDelta::milliseconds(990)),
        "{started:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(4));

    // Asynchronous calls wait longer, in the order in which they came.
    let mut rooms = Vec::new();
    for _ in 0..4 {
        let mut request = rig.request(&assistant, &trunk, "0000");
        request.respond_async = true;
        let call = rig.engine.place(&rig.account, request).await.unwrap();
        assert_eq!(call.status(), Status::Queued);
        rooms.push(call.room_name().clone());
    }
    let mut times = Vec::new();
    for room in &rooms {
        times.push(rig.status(room, Status::Dialing).await.started_at.unwrap());
    }
    assert!(
        times.windows(2).all(|pair| pair[1] - pair[0] >= TimeDelta::milliseconds(990)),
        "{times:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_trunk_carries_only_so_many_calls_at_a_time() {
    let policy = Policy { pacing_max_wait: Duration::from_secs(1), ..Policy::default() };
    let rig = Rig::with(policy).await;
    let assistant = rig.assistant().await;
    let trunk = rig.trunk_with(Route::Sandbox, |trunk| trunk.max_concurrent_calls = Some(2)).await;
    let request = rig.request(&assistant, &trunk, "0000");
    let first = rig.engine.place(&rig.account, request.clone()).await.unwrap();
    rig.engine.place(&rig.account, request.clone()).await.unwrap();
    let error = rig.engine.place(&rig.account, request.clone()).await.unwrap_err();
    assert!(matches!(error, EngineError::TooMany { .. }), "{error:?}");
    // A queued call begins when a channel is free again.
    let mut patient = request.clone();
    patient.respond_async = true;
    let queued = rig.engine.place(&rig.account, patient).await.unwrap();
    rig.engine.hang_up(&rig.account, first.room_name()).await.unwrap();
    let queued = rig.status(queued.room_name(), Status::Dialing).await;
    let first = rig.finished(first.room_name()).await;
    assert!(queued.started_at.unwrap() >= first.ended_at.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_gets_the_same_answer() {
    let rig = Rig::new().await;
    let (assistant, trunk) = (rig.assistant().await, rig.trunk(Route::Sandbox).await);
    let mut request = rig.request(&assistant, &trunk, "0000");
    request.idempotency = Some(("k1".into(), "body-1".into()));
    let mut placed = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (engine, account, request) = (rig.engine.clone(), rig.account.clone(), request.clone());
        placed.spawn(async move { engine.place(&account, request).await.unwrap() });
    }
    let calls = placed.join_all().await;
    assert!(calls.iter().all(|call| call.room_name() == calls[0].room_name()));
    assert!(calls.iter().all(|call| call.facts.participant == calls[0].facts.participant));
    rig.finished(calls[0].room_name()).await;
    let later = rig.engine.place(&rig.account, request.clone()).await.unwrap();
    assert_eq!(later.room_name(), calls[0].room_name(), "also when the call is over");
    request.idempotency = Some(("k1".into(), "body-2".into()));
    let error = rig.engine.place(&rig.account, request).await.unwrap_err();
    assert!(matches!(error, EngineError::IdempotencyMismatch));
    assert_eq!(rig.sender.bodies().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_gets_the_same_failure() {
    let rig = Rig::new().await;
    let (assistant, trunk) = (rig.assistant().await, rig.trunk(Route::Twilio).await);
    *rig.script.fails.lock().unwrap() = vec![("create", ErrorKind::Unavailable)];
    let mut request = rig.request(&assistant, &trunk, "0000");
    request.idempotency = Some(("k".into(), "b".into()));
    let mut rooms = Vec::new();
    for _ in 0..2 {
        match rig.engine.place(&rig.account, request.clone()).await {
            Err(EngineError::CallFailed(call)) => rooms.push(call.room_name().clone()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(rooms[0], rooms[1]);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_does_not_wait_for_its_trunk_again() {
    let policy = Policy { pacing_max_wait: Duration::from_secs(1), ..Policy::default() };
    let rig = Rig::with(policy).await;
    let assistant = rig.assistant().await;
    let trunk = rig.trunk_with(Route::Twilio, |trunk| trunk.calls_per_second = Some(0.01)).await;
    let mut request = rig.request(&assistant, &trunk, "0000");
    request.idempotency = Some(("k".into(), "b".into()));
    let first = rig.engine.place(&rig.account, request.clone()).await.unwrap();
    let again = rig.engine.place(&rig.account, request.clone()).await.unwrap();
    assert_eq!(again.room_name(), first.room_name());
    request.idempotency = None;
    let error = rig.engine.place(&rig.account, request).await.unwrap_err();
    assert!(matches!(error, EngineError::TooMany { .. }), "{error:?}");
}
