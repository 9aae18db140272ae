//! Requests of peers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rsipstack::dialog::dialog::DialogState;
use rsipstack::sip::{Header, HeadersExt, Method, StatusCode};
use rsipstack::transaction::TransactionReceiver;
use rsipstack::transaction::transaction::Transaction;
use tokio::sync::OwnedSemaphorePermit;

use super::call::Call;
use super::{ALLOW, Shared, lock, message};

/// How long a request right behind the 200 or ACK waits for the stack to know the dialog.
const CONFIRMATION: Duration = Duration::from_millis(500);

/// Takes requests as they come.
pub(super) async fn receive(shared: Arc<Shared>, mut incoming: TransactionReceiver) {
    loop {
        let transaction = tokio::select! {
            () = shared.stop.cancelled() => return,
            transaction = incoming.recv() => transaction,
        };
        let Some(transaction) = transaction else { return };
        let Ok(permit) = shared.handling.clone().try_acquire_owned() else {
            shared.dropped_flood.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            continue;
        };
        let mut work: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(handle(shared.clone(), transaction, permit));
        // The first turn happens here, so that requests of one dialog meet it in their order. Spawned tasks run in any order, and the stack refuses an older CSeq.
        let done = std::future::poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx).is_ready())).await;
        if !done {
            shared.spawn(work);
        }
    }
}

async fn handle(shared: Arc<Shared>, mut transaction: Transaction, permit: OwnedSemaphorePermit) {
    let call_id = transaction.original.call_id_header().ok().map(|id| id.value().trim().to_owned());
    let call = call_id.and_then(|id| shared.call(&id));
    let method = transaction.original.method;
    let result = match call {
        Some(call) => within(&call, &mut transaction).await,
        None => outside(&shared, &mut transaction).await,
    };
    if let Err(error) = result {
        tracing::debug!(%method, %error, "a SIP request of a peer was not handled");
    }
    drop(permit);
}

/// A request for a call of ours.
async fn within(call: &Arc<Call>, transaction: &mut Transaction) -> rsipstack::Result<()> {
    let request = &transaction.original;
    let ours = message::to_tag(request).is_some_and(|tag| tag == call.local_tag);
    let theirs = message::from_tag(request).unwrap_or_default();
    if !ours {
        return transaction.reply(StatusCode::CallTransactionDoesNotExist).await;
    }
    if !call.confirmed.is_cancelled() && !call.is_over() {
        let _ = tokio::time::timeout(CONFIRMATION, call.confirmed.cancelled()).await;
    }
    if !call.confirmed.is_cancelled() {
        return early(transaction).await;
    }
    if matches!(call.dialog.state(), DialogState::Terminated(..))
        || call.dialog.id().remote_tag != theirs
    {
        return transaction.reply(StatusCode::CallTransactionDoesNotExist).await;
    }
    match transaction.original.method {
        Method::Bye => {
            lock(&call.wire).bye_reason = message::reason(&transaction.original.headers);
            call.dialog.clone().handle(transaction).await
        }
        Method::Invite | Method::Info | Method::Options | Method::Update => {
            call.dialog.clone().handle(transaction).await
        }
        _ => refuse_method(transaction).await,
    }
}

/// A request of an early dialog, which the stack would leave without an answer.
async fn early(transaction: &mut Transaction) -> rsipstack::Result<()> {
    match transaction.original.method {
        Method::Options => options(transaction).await,
        Method::Info => transaction.reply(StatusCode::OK).await,
        Method::Update if transaction.original.body.is_empty() => {
            transaction.reply(StatusCode::OK).await
        }
        Method::Update => transaction.reply(StatusCode::NotAcceptableHere).await,
        _ => transaction.reply(StatusCode::CallTransactionDoesNotExist).await,
    }
}

/// A request for no call of ours, from a source that is known.
async fn outside(shared: &Shared, transaction: &mut Transaction) -> rsipstack::Result<()> {
    let known = transaction
        .connection
        .as_ref()
        .and_then(|connection| connection.get_remote_addr())
        .and_then(|remote| remote.get_socketaddr().ok())
        .is_some_and(|remote| lock(&shared.peers).knows(remote.ip()));
    if !known {
        return Ok(());
    }
    if message::to_tag(&transaction.original).is_some_and(|tag| !tag.is_empty()) {
        return transaction.reply(StatusCode::CallTransactionDoesNotExist).await;
    }
    match transaction.original.method {
        Method::Options => options(transaction).await,
        Method::Invite => transaction.reply(StatusCode::Forbidden).await,
        Method::Bye | Method::Info | Method::Update => {
            transaction.reply(StatusCode::CallTransactionDoesNotExist).await
        }
        _ => refuse_method(transaction).await,
    }
}

/// What our 200 to OPTIONS says.
pub(super) fn abilities() -> Vec<Header> {
    vec![
        Header::Allow(ALLOW.into()),
        Header::Accept("application/sdp, application/dtmf-relay".into()),
        Header::Supported("timer".into()),
    ]
}

async fn options(transaction: &mut Transaction) -> rsipstack::Result<()> {
    transaction.reply_with(StatusCode::OK, abilities(), None).await
}

async fn refuse_method(transaction: &mut Transaction) -> rsipstack::Result<()> {
    let allow = vec![Header::Allow(ALLOW.into())];
    transaction.reply_with(StatusCode::MethodNotAllowed, allow, None).await
}
