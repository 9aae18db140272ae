//! Data packets: out over the data channels, in from them.

use livekit_data_stream::backend::{Packet, incoming::PacketReceived};
use livekit_protocol::{self as proto, data_packet::Value};
use prost::Message as _;
use std::collections::{HashMap, VecDeque};
use str0m::{
    Rtc,
    change::SdpApi,
    channel::{ChannelConfig, ChannelId, Reliability},
};

/// Bytes that may wait for the data channels.
pub(crate) const MAX_OUTBOX: usize = 4 << 20;
/// Bytes of one data packet that servers and clients accept.
pub(crate) const MAX_PACKET: usize = 60_000;
/// Senders whose last sequence number is remembered.
const MAX_SENDERS: usize = 10_000;
const RELIABLE: &str = "_reliable";
const LOSSY: &str = "_lossy";

/// Our two data channels and what waits to be sent over them.
#[derive(Default)]
pub(crate) struct DataChannels {
    reliable: Option<ChannelId>,
    lossy: Option<ChannelId>,
    reliable_open: bool,
    lossy_open: bool,
    /// Channels the server made, on the receiving peer connection: id and whether reliable.
    received: Vec<(ChannelId, bool)>,
    outbox: VecDeque<(bool, Vec<u8>)>,
    outbox_bytes: usize,
    sequence: u32,
}

impl DataChannels {
    /// Adds the channels to an offer, once.
    pub(crate) fn offer(&mut self, api: &mut SdpApi<'_>) {
        if self.reliable.is_some() {
            return;
        }
        self.reliable = Some(api.add_channel(RELIABLE.to_owned()));
        self.lossy = Some(api.add_channel_with_config(ChannelConfig {
            label: LOSSY.to_owned(),
            ordered: false,
            reliability: Reliability::MaxRetransmits { retransmits: 0 },
            ..Default::default()
        }));
    }

    /// A channel is open. `ours`: on the peer connection that we send on.
    pub(crate) fn opened(&mut self, ours: bool, id: ChannelId, label: &str) {
        if ours {
            self.reliable_open |= self.reliable == Some(id);
            self.lossy_open |= self.lossy == Some(id);
        } else if self.received.len() < 8 {
            self.received.push((id, label == RELIABLE));
        }
    }

    pub(crate) fn is_reliable(&self, ours: bool, id: ChannelId) -> bool {
        if ours { self.reliable == Some(id) } else { self.received.contains(&(id, true)) }
    }

    /// Queues packets, all or none. False: too much waits.
    pub(crate) fn push_all(&mut self, reliable: bool, packets: Vec<proto::DataPacket>) -> bool {
        let size: usize = packets.iter().map(|p| p.encoded_len() + 8).sum();
        if self.outbox_bytes + size > MAX_OUTBOX {
            return false;
        }
        for mut packet in packets {
            if reliable {
                // the server drops what is not newer than the last one
                self.sequence = self.sequence.wrapping_add(1);
                packet.sequence = self.sequence;
            }
            let bytes = packet.encode_to_vec();
            self.outbox_bytes += bytes.len();
            self.outbox.push_back((reliable, bytes));
        }
        true
    }

    /// Writes one waiting packet, if the channel takes it. The caller must poll after each.
    pub(crate) fn flush_one(&mut self, rtc: &mut Rtc) -> bool {
        let Some((reliable, bytes)) = self.outbox.front() else { return false };
        let (id, open) = match reliable {
            true => (self.reliable, self.reliable_open),
            false => (self.lossy, self.lossy_open),
        };
        let Some(mut channel) = id.filter(|_| open).and_then(|id| rtc.channel(id)) else {
            return false;
        };
        match channel.write(true, bytes) {
            Ok(false) => return false,
            Ok(true) => {}
            Err(error) => tracing::debug!(%error, "data packet not written"),
        }
        self.outbox_bytes -= bytes.len();
        self.outbox.pop_front();
        true
    }

    /// Nothing waits here or in the reliable channel.
    pub(crate) fn is_idle(&self, rtc: &mut Rtc) -> bool {
        let buffered =
            self.reliable.and_then(|id| rtc.channel(id)).map(|mut c| c.buffered_amount());
        self.outbox.is_empty() && buffered.unwrap_or(0) == 0
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Takes over what an earlier session has not sent.
    pub(crate) fn inherit(&mut self, old: &mut Self) {
        self.outbox = std::mem::take(&mut old.outbox);
        self.outbox_bytes = old.outbox_bytes;
        self.sequence = old.sequence;
    }
}

/// A received data packet.
pub(crate) enum Incoming {
    User {
        identity: String,
        topic: String,
        payload: Vec<u8>,
    },
    Dtmf {
        identity: String,
        code: u32,
        digit: String,
    },
    Stream {
        id: String,
        opens: bool,
        packet: Box<PacketReceived>,
    },
    /// Known, but not for us; or already seen.
    Ignored,
    Malformed,
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::User { .. } => "User",
            Self::Dtmf { .. } => "Dtmf",
            Self::Stream { .. } => "Stream",
            Self::Ignored => "Ignored",
            Self::Malformed => "Malformed",
        })
    }
}

/// Reads received data packets and drops repeated ones.
#[derive(Default)]
pub(crate) struct DataInbox {
    /// Last sequence number of every sender, by participant sid.
    last: HashMap<String, u32>,
}

impl DataInbox {
    pub(crate) fn read(&mut self, bytes: &[u8], reliable: bool) -> Incoming {
        let Ok(packet) = proto::DataPacket::decode(bytes) else { return Incoming::Malformed };
        if reliable && self.is_repeated(&packet) {
            return Incoming::Ignored;
        }
        let identity = packet.participant_identity;
        let plain = livekit_common::EncryptionType::None;
        let stream = |id, opens, packet| Incoming::Stream {
            id,
            opens,
            packet: Box::new(PacketReceived::new(packet, identity.clone().into())),
        };
        match packet.value {
            Some(Value::User(user)) => {
                // older servers fill only the inner identity
                #[expect(deprecated, reason = "the only place where older servers put it")]
                let inner = user.participant_identity;
                let identity = if identity.is_empty() { inner } else { identity };
                let topic = user.topic.unwrap_or_default();
                Incoming::User { identity, topic, payload: user.payload }
            }
            Some(Value::SipDtmf(proto::SipDtmf { code, digit })) => {
                Incoming::Dtmf { identity, code, digit }
            }
            Some(Value::StreamHeader(header)) if header.content_header.is_some() => {
                let id = header.stream_id.clone();
                stream(id, true, Packet::Header { header: header.into(), encryption_type: plain })
            }
            Some(Value::StreamHeader(_)) => Incoming::Malformed,
            Some(Value::StreamChunk(chunk)) => {
                let id = chunk.stream_id.clone();
                stream(id, false, Packet::Chunk { chunk: chunk.into(), encryption_type: plain })
            }
            Some(Value::StreamTrailer(trailer)) => {
                let id = trailer.stream_id.clone();
                let trailer = trailer.into();
                stream(id, false, Packet::Trailer { trailer, encryption_type: plain })
            }
            // speakers, RPC, legacy transcription, …
            Some(_) => Incoming::Ignored,
            None => Incoming::Malformed,
        }
    }

    fn is_repeated(&mut self, packet: &proto::DataPacket) -> bool {
        if packet.sequence == 0 || packet.participant_sid.is_empty() {
            return false;
        }
        if let Some(last) = self.last.get_mut(&packet.participant_sid) {
            let repeated = packet.sequence <= *last;
            *last = packet.sequence.max(*last);
            return repeated;
        }
        if self.last.len() >= MAX_SENDERS {
            self.last.clear();
        }
        self.last.insert(packet.participant_sid.clone(), packet.sequence);
        false
    }

    /// For the server after a resume, so that it repeats what was lost.
    pub(crate) fn receive_states(&self) -> Vec<proto::DataChannelReceiveState> {
        let state = |(sid, seq): (&String, &u32)| proto::DataChannelReceiveState {
            publisher_sid: sid.clone(),
            last_seq: *seq,
        };
        self.last.iter().map(state).collect()
    }

    pub(crate) fn forget(&mut self, participant_sid: &str) {
        self.last.remove(participant_sid);
    }
}
