#![doc = include_str!("../README.md")]

mod trunk;

use async_trait::async_trait;
use outdial_bridge::{Bridge, Codec, LegPlan};
use outdial_domain::ports::{DialRequest, Dialed, HintSink, LegLook, Provider, TrunkFault};
use outdial_domain::{Digits, E164, Error, ErrorKind, Result, RoomName, SipTransport, Trunk};

/// Calls through Exotel's vSIP trunks.
#[derive(Debug, Clone)]
pub struct Exotel {
    bridge: Bridge,
}

impl Exotel {
    /// A provider that dials through this bridge.
    pub fn new(bridge: Bridge) -> Self {
        Self { bridge }
    }
}

#[async_trait]
impl Provider for Exotel {
    async fn dial(&self, request: DialRequest, hints: HintSink) -> Result<Dialed> {
        let plan = plan(&request)?;
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

/// A number as Exotel's network takes it: Indian ones as `0` and the national number, all others in
/// E.164. Source: a bridge that has placed calls through Exotel; Exotel's own guides show E.164 too.
pub fn number(number: &E164) -> String {
    match number.as_str().strip_prefix("+91") {
        Some(national) => format!("0{national}"),
        None => number.as_str().to_owned(),
    }
}

fn plan(request: &DialRequest) -> Result<LegPlan> {
    let from = request.from_number.as_ref().ok_or_else(|| {
        Error::new(
            ErrorKind::Refused,
            "exotel.dial",
            "numbers: the trunk has no ExoPhone to call from",
        )
    })?;
    let from = number(from);
    Ok(LegPlan {
        to_user: number(&request.to_number),
        from_display: Some(from.clone()),
        from_user: from,
        default_port: Some(match request.trunk.transport {
            SipTransport::Tls => 443,
            SipTransport::Udp | SipTransport::Tcp => 5070,
        }),
        codecs: vec![Codec::Pcma, Codec::Pcmu],
        headers: Vec::new(),
    })
}

/// The guide's example, a provider like this one, is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../../docs/adding-a-provider.md")]
struct AddingAProvider;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (e164, expect) in [
            ("+919876543210", "09876543210"),
            ("+918044319240", "08044319240"),
            ("+15550100000", "+15550100000"),
            ("+9715550100", "+9715550100"),
        ] {
            assert_eq!(number(&e164.parse().unwrap()), expect);
        }
    }
}
