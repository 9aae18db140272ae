//! Ending calls without the help of a dialog of the stack: after a crash, on a new connection, or when the stack gave the dialog up.

use std::net::SocketAddr;
use std::sync::Arc;

use rsipstack::dialog::authenticate::{Credential, handle_client_authenticate};
use rsipstack::dialog::dialog::DialogState;
use rsipstack::sip::{Method, Request, Response, SipMessage, StatusCode, StatusCodeKind, Uri};
use rsipstack::transaction::key::{TransactionKey, TransactionRole};
use rsipstack::transaction::transaction::Transaction;
use tokio::task::JoinHandle;

use super::call::Call;
use super::links::{self, Target};
use super::locate::{sip_addr, stack_transport};
use super::{Shared, lock, message};
use crate::syntax::{self, InvalidText};
use crate::{Credentials, DialogSnapshot, OrphanError, Transport};

/// The CSeq of an ending request leaves room for requests after the snapshot was taken.
const CSEQ_STEP: u32 = 100;
/// Routes of one dialog.
const MOST_ROUTES: usize = 16;

/// Sends BYE or CANCEL for a snapshot and waits for the answer.
pub(super) async fn end(
    shared: &Arc<Shared>,
    snapshot: &DialogSnapshot,
    credentials: Option<&Credentials>,
) -> Result<(), OrphanError> {
    let limit = shared.settings.timers.connect + shared.settings.timers.bye;
    let ending = tokio::time::timeout(limit, request(shared, snapshot, credentials)).await;
    match ending {
        Ok(Ok(code)) => judge(code),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(OrphanError::NoAnswer),
    }
}

/// There is no such call: then it is ended.
fn judge(code: u16) -> Result<(), OrphanError> {
    match code {
        200..=299 | 481 => Ok(()),
        408 => Err(OrphanError::NoAnswer),
        code => Err(OrphanError::Refused(code)),
    }
}

async fn request(
    shared: &Arc<Shared>,
    snapshot: &DialogSnapshot,
    credentials: Option<&Credentials>,
) -> Result<u16, OrphanError> {
    let request = build(shared, snapshot)?;
    let unreachable = |error: &dyn std::fmt::Display| OrphanError::Unreachable(error.to_string());
    let endpoint = shared.endpoint.get().ok_or_else(|| unreachable(&"not started"))?;
    let (address, link) = reach(shared, snapshot, &request).await?;
    lock(&shared.peers).note(address.ip().to_canonical());
    let key = TransactionKey::from_request(&request, TransactionRole::Client)
        .map_err(|_| OrphanError::Damaged("its headers"))?;
    let connection = link.as_ref().map(|link| link.connection.clone());
    let mut transaction = Transaction::new_client(key, request, endpoint.clone(), connection);
    transaction.destination = Some(sip_addr(stack_transport(snapshot.transport), address));
    let code = converse(&mut transaction, credentials).await;
    if let Some(link) = link {
        link.release();
    }
    code.map_err(|error| unreachable(&error))?.ok_or(OrphanError::NoAnswer)
}

/// Sends and waits; answers one challenge.
async fn converse(
    transaction: &mut Transaction,
    credentials: Option<&Credentials>,
) -> rsipstack::Result<Option<u16>> {
    let mut login = credentials;
    transaction.send().await?;
    while let Some(message) = transaction.receive().await {
        let SipMessage::Response(response) = message else { continue };
        if response.status_code.kind() == StatusCodeKind::Provisional {
            continue;
        }
        let challenged = matches!(
            response.status_code,
            StatusCode::Unauthorized | StatusCode::ProxyAuthenticationRequired
        );
        match login.take() {
            Some(login) if challenged => {
                let credential = Credential {
                    username: login.username.clone(),
                    password: login.password.clone(),
                    realm: None,
                    auth_username: None,
                };
                let seq = next_seq(&transaction.original);
                *transaction =
                    handle_client_authenticate(seq, transaction, response, &credential).await?;
                transaction.send().await?;
            }
            _ => return Ok(Some(response.status_code.code())),
        }
    }
    Ok(None)
}

fn next_seq(request: &Request) -> u32 {
    use rsipstack::sip::HeadersExt;
    request.cseq_header().and_then(|cseq| cseq.seq()).unwrap_or(1).saturating_add(1)
}

/// Where it goes: where the INVITE went, or, over UDP, where the route or the callee's Contact says.
async fn reach(
    shared: &Arc<Shared>,
    snapshot: &DialogSnapshot,
    request: &Request,
) -> Result<(SocketAddr, Option<Arc<links::Link>>), OrphanError> {
    if snapshot.transport != Transport::Udp {
        let target = Target {
            transport: snapshot.transport,
            address: snapshot.address,
            server_name: snapshot.server_name.clone(),
        };
        let link = links::link(shared, &target).await;
        let link = link.map_err(|error| OrphanError::Unreachable(format!("{error:?}")))?;
        return Ok((snapshot.address, Some(link)));
    }
    if !shared.listeners.contains_key(&Transport::Udp) {
        return Err(OrphanError::Unreachable("there is no listener for UDP".to_owned()));
    }
    if request.method == Method::Cancel {
        return Ok((snapshot.address, None));
    }
    let next = request.destination().host_with_port;
    let port = next.port.map_or(5060, |port| port.value());
    let found = tokio::net::lookup_host((next.host.to_string(), port)).await;
    let address = found.ok().and_then(|mut all| all.next()).unwrap_or(snapshot.address);
    Ok((address, None))
}

/// Checks everything that came out of a store, and writes the request.
fn build(shared: &Shared, snapshot: &DialogSnapshot) -> Result<Request, OrphanError> {
    let damaged = |what| move |_: InvalidText| OrphanError::Damaged(what);
    syntax::call_id(&snapshot.call_id).map_err(damaged("its Call-ID"))?;
    syntax::token(&snapshot.local_tag).map_err(damaged("its tag"))?;
    for uri in [&snapshot.local_uri, &snapshot.remote_uri, &snapshot.remote_target] {
        let parsed = syntax::uri(uri).map_err(damaged("a URI"));
        parsed.and_then(|()| {
            Uri::try_from(uri.as_str()).map_err(|_| OrphanError::Damaged("a URI"))
        })?;
    }
    let display = match &snapshot.local_display {
        Some(name) => {
            syntax::quoted(name).map_err(damaged("its display name"))?;
            format!("\"{name}\" ")
        }
        None => String::new(),
    };
    if snapshot.route_set.len() > MOST_ROUTES {
        return Err(OrphanError::Damaged("its route set"));
    }
    let mut routes = String::new();
    for route in &snapshot.route_set {
        syntax::header_value(route).map_err(damaged("its route set"))?;
        routes.push_str(&format!("Route: {route}\r\n"));
    }
    let (method, via, to_tag, cseq) = match &snapshot.remote_tag {
        Some(tag) => {
            syntax::header_value(tag).map_err(damaged("the callee's tag"))?;
            let cseq = snapshot.cseq.saturating_add(CSEQ_STEP);
            ("BYE", new_via(shared, snapshot.transport), format!(";tag={tag}"), cseq)
        }
        None => {
            syntax::header_value(&snapshot.invite_via).map_err(damaged("its Via"))?;
            routes.clear();
            ("CANCEL", snapshot.invite_via.clone(), String::new(), snapshot.cseq)
        }
    };
    let DialogSnapshot { remote_target, local_uri, local_tag, remote_uri, call_id, .. } = snapshot;
    let agent = &shared.settings.user_agent;
    let text = format!(
        "{method} {remote_target} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\n{routes}\
         From: {display}<{local_uri}>;tag={local_tag}\r\nTo: <{remote_uri}>{to_tag}\r\n\
         Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nUser-Agent: {agent}\r\n\
         Content-Length: 0\r\n\r\n"
    );
    match SipMessage::try_from(text.as_bytes()) {
        Ok(SipMessage::Request(request)) => Ok(request),
        _ => Err(OrphanError::Damaged("what it makes is no request")),
    }
}

fn new_via(shared: &Shared, transport: Transport) -> String {
    let name = match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
        Transport::Tls => "TLS",
    };
    let public = shared.public(transport);
    format!("SIP/2.0/{name} {public};branch=z9hG4bK{:016x};rport", rand::random::<u64>())
}

/// Sends BYE within the dialog and waits a bounded time. The transaction itself goes on in the background.
pub(super) fn bye(shared: &Arc<Shared>, call: &Arc<Call>) -> JoinHandle<()> {
    let (owner, call) = (shared.clone(), call.clone());
    let limit = shared.settings.timers.bye;
    let sending = shared.spawn(async move {
        if call.is_usable() {
            if let Err(error) = call.dialog.bye().await {
                tracing::debug!(call_id = call.id(), %error, "BYE could not be sent");
            }
        } else if let Some(snapshot) = call.capture()
            && let Err(error) = end(&owner, &snapshot, None).await
        {
            tracing::info!(call_id = call.id(), %error, "a call could not be hung up");
        }
    });
    shared.spawn(async move {
        let _ = tokio::time::timeout(limit, sending).await;
    })
}

/// Tries once to end a call whose connection is gone: the callee may not have noticed.
pub(super) fn abandon(shared: &Arc<Shared>, call: &Arc<Call>) {
    // The callee's BYE may have come over another connection meanwhile.
    if matches!(call.dialog.state(), DialogState::Terminated(..)) && call.confirmed.is_cancelled() {
        return;
    }
    let Some(snapshot) = call.capture() else { return };
    let (owner, call) = (shared.clone(), call.clone());
    shared.spawn(async move {
        if !call.confirmed.is_cancelled() && !call.lost().is_cancelled() {
            let _ = call.dialog.cancel().await;
        } else if let Err(error) = end(&owner, &snapshot, None).await {
            tracing::info!(call_id = call.id(), %error, "a lost call could not be ended at its peer");
        }
    });
}

/// Ends an answer that the stack made no dialog of: that of a second callee, or a strange success code.
pub(super) fn end_answer(shared: &Arc<Shared>, call: &Arc<Call>, response: &Response) {
    let Some(mut snapshot) = call.capture() else { return };
    snapshot.remote_tag = message::to_tag(response);
    snapshot.route_set = message::route_set(response);
    if let Some(contact) = message::response_contact(response) {
        snapshot.remote_target = contact.to_string();
    }
    let owner = shared.clone();
    shared.spawn(async move {
        if let Err(error) = end(&owner, &snapshot, None).await {
            tracing::info!(call_id = snapshot.call_id, %error, "a second answer could not be hung up");
        }
    });
}
