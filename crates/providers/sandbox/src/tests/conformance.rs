//! The suite that every implementation must pass.

use outdial_domain::ports::SystemClock;
use outdial_testkit::rooms::{self, Fixture};

use super::*;

fn fixture(sandbox: Sandbox, call_service: CallService) -> Fixture {
    let stage = Stage::within(sandbox.clone(), "903");
    Fixture {
        rooms: Arc::new(sandbox.clone()),
        provider: Arc::new(sandbox),
        call_service,
        trunk: stage.request().trunk,
        from_number: None,
        answers: stage.to_number,
        refuses: Some(("+15550100486".parse().unwrap(), 486)),
        agent_name: Some("agent".into()),
        patience: Duration::from_secs(20),
    }
}

#[tokio::test(start_paused = true)]
async fn conforms() {
    for scale in [1.0, 0.1, 0.0] {
        for service in [CallService::Twilio, CallService::Exotel] {
            let sandbox = Stage::scaled("903", scale).sandbox;
            rooms::all(&fixture(sandbox.clone(), service)).await;
            assert_eq!((sandbox.rooms(), sandbox.legs.len()), (0, 0));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_in_real_time() {
    let config = SandboxConfig { time_scale: 0.01, ..SandboxConfig::default() };
    let sandbox = Sandbox::new(config, Arc::new(SystemClock));
    rooms::all(&fixture(sandbox, CallService::Twilio)).await;
}
