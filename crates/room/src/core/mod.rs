//! The participant as a state machine without sockets: signal messages, datagrams and time go in,
//! signal requests, datagrams and events come out.

pub(crate) mod connection;
pub(crate) mod data;
pub(crate) mod feed;
pub(crate) mod negotiation;
pub(crate) mod peer;
pub(crate) mod roster;
pub(crate) mod sdp;
pub(crate) mod tracks;

#[cfg(test)]
mod tests;
