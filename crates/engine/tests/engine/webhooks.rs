//! The end-of-call webhook.

use std::time::Duration;

use outdial_domain::{Route, Status, WebhookState};
use outdial_engine::EngineError;

use crate::rig::Rig;

#[tokio::test(start_paused = true)]
async fn a_failing_endpoint_is_tried_again_and_then_the_webhook_is_dead_until_it_is_replayed() {
    let rig = Rig::new().await;
    rig.sender.replies.lock().unwrap().extend([500, 503, 302, 404]);
    let call = rig.place(Route::Sandbox, "0486").await;
    let room = call.room_name();
    let early = rig.engine.replay_webhook(&rig.account, room).await.unwrap_err();
    assert!(matches!(early, EngineError::Conflict(_)));
    let call = rig.finished(room).await;
    assert_eq!(call.webhook, WebhookState::Dead);
    let deliveries = rig.engine.deliveries(&rig.account, room).await.unwrap();
    let attempts: Vec<_> = deliveries.iter().map(|d| (d.attempt, d.status_code.unwrap())).collect();
    assert_eq!(attempts, [(1, 500), (2, 503), (3, 302), (4, 404)]);
    let waits: Vec<_> =
        deliveries.windows(2).map(|pair| (pair[1].at - pair[0].at).num_seconds()).collect();
    assert!(waits[0] >= 5 && waits[1] >= 30 && waits[2] >= 300, "{waits:?}");

    rig.engine.replay_webhook(&rig.account, room).await.unwrap();
    let call = rig.until(room, |call| call.webhook == WebhookState::Delivered).await;
    assert_eq!(call.status(), Status::Ended);
    let sent = rig.sender.sent.lock().unwrap().clone();
    assert_eq!(sent.len(), 5);
    assert!(sent.iter().all(|request| request.id == sent[0].id && request.body == sent[0].body));
}

#[tokio::test(start_paused = true)]
async fn a_rotated_secret_signs_beside_the_old_one_until_the_overlap_ends() {
    let rig = Rig::new().await;
    let (assistant, trunk) = (rig.assistant().await, rig.trunk(Route::Sandbox).await);
    let id = assistant.assistant_id;
    let overlap = Some(Duration::from_secs(60));
    let rotation = rig.engine.rotate_webhook_secret(&rig.account, id, overlap).await.unwrap();
    for (wait, secrets) in [(0, 2), (120, 1)] {
        tokio::time::sleep(Duration::from_secs(wait)).await;
        let call =
            rig.engine.place(&rig.account, rig.request(&assistant, &trunk, "0486")).await.unwrap();
        rig.finished(call.room_name()).await;
        let sent = rig.sender.sent.lock().unwrap().last().unwrap().clone();
        assert_eq!(sent.secrets.len(), secrets);
        assert_eq!(sent.secrets[0], rotation.secret, "the newest first");
    }
}

#[tokio::test(start_paused = true)]
async fn the_webhook_of_a_deleted_assistant_is_still_sent_and_signed() {
    let rig = Rig::new().await;
    let (assistant, trunk) = (rig.assistant().await, rig.trunk(Route::Sandbox).await);
    let call =
        rig.engine.place(&rig.account, rig.request(&assistant, &trunk, "0000")).await.unwrap();
    rig.engine.delete_assistant(&rig.account, assistant.assistant_id).await.unwrap();
    rig.finished(call.room_name()).await;
    assert_eq!(rig.sender.sent.lock().unwrap()[0].secrets.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hung_endpoint_delays_no_other_account() {
    let rig = Rig::new().await;
    *rig.sender.hang_on.lock().unwrap() = Some("hung");
    let hung = rig
        .assistant_with(|new| {
            new.assistant_end_call_url = Some("https://hung.example.com/".parse().unwrap());
        })
        .await;
    let trunk = rig.trunk(Route::Sandbox).await;
    for _ in 0..40 {
        rig.engine.place(&rig.account, rig.request(&hung, &trunk, "0486")).await.unwrap();
    }
    let other = Rig {
        account: rig.store.account_named("other", chrono::Utc::now()).await.unwrap().account_id,
        ..rig
    };
    let call = other.place(Route::Sandbox, "0486").await;
    other.finished(call.room_name()).await;
    assert_eq!(other.sender.bodies().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_url_no_webhook() {
    let rig = Rig::new().await;
    let assistant = rig.assistant_with(|new| new.assistant_end_call_url = None).await;
    let trunk = rig.trunk(Route::Sandbox).await;
    let call =
        rig.engine.place(&rig.account, rig.request(&assistant, &trunk, "0486")).await.unwrap();
    assert_eq!(rig.finished(call.room_name()).await.webhook, WebhookState::None);
    let error = rig.engine.replay_webhook(&rig.account, call.room_name()).await.unwrap_err();
    assert!(matches!(error, EngineError::Conflict(_)));
    assert!(rig.sender.bodies().is_empty());
}
