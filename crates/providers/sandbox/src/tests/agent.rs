//! When the agent comes, and what it was told.

use super::*;

#[tokio::test(start_paused = true)]
async fn it_joins_a_moment_after_its_dispatch() {
    let stage = Stage::new("000");
    stage.dispatch().await;
    ms(299).await;
    assert!(!stage.agent_is_there().await);
    ms(1).await;
    assert!(stage.agent_is_there().await);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_there_before_the_dial_is_told_with_its_own_time() {
    let stage = Stage::new("000");
    stage.dispatch().await;
    ms(1000).await;
    let mut hints = stage.dial(64).await;
    assert_eq!(brief(&hints.recv().await.unwrap()), ("joined", 1000));
    assert_eq!(brief(&hints.recv().await.unwrap()), ("agent", 300));
}

#[tokio::test(start_paused = true)]
async fn it_may_be_dispatched_after_the_dial() {
    for (dispatched, greets) in [(1000, 2500), (5000, 5700)] {
        let stage = Stage::new("000");
        let hints = stage.dial(64).await;
        ms(dispatched).await;
        assert!(!stage.agent_is_there().await);
        stage.dispatch().await;
        let hints = all(hints).await;
        let told = course(&hints);
        let joined = i64::try_from(dispatched).unwrap() + 300;
        assert!(told.contains(&("agent", joined)), "{told:?}");
        assert!(told.contains(&("line", greets)), "{told:?}");
        assert_eq!(lines(&hints)[0].text, GREETING);
        assert_eq!(end(&hints), &LegEnd::CalleeHangup);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_dispatch_the_callee_hears_nothing() {
    let stage = Stage::new("000");
    let hints = stage.dial(64).await;
    ms(60_000).await;
    stage.hang_up().await;
    let order = words(&all(hints).await);
    assert_eq!(order, ["joined", "ringing", "answered", "ended"]);
}

#[tokio::test(start_paused = true)]
async fn of_several_the_first_speaks() {
    let stage = Stage::new("000");
    stage.dispatch().await;
    let other = DispatchRequest {
        agent_name: "other".into(),
        metadata: json!({"assistant_start_instruction": "Something else."}),
    };
    stage.sandbox.dispatch(&stage.room, &other).await.unwrap();
    let hints = all(stage.dial(64).await).await;
    assert_eq!(lines(&hints)[0].text, GREETING);
    let joined = words(&hints).iter().filter(|w| **w == "agent").count();
    assert_eq!(joined, 1);
}

#[tokio::test(start_paused = true)]
async fn odd_metadata_is_no_obstacle() {
    for metadata in [
        json!(null),
        json!([]),
        json!("text"),
        json!({"assistant_start_instruction": 5, "call": {"to_number": "x"}}),
    ] {
        let stage = Stage::new("000");
        let request = DispatchRequest { agent_name: String::new(), metadata };
        stage.sandbox.dispatch(&stage.room, &request).await.unwrap();
        let hints = all(stage.dial(64).await).await;
        assert_eq!(lines(&hints)[0].text, "Hello.");
    }
}

#[tokio::test(start_paused = true)]
async fn it_says_what_it_does() {
    let (_stage, hints) = Stage::placed("000").await;
    let hints = all(hints).await;
    let states: Vec<_> =
        hints.iter().filter(|hint| matches!(hint, Hint::AgentState { .. })).map(brief).collect();
    let expect = [
        ("speaking", 2500),
        ("listening", 5167),
        ("thinking", 8434),
        ("speaking", 8834),
        ("listening", 12_634),
        ("thinking", 14_301),
        ("speaking", 14_701),
        ("listening", 16_635),
    ];
    assert_eq!(states, expect);
    // A line is told before what follows it.
    let order: Vec<_> = hints.iter().map(word).skip(4).take(7).collect();
    let expect = ["speaking", "line", "listening", "line", "thinking", "speaking", "line"];
    assert_eq!(order, expect);
}

#[tokio::test(start_paused = true)]
async fn states_that_last_no_time_are_left_out() {
    let stage = Stage::scaled("000", 0.0);
    let hints = all(stage.place().await).await;
    assert!(hints.iter().all(|hint| !matches!(hint, Hint::AgentState { .. })));
}
