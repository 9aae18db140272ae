//! The ways a phone gets into a room.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use outdial_domain::ports::{DialRequest, Rooms, TrunkAccess};
use outdial_domain::{RoomName, Secret, SipTransport};
use outdial_livekit::{LiveKit, LiveKitConfig, SipDial};
use outdial_room::AudioCodec;

use crate::call::Call;
use crate::child::{BridgeProcess, What};
use crate::people::{Part, Participant, People};
use crate::stack::Stack;

/// The caller id of all calls.
pub(crate) const CALLER: &str = "+15550100000";

/// One way, ready for calls.
#[derive(Debug)]
pub(crate) enum Path {
    /// The phone is a participant itself: what the room server alone does.
    Direct,
    /// Through livekit-sip, with its process id.
    LivekitSip(u32),
    /// Through outdial's bridge.
    Bridge(Box<BridgeProcess>),
}

/// What all paths use.
pub(crate) struct Rig {
    pub(crate) stack: Stack,
    pub(crate) livekit: LiveKit,
    pub(crate) people: People,
    /// Where the phones are.
    pub(crate) phones_at: SocketAddr,
    pub(crate) transport: SipTransport,
}

impl Rig {
    pub(crate) fn livekit(stack: &Stack) -> Result<LiveKit> {
        let secret = Secret::new(stack.secret.clone());
        Ok(LiveKit::new(LiveKitConfig::new(&stack.url, &stack.key, secret))?)
    }
}

/// A call that is up.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) call: Arc<Call>,
    room: RoomName,
    identity: String,
    pub(crate) agent: Participant,
    phone: Option<Participant>,
}

impl Path {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Direct => "room only",
            Self::LivekitSip(_) => "livekit-sip",
            Self::Bridge(_) => "bridge",
        }
    }

    /// The process that joins phone and room; none when nothing does.
    pub(crate) fn pid(&self) -> Result<Option<u32>> {
        Ok(match self {
            Self::Direct => None,
            Self::LivekitSip(pid) => Some(*pid),
            Self::Bridge(process) => Some(process.pid()?),
        })
    }

    /// Brings an agent and a phone together in a room of their own.
    pub(crate) async fn connect(
        &self,
        rig: &Rig,
        n: usize,
        call: Arc<Call>,
        agent: AudioCodec,
    ) -> Result<Leg> {
        let number = call.number.parse()?;
        let assistant = outdial_domain::AssistantId::random();
        let room = RoomName::new(outdial_domain::CallService::Twilio, assistant, &number);
        let identity = format!("phone-{number}");
        let part = Part {
            n,
            identity: format!("agent-{n}"),
            kind: "agent",
            codec: agent,
            says: Arc::clone(&call.to_phone),
            hears: Arc::clone(&call.to_room),
        };
        let agent = rig.people.join(&rig.stack, &room, part).await.context("the agent")?;
        let mut leg = Leg { call, room, identity, agent, phone: None };
        match self {
            Self::Direct => {
                let part = Part {
                    // on another thread than the agent
                    n: n / 2 + n % 2 + 1,
                    identity: leg.identity.clone(),
                    kind: "sip",
                    codec: AudioCodec::Pcmu,
                    says: Arc::clone(&leg.call.to_room),
                    hears: Arc::clone(&leg.call.to_phone),
                };
                leg.phone = Some(rig.people.join(&rig.stack, &leg.room, part).await?);
            }
            Self::LivekitSip(_) => dial_livekit_sip(rig, &leg).await?,
            Self::Bridge(process) => {
                let number = leg.call.number.clone();
                let tcp = rig.transport == SipTransport::Tcp;
                let what = What::Dial { number, address: rig.phones_at, tcp };
                process.order(what, leg.room.as_str(), &leg.identity).await?;
            }
        }
        Ok(leg)
    }

    /// Ends a call.
    pub(crate) async fn end(&self, rig: &Rig, leg: Leg) -> Result<()> {
        match self {
            Self::Direct => {}
            Self::LivekitSip(_) => rig.livekit.remove(&leg.room, &leg.identity).await?,
            Self::Bridge(process) => {
                process.order(What::HangUp, leg.room.as_str(), &leg.identity).await?;
            }
        }
        rig.livekit.delete(&leg.room).await?;
        Ok(())
    }
}

async fn dial_livekit_sip(rig: &Rig, leg: &Leg) -> Result<()> {
    let address = rig.phones_at.to_string().parse()?;
    let request = DialRequest {
        room_name: leg.room.clone(),
        participant_identity: leg.identity.clone(),
        to_number: leg.call.number.parse()?,
        from_number: Some(CALLER.parse()?),
        trunk: TrunkAccess::at(Some(address), rig.transport),
        ringing_timeout: Duration::from_secs(30),
        max_duration: Duration::from_secs(3600),
    };
    match rig.livekit.dial_sip(&request).await? {
        SipDial::Answered(_) => Ok(()),
        SipDial::Ended(end) => bail!("livekit-sip: the leg ended: {end:?}"),
    }
}
