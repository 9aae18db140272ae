//! Encrypted media: keys from the SDP (SDES, RFC 4568) and SRTP (RFC 3711).
//!
//! The keys travel in the SDP in clear, so a trunk that asks for encryption needs TLS for its
//! signalling too. Nothing here falls back to plain RTP.

mod context;
mod sdes;
#[cfg(test)]
mod tests;

pub(crate) use context::{SrtpContext, SrtpError};
pub(crate) use sdes::{CryptoLine, CryptoLineError, MasterKey, MediaKeys, Suite};
