//! Requests within an answered call: what the callee asks, and our session refreshes.

use std::sync::Arc;
use std::time::Duration;

use rsipstack::dialog::dialog::{Dialog as StackDialog, TransactionHandle};
use rsipstack::sip::{Header, HeadersExt, Method, Request, Response, StatusCode};
use tokio::task::JoinHandle;

use super::call::Call;
use super::reply::Reply;
use super::{Shared, lock, message};
use crate::session::{Asked, Duty, Refresher, SessionExpires};
use crate::{Event, Info, Offer, Settings};

/// A refresh that met another request is tried again after half of this.
pub(super) const RETRY: Duration = Duration::from_secs(8);

pub(super) fn info(request: &Request) -> Info {
    let content_type = message::header(&request.headers, "Content-Type").unwrap_or_default();
    Info { content_type: content_type.to_owned(), body: request.body.clone() }
}

/// A re-INVITE or UPDATE. `None` if it was refused here; an event if the owner has to answer it.
pub(super) async fn on_offer(
    call: &Arc<Call>,
    request: Request,
    handle: TransactionHandle,
    settings: &Settings,
) -> Option<(Option<Event>, Option<Duty>)> {
    let least = settings.timers.min_session;
    let asked = Asked::of(message::header(&request.headers, "Session-Expires"), least);
    let mut headers = vec![Header::Supported("timer".into())];
    let duty = match asked {
        Asked::Nothing => None,
        Asked::TooShort => {
            let min = vec![message::other("Min-SE", least.as_secs().to_string())];
            let _ = handle.respond(StatusCode::SessionIntervalTooSmall, Some(min), None).await;
            return None;
        }
        Asked::Granted { header, duty } => {
            headers.push(message::other("Session-Expires", header));
            headers.push(Header::Require("timer".into()));
            Some(duty)
        }
    };
    // A request that may change the session also says where the next requests go.
    if let Some(uri) = message::contact_uri(&request) {
        let contact = request.contact_header().ok().cloned();
        StackDialog::Invite(call.dialog.clone()).set_remote_target(uri, contact);
    }
    let sdp = message::sdp(&request.headers, &request.body);
    let method = if request.method == Method::Invite { "INVITE" } else { "UPDATE" };
    if method == "UPDATE" && sdp.is_empty() {
        let _ = handle.respond(StatusCode::OK, Some(headers), None).await;
        return Some((None, duty));
    }
    let reply = Reply::new(handle, call.clone(), headers);
    let offer = Offer { sdp: (!sdp.is_empty()).then_some(sdp), method, reply };
    Some((Some(Event::Offer(offer)), duty))
}

/// What a session refresh came to.
pub(super) enum Refreshed {
    /// The next duty.
    Done(Duty),
    /// The session has no timer any more.
    Over,
    /// Try again soon.
    Later,
    /// The callee does not know the call, or does not refresh.
    Gone(u16),
}

/// Refreshes by UPDATE, or by re-INVITE with our last SDP where UPDATE is not taken.
pub(super) fn refresh(
    shared: &Arc<Shared>,
    call: &Arc<Call>,
    every: Duration,
) -> JoinHandle<Refreshed> {
    let (call, least) = (call.clone(), shared.settings.timers.min_session);
    let stop = shared.stop.clone();
    let work = async move {
        if !call.is_usable() {
            return Refreshed::Later;
        }
        match update(&call, every).await {
            None => Refreshed::Later,
            Some(response) if message::is_success(&response) => next(&response, every, least),
            Some(response) if response.status_code == StatusCode::SessionIntervalTooSmall => {
                let least = message::header(&response.headers, "Min-SE")
                    .and_then(SessionExpires::parse)
                    .map_or(every * 2, |min| min.after.max(every));
                let again = update(&call, least).await;
                judge(again, least, least)
            }
            Some(response) if lacks_update(&response.status_code) => {
                judge(reinvite(&call, every).await, every, least)
            }
            other => judge(other, every, least),
        }
    };
    shared.tasks.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => Refreshed::Over,
            refreshed = work => refreshed,
        }
    })
}

fn lacks_update(code: &StatusCode) -> bool {
    matches!(code, StatusCode::MethodNotAllowed | StatusCode::NotImplemented)
}

fn judge(response: Option<Response>, every: Duration, least: Duration) -> Refreshed {
    match response {
        Some(response) if message::is_success(&response) => next(&response, every, least),
        Some(response) => match response.status_code.code() {
            // The callee asks something at the same time, or is busy.
            491 | 500 | 503 => Refreshed::Later,
            code => Refreshed::Gone(code),
        },
        None => Refreshed::Later,
    }
}

fn next(response: &Response, every: Duration, least: Duration) -> Refreshed {
    match message::header(&response.headers, "Session-Expires") {
        // Without the header the session has no timer any more.
        None => Refreshed::Over,
        Some(header) => {
            Refreshed::Done(Duty::from_response(header, least).unwrap_or(Duty::Refresh { every }))
        }
    }
}

fn headers(every: Duration) -> Vec<Header> {
    vec![
        Header::Supported("timer".into()),
        message::other("Session-Expires", SessionExpires::header(every, Refresher::Uac)),
    ]
}

async fn update(call: &Call, every: Duration) -> Option<Response> {
    call.dialog.update(Some(headers(every)), None).await.ok().flatten()
}

async fn reinvite(call: &Call, every: Duration) -> Option<Response> {
    let mut headers = headers(every);
    headers.push(Header::ContentType("application/sdp".into()));
    let sdp = lock(&call.our_sdp).clone();
    call.dialog.reinvite(Some(headers), Some(sdp)).await.ok().flatten()
}
