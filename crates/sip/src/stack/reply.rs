//! Answering a re-INVITE or UPDATE.

use std::sync::Arc;

use rsipstack::dialog::dialog::TransactionHandle;
use rsipstack::sip::{Header, StatusCode};

use super::call::Call;
use super::lock;

pub(crate) struct Reply {
    open: Option<Open>,
}

struct Open {
    handle: TransactionHandle,
    call: Arc<Call>,
    headers: Vec<Header>,
}

impl Reply {
    /// `headers` go into the 200.
    pub(super) fn new(handle: TransactionHandle, call: Arc<Call>, headers: Vec<Header>) -> Self {
        Self { open: Some(Open { handle, call, headers }) }
    }

    pub(crate) async fn accept(mut self, sdp: Vec<u8>) {
        let Some(Open { handle, call, mut headers }) = self.open.take() else { return };
        (*lock(&call.our_sdp)).clone_from(&sdp);
        headers.push(Header::ContentType("application/sdp".into()));
        let _ = handle.respond(StatusCode::OK, Some(headers), Some(sdp)).await;
    }

    pub(crate) async fn refuse(mut self) {
        if let Some(open) = self.open.take() {
            let _ = open.handle.reply(StatusCode::NotAcceptableHere).await;
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(open) = self.open.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                let _ = open.handle.reply(StatusCode::NotAcceptableHere).await;
            });
        }
    }
}
