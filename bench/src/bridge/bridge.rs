//! What the child does: legs through `outdial_bridge::Bridge`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use outdial_bridge::{Bridge, BridgeSettings, Codec, LegPlan};
use outdial_domain::ports::{DialRequest, Dialed, HintSink, TrunkAccess};
use outdial_domain::{RoomName, SipTransport};
use outdial_room::{Media, MediaConfig};

use crate::child::{Order, What};
use crate::path::{CALLER, Rig};
use crate::stack::Stack;

/// Outside the ports that the kernel gives to other sockets.
const RTP_PORTS: std::ops::RangeInclusive<u16> = 15_000..=16_999;

pub(crate) async fn start() -> Result<Bridge> {
    let livekit = Rig::livekit(&Stack::of_environment()?)?;
    let loopback = [127, 0, 0, 1].into();
    let media = Media::start(MediaConfig { threads: 1, bind: loopback })?;
    let mut settings = BridgeSettings::new(loopback);
    settings.bind = loopback;
    settings.udp_port = Some(0);
    settings.tcp_port = Some(0);
    settings.rtp_ports = RTP_PORTS;
    Ok(Bridge::start(settings, Arc::new(livekit), media).await?)
}

pub(crate) async fn carry_out(bridge: &Bridge, order: Order) -> Result<()> {
    let room_name: RoomName = order.room.parse()?;
    match order.what {
        What::Dial { number, address, tcp } => {
            dial(bridge, room_name, order.identity, &number, address, tcp).await
        }
        What::HangUp => Ok(bridge.hang_up(&room_name).await?),
    }
}

async fn dial(
    bridge: &Bridge,
    room_name: RoomName,
    participant_identity: String,
    number: &str,
    address: SocketAddr,
    tcp: bool,
) -> Result<()> {
    let transport = if tcp { SipTransport::Tcp } else { SipTransport::Udp };
    let request = DialRequest {
        room_name,
        participant_identity,
        to_number: number.parse()?,
        from_number: Some(CALLER.parse()?),
        trunk: TrunkAccess::at(Some(address.to_string().parse()?), transport),
        ringing_timeout: Duration::from_secs(30),
        max_duration: Duration::from_secs(3600),
    };
    let plan = LegPlan {
        to_user: number.to_owned(),
        from_user: CALLER.to_owned(),
        from_display: None,
        default_port: None,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        headers: Vec::new(),
    };
    let (hints, mut told) = HintSink::channel(64);
    // ends with the leg
    tokio::spawn(async move { while told.recv().await.is_some() {} });
    match bridge.dial(request, plan, hints).await? {
        Dialed::Joined(_) => Ok(()),
        Dialed::Ended(end) => bail!("the leg ended: {end:?}"),
    }
}
