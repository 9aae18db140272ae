//! A callee that does what the test says, and the helpers to place calls to it.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use outdial_sip::{Dialog, End, Event, Events, HostPort, Invite, Settings, Transport, UserAgent};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Nothing takes that long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// The callee's tag.
pub(crate) const TAG: &str = "exoTag77";

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: nothing"))
}

/// A message the callee got.
#[derive(Debug, Clone)]
pub(crate) struct Msg {
    pub(crate) start: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Msg {
    fn parse(bytes: &[u8]) -> Self {
        let end = find(bytes, b"\r\n\r\n").unwrap_or_else(|| panic!("no message: {bytes:?}"));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap().to_owned();
        let headers = lines
            .map(|line| line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self { start, headers, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_default()
    }

    pub(crate) fn is(&self, method: &str) -> bool {
        self.start.split(' ').next() == Some(method)
    }

    pub(crate) fn code(&self) -> u16 {
        let code = self.start.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3));
        code.map_or(0, |code| code.parse().unwrap())
    }

    pub(crate) fn cseq(&self) -> u32 {
        self.get("cseq").split(' ').next().unwrap().parse().unwrap()
    }

    pub(crate) fn branch(&self) -> &str {
        param(self.all("via")[0], "branch")
    }
}

/// The value of a parameter.
pub(crate) fn param<'a>(header: &'a str, name: &str) -> &'a str {
    let find = |part: &'a str| part.strip_prefix(name)?.strip_prefix('=');
    header.split(';').find_map(find).unwrap_or_else(|| panic!("no {name} in {header}"))
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

enum Kind {
    Stream(Box<dyn Wire>),
    Datagrams(Arc<UdpSocket>, Option<SocketAddr>),
}

/// One connection, or the UDP socket.
pub(crate) struct Line {
    kind: Kind,
    buffer: Vec<u8>,
    /// Everything that came, also what is no message.
    pub(crate) raw: Vec<u8>,
    pub(crate) address: SocketAddr,
    pub(crate) name: &'static str,
}

impl Line {
    pub(crate) fn stream(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        address: SocketAddr,
        name: &'static str,
    ) -> Self {
        Self {
            kind: Kind::Stream(Box::new(stream)),
            buffer: Vec::new(),
            raw: Vec::new(),
            address,
            name,
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        match &mut self.kind {
            Kind::Stream(stream) => {
                stream.write_all(bytes.as_ref()).await.unwrap();
                stream.flush().await.unwrap();
            }
            Kind::Datagrams(socket, peer) => {
                socket.send_to(bytes.as_ref(), peer.unwrap()).await.unwrap();
            }
        }
    }

    /// In one write on a connection, one datagram each over UDP.
    pub(crate) async fn send_all(&mut self, messages: &[String]) {
        if self.name == "UDP" {
            for message in messages {
                self.send(message).await;
            }
        } else {
            self.send(messages.concat()).await;
        }
    }

    pub(crate) async fn send_in_bytes(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref() {
            self.send([*byte]).await;
            tokio::task::yield_now().await;
        }
    }

    /// The next message; `None` when the connection is closed.
    pub(crate) async fn recv(&mut self) -> Option<Msg> {
        let mut chunk = vec![0; 65536];
        loop {
            if let Some(message) = self.take() {
                return Some(message);
            }
            match &mut self.kind {
                Kind::Stream(stream) => {
                    let read = soon("the next message", stream.read(&mut chunk)).await.unwrap_or(0);
                    if read == 0 {
                        return None;
                    }
                    self.raw.extend(&chunk[..read]);
                    self.buffer.extend(&chunk[..read]);
                }
                Kind::Datagrams(socket, peer) => {
                    let received = soon("the next datagram", socket.recv_from(&mut chunk)).await;
                    let (read, from) = received.unwrap();
                    *peer = Some(from);
                    self.raw.extend(&chunk[..read]);
                    if read > 8 {
                        return Some(Msg::parse(&chunk[..read]));
                    }
                }
            }
        }
    }

    fn take(&mut self) -> Option<Msg> {
        while self.buffer.starts_with(b"\r\n") {
            self.buffer.drain(..2);
        }
        let end = find(&self.buffer, b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(0, |text| text.trim().parse().unwrap());
        if self.buffer.len() < end + length {
            return None;
        }
        let message: Vec<u8> = self.buffer.drain(..end + length).collect();
        Some(Msg::parse(&message))
    }

    /// The next request of this method; repeated others are skipped.
    pub(crate) async fn want(&mut self, method: &str) -> Msg {
        loop {
            let message = self.recv().await.unwrap_or_else(|| panic!("closed before {method}"));
            if message.is(method) {
                return message;
            }
        }
    }

    /// The next response; it has to have this code.
    pub(crate) async fn want_code(&mut self, code: u16) -> Msg {
        loop {
            let message = self.recv().await.unwrap_or_else(|| panic!("closed before {code}"));
            if message.code() != 0 {
                assert_eq!(message.code(), code, "{message:?}");
                return message;
            }
        }
    }

    pub(crate) async fn closed(&mut self) {
        while let Some(message) = self.recv().await {
            assert_eq!(message.code(), 0, "{message:?}");
        }
    }

    pub(crate) fn contact(&self) -> String {
        let transport = self.name.to_ascii_lowercase();
        format!("Contact: <sip:callee@{};transport={transport}>\r\n", self.address)
    }

    /// A response to this request.
    pub(crate) fn response(&self, request: &Msg, status: &str, extra: &str, body: &str) -> String {
        self.tagged(request, status, TAG, extra, body)
    }

    pub(crate) fn tagged(
        &self,
        request: &Msg,
        status: &str,
        tag: &str,
        extra: &str,
        body: &str,
    ) -> String {
        let vias: String = request.all("via").iter().map(|via| format!("Via: {via}\r\n")).collect();
        let to = request.get("to");
        let to = if to.contains("tag=") || status.starts_with("100") {
            to.to_owned()
        } else {
            format!("{to};tag={tag}")
        };
        let (from, id, cseq) = (request.get("from"), request.get("call-id"), request.get("cseq"));
        let contact = if extra.contains("Contact:") || extra.contains("NoContact") {
            String::new()
        } else {
            self.contact()
        };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let length = body.len();
        format!(
            "SIP/2.0 {status}\r\n{vias}From: {from}\r\nTo: {to}\r\nCall-ID: {id}\r\nCSeq: {cseq}\r\n{contact}{extra}{kind}Content-Length: {length}\r\n\r\n{body}"
        )
    }

    /// A request of the callee within the call.
    pub(crate) fn request(
        &self,
        invite: &Msg,
        method: &str,
        cseq: u32,
        extra: &str,
        body: &str,
    ) -> String {
        let to = invite.get("to");
        let from = if to.contains("tag=") { to.to_owned() } else { format!("{to};tag={TAG}") };
        self.request_as(invite, method, cseq, &from, invite.get("from"), extra, body)
    }

    #[expect(clippy::too_many_arguments, reason = "each is one field of the message")]
    pub(crate) fn request_as(
        &self,
        invite: &Msg,
        method: &str,
        cseq: u32,
        from: &str,
        to: &str,
        extra: &str,
        body: &str,
    ) -> String {
        let uri = invite.get("contact").trim_matches(['<', '>']).to_owned();
        let id = invite.get("call-id");
        let branch = format!("z9hG4bKcallee{cseq}{method}{}", from.len() + to.len());
        let kind = if body.is_empty() || extra.contains("Content-Type") {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        let (contact, length, name, address) =
            (self.contact(), body.len(), self.name, self.address);
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{name} {address};branch={branch};rport\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {id}\r\nCSeq: {cseq} {method}\r\n{contact}{extra}{kind}Content-Length: {length}\r\n\r\n{body}"
        )
    }

    /// Rings, answers, and takes the ACK.
    pub(crate) async fn answer(&mut self, extra: &str) -> (Msg, Msg) {
        let invite = self.want("INVITE").await;
        self.send(self.response(&invite, "180 Ringing", "", "")).await;
        self.send(self.response(&invite, "200 OK", extra, &sdp(40000, "sendrecv"))).await;
        let ack = self.want("ACK").await;
        (invite, ack)
    }

    /// The callee hangs up.
    pub(crate) async fn bye(&mut self, invite: &Msg, cseq: u32) {
        self.send(self.request(invite, "BYE", cseq, "", "")).await;
        self.want_code(200).await;
    }

    /// Takes our BYE.
    pub(crate) async fn take_bye(&mut self) -> Msg {
        let bye = self.want("BYE").await;
        self.send(self.response(&bye, "200 OK", "", "")).await;
        bye
    }
}

pub(crate) fn sdp(port: u16, direction: &str) -> String {
    format!(
        "v=0\r\no=exo 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na={direction}\r\n"
    )
}

enum Door {
    Tcp(TcpListener),
    Udp(Arc<UdpSocket>),
}

/// Where calls arrive.
pub(crate) struct Callee {
    door: Door,
    pub(crate) address: SocketAddr,
    pub(crate) transport: Transport,
}

impl Callee {
    pub(crate) async fn new(transport: Transport) -> Self {
        let (door, address) = if transport == Transport::Udp {
            let socket = UdpSocket::bind((HERE, 0)).await.unwrap();
            let address = socket.local_addr().unwrap();
            (Door::Udp(Arc::new(socket)), address)
        } else {
            let listener = TcpListener::bind((HERE, 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            (Door::Tcp(listener), address)
        };
        Self { door, address, transport }
    }

    pub(crate) async fn stream(&self) -> TcpStream {
        let Door::Tcp(listener) = &self.door else { panic!("no connections") };
        let (stream, _) = soon("a connection", listener.accept()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    pub(crate) async fn line(&self) -> Line {
        match &self.door {
            Door::Tcp(_) => Line::stream(self.stream().await, self.address, "TCP"),
            Door::Udp(socket) => Line {
                kind: Kind::Datagrams(socket.clone(), None),
                buffer: Vec::new(),
                raw: Vec::new(),
                address: self.address,
                name: "UDP",
            },
        }
    }

    pub(crate) fn invite(&self) -> Invite {
        let number: u64 = rand::random();
        Invite {
            call_id: format!("call-{number:x}@test"),
            to_user: "09999000001".to_owned(),
            address: self.address.to_string().parse::<HostPort>().unwrap(),
            transport: self.transport,
            proxies: Vec::new(),
            from_user: "01234567890".to_owned(),
            from_host: Some("acc.pstn.example.com".to_owned()),
            from_display: Some("01234567890".to_owned()),
            credentials: None,
            headers: vec![("X-Test".to_owned(), "1".to_owned())],
            offer: sdp(31000, "sendrecv").into_bytes(),
            allowed: vec!["127.0.0.0/8".parse().unwrap()],
        }
    }
}

/// A call that was just placed.
pub(crate) struct Placed {
    pub(crate) agent: UserAgent,
    pub(crate) callee: Callee,
    pub(crate) line: Line,
    pub(crate) dialog: Dialog,
    pub(crate) events: Events,
}

pub(crate) fn settings() -> Settings {
    let mut settings = Settings::new(HERE);
    settings.udp = Some(SocketAddr::new(HERE, 0));
    settings.tcp = Some(SocketAddr::new(HERE, 0));
    settings
}

pub(crate) async fn agent() -> UserAgent {
    UserAgent::start(settings()).await.unwrap()
}

pub(crate) async fn place_as(
    agent: UserAgent,
    transport: Transport,
    change: impl FnOnce(&mut Invite),
) -> Placed {
    let callee = Callee::new(transport).await;
    let mut invite = callee.invite();
    change(&mut invite);
    let (dialog, events) = soon("the call", agent.invite(invite)).await.unwrap();
    let line = callee.line().await;
    Placed { agent, callee, line, dialog, events }
}

pub(crate) async fn place(transport: Transport) -> Placed {
    place_as(agent().await, transport, |_| {}).await
}

impl Placed {
    /// The next event.
    pub(crate) async fn event(&mut self) -> Event {
        soon("an event", self.events.next()).await.expect("the events are over")
    }

    /// The end; it must be the last event.
    pub(crate) async fn end(&mut self) -> End {
        loop {
            if let Event::Ended(end) = self.event().await {
                assert!(self.events.next().await.is_none());
                assert!(self.dialog.snapshot().is_none());
                return end;
            }
        }
    }

    pub(crate) async fn answered(&mut self) -> outdial_sip::Answered {
        loop {
            match self.event().await {
                Event::Answered(answered) => return answered,
                Event::Ringing { .. } | Event::EarlyMedia { .. } => {}
                other => panic!("{other:?} instead of an answer"),
            }
        }
    }

    /// A new connection from the callee to our listener; the same socket over UDP.
    pub(crate) async fn dial_back(&self) -> Line {
        if self.callee.transport == Transport::Udp {
            let mut line = self.callee.line().await;
            let address = self.agent.local_address(Transport::Udp).unwrap();
            if let Kind::Datagrams(_, peer) = &mut line.kind {
                *peer = Some(address);
            }
            return line;
        }
        let address = self.agent.local_address(self.callee.transport).unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        Line::stream(stream, self.callee.address, "TCP")
    }

    /// Everything ends and nothing is left.
    pub(crate) async fn finish(self) {
        soon("the shutdown", self.agent.shutdown()).await;
        assert_eq!(self.agent.stats().calls, 0);
    }
}

/// The same test over both transports at the same time.
pub(crate) async fn both<F: Future<Output = ()>>(test: impl Fn(Transport) -> F) {
    tokio::join!(Box::pin(test(Transport::Tcp)), Box::pin(test(Transport::Udp)));
}
