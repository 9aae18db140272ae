//! Tests that judge what is said by what is heard.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use crate::Stack;

const ATTEMPTS: u32 = 3;

/// Runs a test of speech or tones, up to three times: a machine that is busy for a moment makes holes
/// in them, of which agents make other words. A fault is there each time. The first attempt shares the
/// stack with other tests, the others have it alone.
///
/// # Panics
/// When the last attempt does.
pub async fn by_ear(test: impl AsyncFn(&'static Stack)) {
    for attempt in 1..=ATTEMPTS {
        let _seat = if attempt == 1 { Stack::seat().await } else { Stack::alone().await };
        let run = test(Stack::get());
        if attempt == ATTEMPTS {
            return run.await;
        }
        if AssertUnwindSafe(run).catch_unwind().await.is_ok() {
            return;
        }
        eprintln!("attempt {attempt} of {ATTEMPTS} failed: again");
    }
}
