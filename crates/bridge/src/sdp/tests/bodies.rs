//! Answers as they come from the field, with addresses and keys changed.

use super::*;

/// Exotel's border: an Asterisk behind it.
pub(super) const EXOTEL: &str = "v=0\r
o=root 1821475231 1821475231 IN IP4 182.76.143.61\r
s=Asterisk PBX 13.38.3\r
c=IN IP4 182.76.143.61\r
t=0 0\r
m=audio 18492 RTP/AVP 8 0 101\r
a=rtpmap:8 PCMA/8000\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-16\r
a=silenceSupp:off - - - -\r
a=ptime:20\r
a=sendrecv\r
";

/// Asterisk 20, chan_pjsip: another number for DTMF, 150 ms at most.
pub(super) const ASTERISK: &str = "v=0\r
o=- 3930021 3 IN IP4 192.0.2.20\r
s=Asterisk\r
c=IN IP4 192.0.2.20\r
t=0 0\r
m=audio 14562 RTP/AVP 0 8 96\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:8 PCMA/8000\r
a=rtpmap:96 telephone-event/8000\r
a=fmtp:96 0-16\r
a=ptime:20\r
a=maxptime:150\r
a=sendrecv\r
a=rtcp-mux\r
";

/// Twilio's Elastic SIP Trunking.
pub(super) const TWILIO: &str = "v=0\r
o=root 632114112 632114112 IN IP4 172.18.155.180\r
s=Twilio Media Gateway\r
c=IN IP4 168.86.149.113\r
t=0 0\r
m=audio 13186 RTP/AVP 0 101\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-16\r
a=ptime:20\r
a=maxptime:20\r
a=sendrecv\r
";

/// The same with secure trunking.
pub(super) const TWILIO_SECURE: &str = "v=0\r
o=root 632114113 632114113 IN IP4 172.18.155.181\r
s=Twilio Media Gateway\r
c=IN IP4 168.86.149.114\r
t=0 0\r
m=audio 13188 RTP/SAVP 0 101\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-16\r
a=ptime:20\r
a=maxptime:20\r
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR\r
a=sendrecv\r
";

/// FreeSWITCH: comfort noise, the address of RTCP.
pub(super) const FREESWITCH: &str = "v=0\r
o=FreeSWITCH 1697444222 1697444223 IN IP4 192.0.2.30\r
s=FreeSWITCH\r
c=IN IP4 192.0.2.30\r
t=0 0\r
m=audio 28364 RTP/AVP 8 101 13\r
a=rtpmap:8 PCMA/8000\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-15\r
a=rtpmap:13 CN/8000\r
a=rtcp:28365 IN IP4 192.0.2.30\r
a=ptime:20\r
";

/// Kamailio with rtpengine: the address stands in the section, the port is shared.
pub(super) const RTPENGINE: &str = "v=0\r
o=- 1697444 1697445 IN IP4 192.0.2.40\r
s=SIP Call\r
t=0 0\r
m=audio 40512 RTP/AVP 8 101\r
c=IN IP4 192.0.2.41\r
a=mid:0\r
a=label:1\r
a=rtpmap:8 PCMA/8000\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-15\r
a=sendrecv\r
a=rtcp:40512\r
a=rtcp-mux\r
a=ssrc:2934716712 cname:a1b2c3d4\r
a=ptime:20\r
";

/// A Cisco gateway (IOS): old names, no line for the direction.
pub(super) const CISCO: &str = "v=0\r
o=CiscoSystemsSIP-GW-UserAgent 4831 1567 IN IP4 192.0.2.50\r
s=SIP Call\r
c=IN IP4 192.0.2.50\r
t=0 0\r
m=audio 17556 RTP/AVP 0 101 19\r
c=IN IP4 192.0.2.50\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-15\r
a=rtpmap:19 CN/8000\r
";

/// sipp's own answer: the least that there is.
pub(super) const SIPP: &str = "v=0\r
o=user1 53655765 2353687637 IN IP4 127.0.0.1\r
s=-\r
c=IN IP4 127.0.0.1\r
t=0 0\r
m=audio 6000 RTP/AVP 0\r
a=rtpmap:0 PCMU/8000\r
";

/// baresip: its own bandwidth, statistics and label.
pub(super) const BARESIP: &str = "v=0\r
o=- 3901223871 1162398472 IN IP4 192.0.2.60\r
s=-\r
c=IN IP4 192.0.2.60\r
t=0 0\r
a=tool:baresip 1.0.0\r
m=audio 20344 RTP/AVP 8 0 101\r
b=AS:125\r
a=rtpmap:8 PCMA/8000\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-15\r
a=rtcp:20345\r
a=sendrecv\r
a=label:1\r
a=rtcp-rsize\r
a=ssrc:1749282732 cname:sip:alice@192.0.2.60\r
a=ptime:20\r
";

/// A Sonus (Ribbon) border: names in small letters, 30 ms.
pub(super) const SONUS: &str = "v=0\r
o=Sonus_UAC 24322 24783 IN IP4 192.0.2.70\r
s=SIP Media Capabilities\r
c=IN IP4 192.0.2.71\r
t=0 0\r
m=audio 1066 RTP/AVP 8 100\r
a=rtpmap:8 pcma/8000\r
a=rtpmap:100 telephone-event/8000\r
a=fmtp:100 0-15\r
a=sendrecv\r
a=maxptime:30\r
a=ptime:30\r
";

/// An Oracle (Acme Packet) border before a mobile network: several codecs, two numbers for DTMF.
pub(super) const ORACLE: &str = "v=0\r
o=- 1 2 IN IP4 192.0.2.80\r
s=-\r
c=IN IP4 192.0.2.80\r
b=AS:80\r
b=RS:612\r
b=RR:1837\r
t=0 0\r
a=sendrecv\r
m=audio 21022 RTP/AVP 8 18 96 101\r
a=rtpmap:96 telephone-event/16000\r
a=fmtp:96 0-15\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-15\r
a=fmtp:18 annexb=no\r
a=ptime:20\r
";

/// Lines that end with LF alone, spaces behind them, no `s=` and no `t=`.
pub(super) const OLD_GATEWAY: &str = "v=0
o=gw 1 1 IN IP4 192.0.2.90
c=IN IP4 192.0.2.90 
b=AS:64kbit
m=audio  5004 RTP/AVP 8 101 \n\
a=rtpmap:8 PCMA/8000/1 
a=rtpmap:101 telephone-event/8000
a=
";

/// All, with whether they answer an encrypted offer.
pub(super) const ALL: [(&str, bool); 12] = [
    (EXOTEL, false),
    (ASTERISK, false),
    (TWILIO, false),
    (TWILIO_SECURE, true),
    (FREESWITCH, false),
    (RTPENGINE, false),
    (CISCO, false),
    (SIPP, false),
    (BARESIP, false),
    (SONUS, false),
    (ORACLE, false),
    (OLD_GATEWAY, false),
];

/// What counts of a peer, in one line.
fn outline(body: &str, secure: bool) -> String {
    let offer = if secure { encrypted() } else { plain() };
    let remote = read_answer(&offer, body.as_bytes()).unwrap();
    let mux = if remote.rtcp_mux { " mux" } else { "" };
    let keys = if remote.crypto.is_some() { " srtp" } else { "" };
    format!(
        "{} {}={} dtmf={} cn={} {} {} ms rtcp={}{mux}{keys}",
        remote.address.unwrap(),
        remote.codec.name(),
        remote.payload_type,
        remote.telephone_event.map_or(-1, i16::from),
        remote.comfort_noise.map_or(-1, i16::from),
        remote.direction.name(),
        remote.ptime,
        remote.rtcp.unwrap().port(),
    )
}

#[test]
fn answers_from_the_field() {
    let expected = [
        "182.76.143.61:18492 PCMA=8 dtmf=101 cn=-1 sendrecv 20 ms rtcp=18493",
        "192.0.2.20:14562 PCMU=0 dtmf=96 cn=-1 sendrecv 20 ms rtcp=14562 mux",
        "168.86.149.113:13186 PCMU=0 dtmf=101 cn=-1 sendrecv 20 ms rtcp=13187",
        "168.86.149.114:13188 PCMU=0 dtmf=101 cn=-1 sendrecv 20 ms rtcp=13189 srtp",
        "192.0.2.30:28364 PCMA=8 dtmf=101 cn=13 sendrecv 20 ms rtcp=28365",
        "192.0.2.41:40512 PCMA=8 dtmf=101 cn=-1 sendrecv 20 ms rtcp=40512 mux",
        "192.0.2.50:17556 PCMU=0 dtmf=101 cn=19 sendrecv 20 ms rtcp=17557",
        "127.0.0.1:6000 PCMU=0 dtmf=-1 cn=-1 sendrecv 20 ms rtcp=6001",
        "192.0.2.60:20344 PCMA=8 dtmf=101 cn=-1 sendrecv 20 ms rtcp=20345",
        "192.0.2.71:1066 PCMA=8 dtmf=100 cn=-1 sendrecv 30 ms rtcp=1067",
        "192.0.2.80:21022 PCMA=8 dtmf=101 cn=-1 sendrecv 20 ms rtcp=21023",
        "192.0.2.90:5004 PCMA=8 dtmf=101 cn=-1 sendrecv 20 ms rtcp=5005",
    ];
    for ((body, secure), expected) in ALL.into_iter().zip(expected) {
        assert_eq!(outline(body, secure), expected, "{body}");
    }
}

#[test]
fn as_later_offers_each_gets_an_answer() {
    for (body, secure) in ALL {
        let mut ours = if secure { encrypted() } else { plain() };
        let (answer, remote) = super::answer(&mut ours, body.as_bytes()).unwrap();
        // What we answer is an answer for them too.
        let said = read_answer(&ours, &answer).unwrap();
        assert_eq!(said.address, Some(ours.address), "{body}");
        assert_eq!((said.codec, said.payload_type), (remote.codec, remote.payload_type), "{body}");
        assert_eq!(said.telephone_event, remote.telephone_event, "{body}");
        assert_eq!(ours.version, 2);
    }
}
