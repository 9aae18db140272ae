//! What the media of a call costs, without sockets: phone to room and room to phone.
//!
//! `cargo run --release -p outdial-bridge --features measure --example media`

fn main() {
    outdial_bridge::measure::run();
}
