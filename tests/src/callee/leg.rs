//! One call at a callee.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::media::EVENT;
use super::message::{uri_in, write};
use super::wire::connect;
use super::{Arrival, Challenge, Desk, Media, Message, Transport, Waiting, Wire};
use crate::Law;

/// How long a message may take to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// A body's type.
const SDP: &str = "application/sdp";

/// One call, played by a test. What the other side repeats is not seen twice.
#[derive(Debug)]
pub struct Leg {
    /// The INVITE that counts: the last one.
    pub invite: Message,
    /// The sound.
    pub media: Media,
    address: SocketAddr,
    transport: Transport,
    desk: Arc<Desk>,
    wire: Arc<Wire>,
    inbox: UnboundedReceiver<Arrival>,
    /// What came while something else was waited for.
    kept: VecDeque<Message>,
    tag: String,
    sequence: u32,
    law: Law,
}

impl Leg {
    pub(super) fn new(
        address: SocketAddr,
        transport: Transport,
        desk: Arc<Desk>,
        waiting: Waiting,
    ) -> Self {
        let Waiting { invite, wire, inbox } = waiting;
        let media = Media::start();
        let tag = format!("callee-{}", media.port());
        Self {
            invite,
            media,
            address,
            transport,
            desk,
            wire,
            inbox,
            kept: VecDeque::new(),
            tag,
            sequence: 0,
            law: Law::Pcma,
        }
    }

    /// An SDP that takes this law only.
    pub fn sdp(&self, law: Law, direction: &str) -> String {
        let kind = law.payload_type();
        let map = format!("a=rtpmap:{kind} {}/8000\r\n", law.name());
        self.sdp_with(self.media.port(), &format!("{kind} {EVENT}"), &map, direction)
    }

    /// An SDP with other payload types.
    pub fn sdp_with(&self, port: u16, kinds: &str, maps: &str, direction: &str) -> String {
        let version = self.sequence + 1;
        format!(
            "v=0\r\no=callee 1 {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP {kinds}\r\n{maps}a=rtpmap:{EVENT} telephone-event/8000\r\n\
             a=fmtp:{EVENT} 0-15\r\na=ptime:20\r\na={direction}\r\n"
        )
    }

    /// Answers a request.
    pub async fn respond(
        &self,
        to: &Message,
        status: (u16, &str),
        more: &[(&str, &str)],
        sdp: Option<&str>,
    ) {
        let mut callee = to.header("To").to_owned();
        if status.0 > 100 && !callee.contains("tag=") {
            callee = format!("{callee};tag={}", self.tag);
        }
        let contact = self.contact();
        let mut headers: Vec<_> = to.headers("Via").into_iter().map(|via| ("Via", via)).collect();
        headers.extend([
            ("From", to.header("From")),
            ("To", &callee),
            ("Call-ID", to.header("Call-ID")),
            ("CSeq", to.header("CSeq")),
            ("Contact", &contact),
        ]);
        headers.extend(more);
        let start = format!("SIP/2.0 {} {}", status.0, status.1);
        self.wire.send(&write(&start, &headers, sdp.map(|sdp| (SDP, sdp)))).await;
    }

    fn contact(&self) -> String {
        format!("<sip:callee@{};transport={}>", self.address, self.transport.as_str())
    }

    /// 180.
    pub async fn ring(&self) {
        self.respond(&self.invite, (180, "Ringing"), &[], None).await;
    }

    /// Refuses, and waits for the ACK.
    pub async fn refuse(&mut self, status: (u16, &str), more: &[(&str, &str)]) {
        self.respond(&self.invite, status, more, None).await;
        self.wants("ACK").await;
    }

    /// Asks for credentials, and waits for the INVITE that has them; says whether they are right.
    pub async fn challenge(&mut self, by: Challenge, user: &str, password: &str) -> bool {
        let (name, value) = by.header(&format!("nonce-{}", self.tag));
        self.refuse(by.status(), &[(name, &value)]).await;
        let first = self.invite.sequence();
        self.invite = self.wants("INVITE").await;
        assert_eq!(self.invite.sequence(), first + 1);
        by.is_met(&self.invite, user, password)
    }

    /// Refuses the credentials that came: asks for them once more.
    pub async fn deny(&mut self, by: Challenge) {
        let (name, value) = by.header(&format!("nonce-{}-again", self.tag));
        self.refuse(by.status(), &[(name, &value)]).await;
    }

    /// Rings, answers by this law, and waits for the ACK; says silence from then on.
    pub async fn answer(&mut self, law: Law) {
        self.ring().await;
        let sdp = self.sdp(law, "sendrecv");
        self.law = law;
        self.answer_with(Some(&sdp)).await;
        self.media.speak_to(self.invite.media_address().expect("an offer"), law);
    }

    /// 200 with this SDP, and waits for the ACK.
    pub async fn answer_with(&mut self, sdp: Option<&str>) {
        self.respond(&self.invite, (200, "OK"), &[], sdp).await;
        self.wants("ACK").await;
    }

    /// The next request or response. Answers go where it came from.
    async fn next(&mut self) -> Message {
        loop {
            let waited = tokio::time::timeout(PATIENCE, self.inbox.recv()).await;
            let (wire, message) = waited.expect("a message").expect("a callee");
            // The other side may come back over another connection.
            let Some(message) = message else { continue };
            self.wire = wire;
            let repeated = message.method() == Some("INVITE")
                && message.sequence() == self.invite.sequence()
                && message.header("From") == self.invite.header("From");
            if !repeated {
                return message;
            }
        }
    }

    /// Waits for a request with this method; what comes before it is kept.
    pub async fn wants(&mut self, method: &str) -> Message {
        self.wants_one(|message| message.method() == Some(method)).await
    }

    async fn wants_one(&mut self, is_it: impl Fn(&Message) -> bool) -> Message {
        if let Some(at) = self.kept.iter().position(&is_it) {
            return self.kept.remove(at).unwrap();
        }
        loop {
            let message = self.next().await;
            if is_it(&message) {
                return message;
            }
            self.kept.push_back(message);
        }
    }

    /// Sends a request in the dialog, and gives its final answer.
    pub async fn request(&mut self, method: &str, body: Option<(&str, &str)>) -> Message {
        self.send(method, self.sequence + 1, body).await;
        let sequence = self.sequence;
        let is_final = |message: &Message| {
            message.code().is_some_and(|code| code >= 200) && message.sequence() == sequence
        };
        self.wants_one(is_final).await
    }

    async fn send(&mut self, method: &str, sequence: u32, body: Option<(&str, &str)>) {
        self.sequence = sequence;
        let start = format!("{method} {} SIP/2.0", self.invite.contact());
        let way = self.transport.as_str().to_uppercase();
        let branch = format!("z9hG4bK{}-{method}-{sequence}", self.tag);
        let via = format!("SIP/2.0/{way} {};branch={branch};rport", self.address);
        let from = format!("{};tag={}", self.invite.header("To"), self.tag);
        let (count, contact) = (format!("{sequence} {method}"), self.contact());
        let headers = [
            ("Via", &*via),
            ("From", &from),
            ("To", self.invite.header("From")),
            ("Call-ID", self.invite.header("Call-ID")),
            ("CSeq", &count),
            ("Max-Forwards", "70"),
            ("Contact", &contact),
        ];
        self.wire.send(&write(&start, &headers, body)).await;
    }

    /// A re-INVITE with this law and direction (`sendonly` holds the call); gives the answer, which
    /// must be a 200 with SDP.
    pub async fn reinvite(&mut self, law: Law, direction: &str) -> Message {
        let sdp = self.sdp(law, direction);
        let answer = self.request("INVITE", Some((SDP, &sdp))).await;
        assert_eq!(answer.code(), Some(200), "{}", answer.start);
        self.send("ACK", self.sequence, None).await;
        self.media.speak_to(answer.media_address().expect("an answer"), law);
        answer
    }

    /// Hangs up, and waits for the 200.
    pub async fn hang_up(&mut self) {
        let answer = self.request("BYE", None).await;
        assert_eq!(answer.code(), Some(200), "{}", answer.start);
    }

    /// The text of a BYE for this call, as somebody would send it over UDP from `host:port` who knows its
    /// Call-ID but not its tags.
    pub fn forged_bye(&self, from: &str) -> String {
        let start = format!("BYE {} SIP/2.0", self.invite.contact());
        let via = format!("SIP/2.0/UDP {from};branch=z9hG4bK-forged;rport");
        let caller = self.invite.header("From").split(';').next().unwrap_or_default();
        let headers = [
            ("Via", &*via),
            ("From", "<sip:somebody@example.com>;tag=forged"),
            ("To", &format!("{caller};tag=forged")),
            ("Call-ID", self.invite.header("Call-ID")),
            ("CSeq", "77 BYE"),
            ("Max-Forwards", "70"),
        ];
        write(&start, &headers, None)
    }

    /// Waits until the other side hangs up.
    pub async fn is_hung_up(&mut self) {
        let bye = self.wants("BYE").await;
        self.respond(&bye, (200, "OK"), &[], None).await;
    }

    /// Waits for the CANCEL, and answers it and the INVITE.
    pub async fn is_canceled(&mut self) {
        let cancel = self.wants("CANCEL").await;
        self.respond(&cancel, (200, "OK"), &[], None).await;
        self.refuse((487, "Request Terminated"), &[]).await;
    }

    /// Goes on over a new TCP connection to the address in the other side's `Contact`.
    pub async fn dial_back(&mut self) {
        let to = uri_in(self.invite.header("Contact"));
        let (_, host) = to.split_once('@').expect("a user");
        let host = host.split(';').next().unwrap();
        self.wire = connect(host.parse().expect("host:port"), self.desk.taker()).await;
    }

    /// Closes the TCP connection.
    pub async fn close(&self) {
        self.wire.close().await;
    }
}
