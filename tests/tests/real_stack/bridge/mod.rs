//! Calls that the server dials by itself: neither livekit-sip nor redis has a part in them.

mod baresip;
mod crash;
mod direct;
mod exotel;
mod failures;
mod hangup;
mod midcall;
mod spoof;

use outdial_tests::{Callee, Desk, End, Leg};

const HUNG_UP: End = End::completed("callee_hangup");

/// The number as it is dialed over Exotel: as in India, and not E.164.
fn national(number: &str) -> String {
    format!("0{}", number.strip_prefix("+91").expect("a number in India"))
}

/// Places a call over Exotel to a callee that a test plays; gives its room and the callee's side.
async fn ring(desk: &Desk, callee: &Callee, number: &str) -> (String, Leg) {
    let room = desk.place(number).await;
    (room, callee.rings(&national(number)).await)
}
