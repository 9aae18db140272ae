//! What a provider decides about a leg.

use std::fmt;

use crate::Codec;

/// How a provider wants a leg dialled: what an INVITE needs beside the request and its trunk.
/// Debug output leaves out the numbers.
#[derive(Clone, PartialEq, Eq)]
pub struct LegPlan {
    /// The user part of the request URI and of To: the number as the provider writes it.
    pub to_user: String,
    /// The user part of From.
    pub from_user: String,
    /// The display name of From.
    pub from_display: Option<String>,
    /// The port of a trunk address without one; `None`: that of SIP, 5060, or 5061 over TLS.
    pub default_port: Option<u16>,
    /// What to speak, the best first.
    pub codecs: Vec<Codec>,
    /// More headers for the INVITE, names and values.
    pub headers: Vec<(String, String)>,
}

impl fmt::Debug for LegPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegPlan").field("codecs", &self.codecs).finish_non_exhaustive()
    }
}
