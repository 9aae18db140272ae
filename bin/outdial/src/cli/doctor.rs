//! `outdial doctor`.

use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outdial_domain::ports::{Recordings as _, Rooms as _, WebhookRequest, WebhookSender as _};

use super::{doctor_sip, doctor_store, out};
use crate::data_dir::{self, DataDir};
use crate::server::{parts, store};
use crate::settings::{LiveKit, Settings, Sources};

/// How long anything outside may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// When this program was not yet written, in Unix seconds: 2026-01-01.
const BEFORE_THIS_PROGRAM: i64 = 1_767_225_600;
/// LiveKit's tokens are valid for minutes.
const WORST_SKEW_SECS: i64 = 60;

/// What came of a look at one thing: what was found, and for all but `Ok` what to do.
pub(super) enum Finding {
    Ok(String),
    Warn(String),
    Fail(String),
}

/// Looks at everything a server needs; fails when it could not do its work.
pub(super) async fn examine(sources: &Sources) -> anyhow::Result<ExitCode> {
    let settings = match Settings::load(sources) {
        Ok(settings) => settings,
        Err(error) => {
            report("settings", &Finding::Fail(error.to_string()))?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let mut findings = vec![
        ("settings", Finding::Ok("all values are good".to_owned())),
        ("clock", clock(Utc::now())),
        ("data_dir", data_dir(&settings)),
    ];
    findings.push(("store", doctor_store::examine(&settings).await));
    findings.push(("server", bind(&settings)));
    findings.push(("livekit", livekit(settings.livekit.as_ref()).await));
    findings.push(("sip", doctor_sip::examine(settings.sip.as_ref())));
    findings.push(("recording", recordings(&settings).await));
    findings.push(("webhooks", webhooks(&settings).await));
    let mut failed = false;
    for (what, finding) in &findings {
        failed |= matches!(finding, Finding::Fail(_));
        report(what, finding)?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn report(what: &str, finding: &Finding) -> std::io::Result<()> {
    let (mark, text) = match finding {
        Finding::Ok(text) => ("ok", text),
        Finding::Warn(text) => ("warn", text),
        Finding::Fail(text) => ("fail", text),
    };
    out::line(format_args!("{mark:4}  {what:9} {text}"))
}

fn clock(now: DateTime<Utc>) -> Finding {
    if now.timestamp() < BEFORE_THIS_PROGRAM {
        return Finding::Fail(format!("it is not {now}: set the clock, for instance with NTP"));
    }
    Finding::Ok(now.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

fn data_dir(settings: &Settings) -> Finding {
    if let Err(error) = DataDir::open(settings) {
        return Finding::Fail(format!("{error:#}"));
    }
    let folder = &settings.data_dir;
    if let Err(error) = tempfile::tempfile_in(folder) {
        return Finding::Fail(format!("{} cannot be written: {error}", folder.display()));
    }
    match data_dir::mode(folder) {
        Ok(mode) if mode & 0o007 != 0 => Finding::Warn(format!(
            "{path} is open to everybody on this machine: run chmod 700 {path}",
            path = folder.display()
        )),
        _ => Finding::Ok(format!("{} can be written", folder.display())),
    }
}

fn bind(settings: &Settings) -> Finding {
    let address = settings.server.bind;
    match TcpListener::bind(address) {
        Ok(_) => Finding::Ok(format!("{address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Finding::Warn(format!(
            "{address} is in use: by a running outdial, or set server.bind to another address"
        )),
        Err(error) => {
            Finding::Fail(format!("{address} cannot be listened on: {error}; set server.bind"))
        }
    }
}

async fn recordings(settings: &Settings) -> Finding {
    let recorder = match parts::recorder(settings).await {
        Ok(Some(recorder)) => recorder,
        Ok(None) => return Finding::Warn("off: recordings.url is none".to_owned()),
        Err(error) => return Finding::Fail(format!("{error:#}")),
    };
    match tokio::time::timeout(PATIENCE, recorder.check()).await {
        Ok(Ok(())) => match store::recordings_are_apart(settings) {
            Some(doubt) => Finding::Warn(doubt.to_owned()),
            None => Finding::Ok("can be kept".to_owned()),
        },
        Ok(Err(error)) => Finding::Fail(error.message),
        Err(_) => Finding::Fail(format!("no answer within {PATIENCE:?}: check recordings.url")),
    }
}

async fn livekit(settings: Option<&LiveKit>) -> Finding {
    let Some(settings) = settings else {
        return Finding::Warn(
            "not set up, so only sandbox trunks work: set livekit.url, livekit.api_key and \
             livekit.api_secret"
                .to_owned(),
        );
    };
    let livekit = match parts::livekit(settings) {
        Ok(livekit) => livekit,
        Err(error) => return Finding::Fail(format!("{error:#}")),
    };
    match tokio::time::timeout(PATIENCE, livekit.check()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Finding::Fail(error.message),
        Err(_) => {
            return Finding::Fail(format!("no answer within {PATIENCE:?}: check livekit.url"));
        }
    }
    match skew(&settings.url).await {
        Some(skew) if skew.abs() > WORST_SKEW_SECS => Finding::Fail(format!(
            "reached, but its clock and this one are {} s apart: set both by NTP",
            skew.abs()
        )),
        _ => Finding::Ok("reached, and it accepts the API key".to_owned()),
    }
}

/// By how many seconds the server's clock is ahead, if it tells the time.
async fn skew(url: &str) -> Option<i64> {
    let url = match url.trim().split_once("://")? {
        ("ws", rest) => format!("http://{rest}"),
        ("wss", rest) => format!("https://{rest}"),
        _ => url.to_owned(),
    };
    let client = reqwest::Client::builder().timeout(PATIENCE).build().ok()?;
    let answer = client.head(url).send().await.ok()?;
    let date = answer.headers().get(reqwest::header::DATE)?.to_str().ok()?;
    let date = DateTime::parse_from_rfc2822(date).ok()?;
    Some(date.timestamp() - Utc::now().timestamp())
}

/// Sends a webhook to this machine: with private addresses refused it must not arrive.
async fn webhooks(settings: &Settings) -> Finding {
    let sender = match parts::webhooks(settings) {
        Ok(sender) => sender,
        Err(error) => return Finding::Fail(format!("{error:#}")),
    };
    let Some((request, listener)) = to_this_machine() else {
        return Finding::Fail("no port on 127.0.0.1 is free".to_owned());
    };
    let sending = tokio::spawn(async move { sender.send(&request).await });
    let reached = tokio::time::timeout(PATIENCE, listener.accept());
    if settings.webhooks.dangerous_allow_private {
        let reached = reached.await.is_ok_and(|accepted| accepted.is_ok());
        sending.abort();
        return match reached {
            true => Finding::Warn(
                "can be sent, also to private addresses: turn off \
                 webhooks.dangerous_allow_private outside of development"
                    .to_owned(),
            ),
            false => Finding::Fail("cannot be sent even to this machine".to_owned()),
        };
    }
    tokio::select! {
        _ = reached => Finding::Fail("private addresses can be reached: this is a bug".to_owned()),
        reply = sending => match reply {
            Ok(reply) if reply.error.is_some() => {
                Finding::Ok("can be sent, and private addresses are refused".to_owned())
            }
            _ => Finding::Fail("sending broke: this is a bug".to_owned()),
        },
    }
}

fn to_this_machine() -> Option<(WebhookRequest, tokio::net::TcpListener)> {
    let listener = TcpListener::bind("127.0.0.1:0").ok()?;
    listener.set_nonblocking(true).ok()?;
    let url = format!("http://{}/", listener.local_addr().ok()?).parse().ok()?;
    let request = WebhookRequest {
        url,
        id: "msg_doctor".to_owned(),
        timestamp: Utc::now(),
        body: b"{}".to_vec(),
        secrets: Vec::new(),
    };
    Some((request, tokio::net::TcpListener::from_std(listener).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_this_program_is_wrong() {
        assert!(matches!(clock(DateTime::UNIX_EPOCH), Finding::Fail(_)));
        assert!(matches!(clock(Utc::now()), Finding::Ok(_)));
    }

    #[tokio::test]
    async fn the_guard_is_tried_either_way() {
        let mut settings = Settings::defaults().unwrap();
        assert!(matches!(webhooks(&settings).await, Finding::Ok(_)));
        settings.webhooks.dangerous_allow_private = true;
        assert!(matches!(webhooks(&settings).await, Finding::Warn(_)));
    }
}
