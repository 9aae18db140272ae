//! Calls against sipp, which is none of our code: each row is one sipp that checks what it gets. Its exit status and our events are judged.
//! The scenarios are in `tests/peers/sipp/sip`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: a panic fails the test, and what is printed tells why"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use outdial_sip::{
    Credentials, Dialog, End, Event, Events, Invite, Refusal, Settings, Transport, UserAgent,
};
use tokio::net::{TcpListener, UdpSocket};
use tokio::process::{Child, Command};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PATIENCE: Duration = Duration::from_secs(90);
const SDP: &[u8] = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 31000 RTP/AVP 8 0 101\r\na=sendrecv\r\n";

/// When we hang up.
#[derive(Debug, Clone, Copy, PartialEq)]
enum HangUp {
    Never,
    AtOnce,
    Ringing,
    Answered,
}

/// One call.
struct Row {
    scenario: &'static str,
    /// The status and one more header, for the template of refusals.
    refusal: [&'static str; 2],
    hang_up: HangUp,
    login: bool,
    /// What has to be told, in short words.
    told: &'static str,
}

const fn row(scenario: &'static str, hang_up: HangUp, told: &'static str) -> Row {
    Row { scenario, refusal: ["", NONE], hang_up, login: false, told }
}

const fn refused(refusal: [&'static str; 2], told: &'static str) -> Row {
    Row { scenario: "refuse", refusal, hang_up: HangUp::Never, login: false, told }
}

const fn with_login(scenario: &'static str, hang_up: HangUp, told: &'static str) -> Row {
    Row { scenario, refusal: ["", NONE], hang_up, login: true, told }
}

const NONE: &str = "X-Nothing: 0";

const ROWS: &[Row] = &[
    row("answer_bye", HangUp::Never, "180 answered remote"),
    row("answer_wait", HangUp::Answered, "180 answered local"),
    row("early200", HangUp::Answered, "answered local"),
    row("early_media", HangUp::Never, "early183 answered remote"),
    row("ring", HangUp::Ringing, "180 cancelled"),
    row("trying", HangUp::AtOnce, "cancelled"),
    row("cross", HangUp::Ringing, "180 cancelled"),
    row("double200", HangUp::Never, "180 answered remote"),
    row("hold", HangUp::Never, "180 answered INVITE INVITE remote"),
    row("requests", HangUp::Never, "180 answered key5 remote"),
    row("timer", HangUp::Never, "180 answered remote"),
    row("routes", HangUp::Answered, "180 answered local"),
    row("challenge", HangUp::Never, "refused401"),
    with_login("auth401", HangUp::Answered, "180 answered local"),
    with_login("auth407", HangUp::Answered, "180 answered local"),
    refused(["486 Busy Here", NONE], "180 refused486"),
    refused(["600 Busy Everywhere", NONE], "180 refused600"),
    refused(["603 Decline", "X-Twilio-Error: 32203 blocked"], "180 refused603 32203 blocked"),
    refused(["480 Temporarily Unavailable", NONE], "180 refused480"),
    refused(["404 Not Found", NONE], "180 refused404"),
    refused(["484 Address Incomplete", NONE], "180 refused484"),
    refused(["403 Forbidden", NONE], "180 refused403"),
    refused(["500 Server Internal Error", NONE], "180 refused500"),
    refused(["503 Trunk CPS limit exceeded", "Retry-After: 7"], "180 refused503 retry7"),
    refused(["302 Moved", NONE], "180 refused302"),
    refused(["408 Request Timeout", NONE], "180 refused408"),
    refused(["488 Not Acceptable Here", NONE], "180 refused488"),
    refused(["607 Unwanted", NONE], "180 refused607"),
];

/// A port that was free a moment ago.
async fn free_port() -> u16 {
    let tcp = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = tcp.local_addr().unwrap().port();
    let udp = UdpSocket::bind((HERE, port)).await;
    if udp.is_ok() { port } else { Box::pin(free_port()).await }
}

/// sipp takes this port and the third above it. Below the range of the system, so that no other socket gets there first.
async fn media_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(22_000);
    loop {
        let port = NEXT.fetch_add(8, Ordering::Relaxed);
        let (first, second) =
            tokio::join!(UdpSocket::bind((HERE, port)), UdpSocket::bind((HERE, port + 2)));
        if first.is_ok() && second.is_ok() {
            return port;
        }
    }
}

async fn sipp(row: &Row, transport: Transport, folder: &Path) -> (Child, u16) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers/sipp/sip");
    let template = std::fs::read_to_string(root.join(row.scenario).with_extension("xml")).unwrap();
    let [status, extra] = row.refusal;
    let scenario = folder.join("scenario.xml");
    std::fs::write(&scenario, template.replace("STATUS", status).replace("EXTRA", extra)).unwrap();
    let (port, media) = (free_port().await, media_port().await);
    let mut command = Command::new("sipp");
    command
        .arg("-sf")
        .arg(scenario)
        .args(["-i", "127.0.0.1", "-p", &port.to_string(), "-mp", &media.to_string()])
        .args(["-m", "1", "-nostdin", "-timeout", "60", "-trace_err"])
        .args(["-t", if transport == Transport::Udp { "u1" } else { "t1" }])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    (command.spawn().unwrap(), port)
}

/// Until sipp listens, nothing does.
async fn place(agent: &UserAgent, row: &Row, transport: Transport, port: u16) -> (Dialog, Events) {
    let number: u64 = rand::random();
    let invite = Invite {
        call_id: format!("{number:x}@test"),
        to_user: "09999000001".to_owned(),
        address: format!("127.0.0.1:{port}").parse().unwrap(),
        transport,
        proxies: Vec::new(),
        from_user: "01234567890".to_owned(),
        from_host: Some("acc.pstn.example.com".to_owned()),
        from_display: Some("01234567890".to_owned()),
        credentials: row
            .login
            .then(|| Credentials { username: "u".to_owned(), password: "secret".to_owned() }),
        headers: Vec::new(),
        offer: SDP.to_vec(),
        allowed: vec!["127.0.0.0/8".parse().unwrap()],
    };
    let mut wait = tokio::time::interval(Duration::from_millis(50));
    loop {
        wait.tick().await;
        match agent.invite(invite.clone()).await {
            Ok(placed) => return placed,
            Err(error) if error.is_unreachable() => {}
            Err(error) => panic!("{}: {error}", row.scenario),
        }
    }
}

fn word(end: &End) -> String {
    match end {
        End::Refused(Refusal { code, twilio_error, retry_after, .. }) => {
            let error = twilio_error.as_ref().map(|error| format!(" {error}")).unwrap_or_default();
            let retry = retry_after.map(|after| format!(" retry{}", after.as_secs()));
            format!("refused{code}{error}{}", retry.unwrap_or_default())
        }
        End::RemoteHangUp { .. } => "remote".to_owned(),
        End::LocalHangUp => "local".to_owned(),
        End::Cancelled => "cancelled".to_owned(),
        other => format!("{other:?}"),
    }
}

async fn run(agent: &UserAgent, row: &Row, transport: Transport) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let (child, port) = sipp(row, transport, folder.path()).await;
    let (dialog, mut events) = place(agent, row, transport, port).await;
    let hang_up = |when: HangUp| {
        if when == row.hang_up {
            let dialog = dialog.clone();
            tokio::spawn(async move { dialog.hang_up().await });
        }
    };
    hang_up(HangUp::AtOnce);
    let mut told = Vec::new();
    while let Some(event) = events.next().await {
        told.push(match event {
            Event::Ringing { code } => {
                hang_up(HangUp::Ringing);
                code.to_string()
            }
            Event::EarlyMedia { code, .. } => format!("early{code}"),
            Event::Answered(_) => {
                hang_up(HangUp::Answered);
                "answered".to_owned()
            }
            Event::Offer(offer) => {
                let method = offer.method.to_owned();
                offer.accept(SDP.to_vec()).await;
                method
            }
            Event::Info(info) => format!("key{}", info.dtmf().map_or('?', |key| key.digit)),
            Event::Ended(end) => word(&end),
        });
    }
    let Output { status, stdout, .. } = child.wait_with_output().await.unwrap();
    let told = told.join(" ");
    if status.success() && told == row.told {
        return Ok(());
    }
    let log = std::fs::read_dir(folder.path()).unwrap().flatten();
    let log = log.filter(|file| file.path().extension().is_some_and(|kind| kind == "log"));
    let log: String =
        log.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default()).collect();
    let screen = String::from_utf8_lossy(&stdout).into_owned();
    let screen: Vec<&str> = screen.lines().rev().take(30).collect();
    Err(format!(
        "{} {transport:?}: {told:?} instead of {:?}, {status}\n{log}\n{}",
        row.scenario,
        row.told,
        screen.join("\n")
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_over_tcp_and_udp_at_once() {
    let mut settings = Settings::new(HERE);
    settings.udp = Some(SocketAddr::new(HERE, 0));
    settings.tcp = Some(SocketAddr::new(HERE, 0));
    settings.timers.min_session = Duration::from_secs(1);
    let agent = UserAgent::start(settings).await.unwrap();
    let calls = ROWS.iter().flat_map(|row| [(row, Transport::Tcp), (row, Transport::Udp)]);
    // Over UDP, sipp takes the second ACK for a repeated one and goes on waiting.
    let calls = calls.filter(|(row, by)| row.scenario != "double200" || *by == Transport::Tcp);
    let calls = calls.map(|(row, transport)| {
        let agent = &agent;
        async move {
            let call = Box::pin(run(agent, row, transport));
            let late = format!("{} {transport:?}: no end in time", row.scenario);
            tokio::time::timeout(PATIENCE, call).await.unwrap_or(Err(late))
        }
    });
    let failures: Vec<String> = join_all(calls).await.into_iter().filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{} rows failed:\n{}", failures.len(), failures.join("\n\n"));
    assert_eq!(agent.stats().calls, 0);
    agent.shutdown().await;
}
