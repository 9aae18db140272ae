//! Order and times.

use outdial_domain::ports::SystemClock;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_conversation_takes_its_time() {
    let (_stage, hints) = Stage::placed("000").await;
    let told = course(&all(hints).await);
    let expect = [
        ("joined", 0),
        ("ringing", 100),
        ("agent", 300),
        ("answered", 2100),
        ("line", 2500),
        ("line", 5567),
        ("line", 8834),
        ("line", 13034),
        ("line", 14701),
        ("ended", 17035),
    ];
    assert_eq!(told, expect);
}

#[tokio::test(start_paused = true)]
async fn a_line_is_told_when_it_has_been_spoken() {
    let (_stage, mut hints) = Stage::placed("000").await;
    let began = Instant::now();
    let line = loop {
        if let Hint::Line(line) = hints.recv().await.unwrap() {
            break line;
        }
    };
    assert_eq!((line.timestamp - epoch()).num_milliseconds(), 2500);
    assert_eq!(began.elapsed().as_millis(), 5167);
}

#[tokio::test(start_paused = true)]
async fn a_look_finds_the_true_times() {
    let (stage, _hints) = Stage::placed("000").await;
    let course = [("joined", 0), ("ringing", 100), ("answered", 2100)];
    for (wait, known) in [(50, 1), (100, 2), (2000, 3)] {
        ms(wait).await;
        let LegLook::Present(seen) = stage.leg().await else { panic!("no leg") };
        let seen: Vec<_> = seen.iter().map(brief).collect();
        assert_eq!(seen, course[..known]);
    }
    let look = Rooms::look(&stage.sandbox, &stage.room).await.unwrap().unwrap();
    assert!(look.agent);
    assert_eq!(look.others, [stage.identity()]);
}

#[tokio::test(start_paused = true)]
async fn time_scale_multiplies_everything() {
    for (scale, answered, ended) in [(0.1, 210, 1706), (2.0, 4200, 34069)] {
        let stage = Stage::scaled("000", scale);
        let told = course(&all(stage.place().await).await);
        assert_eq!(told[3], ("answered", answered), "{scale}");
        let (word, at) = told[9];
        assert_eq!(word, "ended");
        // Each of the ten waits may be rounded up to a whole millisecond.
        assert!((at - ended).abs() <= 10, "{scale}: {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_waiting_the_order_is_the_same() {
    let stage = Stage::scaled("000", 0.0);
    let hints = all(stage.place().await).await;
    let told = course(&hints);
    let expect =
        ["joined", "agent", "ringing", "answered", "line", "line", "line", "line", "line", "ended"];
    assert_eq!(told, expect.map(|word| (word, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_senseless_scale_counts_as_one() {
    for scale in [f64::NAN, -1.0, f64::INFINITY, 1e300] {
        let stage = Stage::scaled("486", scale);
        let told = course(&all(stage.place().await).await);
        assert_eq!(told[3], ("ended", 2100), "{scale}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_senseless_ring_time_is_borne() {
    let config = SandboxConfig {
        ring_time: Duration::MAX,
        agent_join_time: Duration::MAX,
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::new(config, Arc::new(VirtualClock::default()));
    let hints = all(Stage::within(sandbox, "000").place().await).await;
    assert_eq!(end(&hints), &LegEnd::RingTimeout);
    assert_eq!(brief(hints.last().unwrap()), ("ended", 60_100));
}

#[tokio::test(start_paused = true)]
async fn max_duration_bounds_a_leg_that_nobody_hangs_up() {
    let stage = Stage::new("903");
    stage.dispatch().await;
    let (sink, hints) = HintSink::channel(64);
    let request = DialRequest { max_duration: Duration::from_secs(30), ..stage.request() };
    stage.sandbox.dial(request, sink).await.unwrap();
    let hints = all(hints).await;
    assert_eq!(end(&hints), &LegEnd::Removed);
    assert_eq!(brief(hints.last().unwrap()), ("ended", 30_000));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_calls_at_once() {
    let sandbox = Stage::new("000").sandbox;
    let mut calls = Vec::new();
    for _ in 0..10_000 {
        let stage = Stage::within(sandbox.clone(), "000");
        let hints = stage.place().await;
        calls.push((stage, hints));
    }
    assert_eq!(sandbox.legs.len(), 10_000);
    for (stage, hints) in calls {
        assert_eq!(end(&all(hints).await), &LegEnd::CalleeHangup);
        stage.delete().await;
    }
    assert_eq!((sandbox.rooms(), sandbox.legs.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_real_time_on_several_threads() {
    let config = SandboxConfig { time_scale: 0.0, ..SandboxConfig::default() };
    let sandbox = Sandbox::new(config, Arc::new(SystemClock));
    let mut calls = tokio::task::JoinSet::new();
    for i in 0..500 {
        let stage = Stage::within(sandbox.clone(), ["000", "486", "902", "903"][i % 4]);
        calls.spawn(async move {
            let hints = stage.place().await;
            if stage.to_number.as_str().ends_with("903") {
                stage.hang_up().await;
            }
            end(&all(hints).await);
            stage.delete().await;
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    assert_eq!((sandbox.rooms(), sandbox.legs.len()), (0, 0));
}
