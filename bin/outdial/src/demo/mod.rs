//! `outdial demo`: one simulated call from the request to the verified webhook, over real HTTP.

mod by_hand;
mod client;
mod receiver;
mod stage;
mod verdict;
mod view;

use std::io::{Stdout, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::Utc;
use clap::Args;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use self::stage::Stage;
use self::verdict::Evidence;
use crate::server::Shutdown;
use crate::telemetry;

type View = view::View<Stdout>;

/// How long the server may take for what does not depend on the call's length.
const PATIENCE: Duration = Duration::from_secs(20);

/// How to show it.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Leave the server running afterwards, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// How fast time passes on the phone: 1 is real time, 0.1 ten times faster
    #[arg(long, value_name = "X", default_value_t = 0.5, value_parser = time_scale)]
    time_scale: f64,
}

fn time_scale(text: &str) -> Result<f64, String> {
    let scale = text.parse().ok().filter(|scale| (0.0..=100.0).contains(scale));
    scale.ok_or_else(|| "must be a number from 0 to 100".to_owned())
}

/// Shows the demo. Succeeds only if everything truly happened.
pub(crate) async fn show(options: Options) -> anyhow::Result<ExitCode> {
    let shutdown = Shutdown::on_signals()?;
    let mut view = View::new(stdout(), telemetry::colours(stdout()));
    let mut stage = Stage::set(options.time_scale).await?;
    let played = tokio::select! {
        played = play(&mut stage, &mut view, options.keep) => played,
        () = shutdown.begun() => Err(anyhow::anyhow!("stopped before the end of the call")),
    };
    if options.keep && played.is_ok() {
        view.text("\nThe server keeps running. Ctrl-C stops it and deletes its data.")?;
        shutdown.begun().await;
    }
    let struck = stage.strike(shutdown.forced()).await;
    let all_well = played?;
    struck?;
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays the whole of it; `false` when a check failed.
async fn play(stage: &mut Stage, view: &mut View, keep_server: bool) -> anyhow::Result<bool> {
    introduce(stage, view, keep_server)?;
    let request = stage.prepare().await.context("the account could not be set up")?;
    view.fact("assistant", &format!("Order desk, {}", text(&request.body, "assistant_id")))?;
    view.fact("trunk", &format!("{}, sandbox: no phone rings", text(&request.body, "trunk_id")))?;

    view.heading(&format!("POST /call/outbound to {}", text(&request.body, "to_number")))?;
    view.begin();
    let answer = stage.client.post("/call/outbound", &request.body).await?;
    let room_name = text(&answer, "room_name").to_owned();
    view.event("answer", &format!("200, room_name {room_name}"))?;
    let (statuses, lines) = follow(stage, view, &room_name).await?;

    let webhook = timeout(PATIENCE, stage.receiver.next()).await.context("no webhook came")??;
    let arrived = Utc::now();
    view.event("webhook", &format!("POST {}, {} bytes", stage.receiver.url(), webhook.body.len()))?;
    let call = delivered(stage, &room_name).await?;
    let recording = stage.client.download(&format!("/calls/{room_name}/recording")).await?;
    let file = keep(&room_name, &recording)?;
    view.heading("The webhook's payload")?;
    view.json(std::str::from_utf8(&webhook.body).context("the webhook is not text")?)?;

    let evidence = Evidence {
        answer,
        request: request.body,
        statuses,
        lines,
        call,
        webhook,
        repeated: std::iter::from_fn(|| stage.receiver.more()).count(),
        secret: request.webhook_secret,
        recording,
        url: stage.url(),
    };
    let checks = evidence.judge(arrived);
    view.heading("Checked")?;
    for (what, held) in &checks {
        view.check(what, held.as_ref().err().map(String::as_str))?;
    }
    view.heading("The recording, the callee left and the agent right: any player plays it")?;
    view.text(&format!("  {}", file.display()))?;
    explain(stage, view, &evidence, keep_server)?;
    let failed = checks.iter().filter(|(_, held)| held.is_err()).count();
    if failed > 0 {
        view.text(&format!("\n{failed} of {} checks failed.", checks.len()))?;
    }
    Ok(failed == 0)
}

fn introduce(stage: &Stage, view: &mut View, keep: bool) -> anyhow::Result<()> {
    view.heading("outdial: a simulated call, from the request to the webhook")?;
    let data = stage.data_dir().display();
    let fate = if keep { "until Ctrl-C" } else { "deleted at the end" };
    view.fact("server", &format!("{}, data in {data} ({fate})", stage.url()))?;
    let receiver = stage.receiver.url();
    view.fact(
        "webhooks",
        &format!("to {receiver}; private addresses are allowed for this demo only"),
    )?;
    Ok(())
}

/// Shows the call as it goes on, from the server's event stream.
async fn follow(
    stage: &Stage,
    view: &mut View,
    room_name: &str,
) -> anyhow::Result<(Vec<String>, Vec<Value>)> {
    let mut events = stage.client.events(room_name).await?;
    let (mut statuses, mut lines) = (Vec::new(), Vec::new());
    let limit = stage.longest_silence();
    loop {
        let next = timeout(limit, events.next()).await;
        let Some(event) = next.with_context(|| format!("nothing happened for {limit:?}"))?? else {
            break;
        };
        if event["text"].is_string() {
            view.event(text(&event, "speaker"), text(&event, "text"))?;
            lines.push(event);
        } else if event["status"].is_string() {
            let status = text(&event, "status").to_owned();
            let ended = status == "ended";
            view.event("status", &describe(&status, &event["call"]))?;
            statuses.push(status);
            if ended {
                break;
            }
        }
    }
    if statuses.last().is_none_or(|status| status != "ended") {
        bail!("the events ended before the call, which was {}", statuses.join(", "));
    }
    Ok((statuses, lines))
}

/// Leaves the recording where the demo's end does not delete it.
fn keep(room_name: &str, recording: &[u8]) -> anyhow::Result<PathBuf> {
    let suffix = room_name.rsplit('_').next().unwrap_or(room_name);
    let file = std::env::temp_dir().join(format!("outdial-demo-{suffix}.ogg"));
    let written = std::fs::write(&file, recording);
    written.with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(file)
}

fn describe(status: &str, call: &Value) -> String {
    let words = [text(call, "outcome"), text(call, "end_reason")];
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    if words.is_empty() { status.to_owned() } else { format!("{status}: {}", words.join(", ")) }
}

/// The call's record, as soon as it says that the webhook was delivered. The endpoint has answered
/// a little before that is on record.
async fn delivered(stage: &Stage, room_name: &str) -> anyhow::Result<Value> {
    let path = format!("/calls/{room_name}");
    let recorded = async {
        loop {
            let call = stage.client.get(&path).await?;
            if call["webhook"]["state"] != "pending" {
                return anyhow::Ok(call);
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, recorded).await.context("the webhook stays pending")?
}

/// How to do the same by hand.
fn explain(stage: &Stage, view: &mut View, seen: &Evidence, keep: bool) -> anyhow::Result<()> {
    let room_name = text(&seen.answer, "room_name");
    if keep {
        view.heading("By hand, while this server runs")?;
        let (url, key) = (stage.url(), stage.client.key());
        view.text(&by_hand::with_this_server(&url, key, &seen.request, room_name))?;
    } else {
        view.heading("By hand, with a server of your own")?;
        view.text(&by_hand::from_scratch(&seen.request))?;
    }
    Ok(())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
