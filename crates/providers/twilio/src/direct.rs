//! Twilio's, or anybody's, SIP trunk without livekit-sip: over the bridge.

use async_trait::async_trait;
use outdial_bridge::{Bridge, Codec, LegPlan};
use outdial_domain::ports::{DialRequest, Dialed, HintSink, LegLook, Provider, TrunkFault};
use outdial_domain::{Digits, Error, ErrorKind, Result, RoomName, Trunk};

use crate::trunk;

/// Calls of trunks with `route: "direct"`: the INVITE goes straight from this server to the trunk's
/// termination URI. Any trunk that takes E.164 numbers and G.711 will do.
#[derive(Debug, Clone)]
pub struct Direct {
    bridge: Bridge,
}

impl Direct {
    /// A provider that dials through this bridge.
    pub fn new(bridge: Bridge) -> Self {
        Self { bridge }
    }
}

#[async_trait]
impl Provider for Direct {
    async fn dial(&self, request: DialRequest, hints: HintSink) -> Result<Dialed> {
        let from = request.from_number.as_ref().ok_or_else(|| {
            let message = "numbers: the trunk has no number to call from";
            Error::new(ErrorKind::Refused, "twilio.dial", message)
        })?;
        let plan = LegPlan {
            to_user: request.to_number.as_str().to_owned(),
            from_user: from.as_str().to_owned(),
            from_display: None,
            default_port: None,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            headers: Vec::new(),
        };
        self.bridge.dial(request, plan, hints).await
    }

    async fn hang_up(&self, room: &RoomName, _participant_identity: &str) -> Result<()> {
        self.bridge.hang_up(room).await
    }

    async fn look(&self, room: &RoomName, _participant_identity: &str) -> Result<LegLook> {
        Ok(self.bridge.look(room))
    }

    async fn send_dtmf(
        &self,
        room: &RoomName,
        participant_identity: &str,
        digits: &Digits,
    ) -> Result<()> {
        self.bridge.send_dtmf(room, participant_identity, digits).await
    }

    /// The bridge has them.
    fn legs_are_local(&self) -> bool {
        true
    }

    fn check_trunk(&self, trunk: &Trunk) -> Result<(), TrunkFault> {
        trunk::check(trunk)
    }
}
