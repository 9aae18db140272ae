//! The WebSocket of the signal connection, with small buffers.
//!
//! The built-in client of `livekit-net` reads into 128 KiB, which is most of what a participant
//! costs. Signal messages are small and rare.

use async_trait::async_trait;
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use http::header::{HeaderName, HeaderValue};
use livekit_net::{Header, TransportError, WsClient, WsConnectResult, WsConnection};
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::Mutex};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Error, Message, client::IntoClientRequest as _, protocol::WebSocketConfig},
};

const READ_BUFFER: usize = 4096;
/// The server's own limit for a frame.
const MAX_MESSAGE: usize = 16 << 20;
/// The built-in client of `livekit-net` knows proxies, this one does not.
const PROXY_VARIABLES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// Registers the client for the process, unless a proxy is set or another client is registered.
pub(crate) fn register() {
    if PROXY_VARIABLES.iter().all(|name| std::env::var_os(name).is_none()) {
        livekit_net::set_ws_client(Arc::new(Client));
    }
}

struct Client;

#[async_trait]
impl WsClient for Client {
    async fn connect(
        &self,
        url: String,
        headers: Vec<Header>,
        timeout_ms: u64,
    ) -> Result<WsConnectResult, TransportError> {
        let mut request = url.into_client_request().map_err(refused)?;
        for header in headers {
            let name: HeaderName = header.name.parse().map_err(other)?;
            let value = HeaderValue::from_str(&header.value).map_err(other)?;
            request.headers_mut().insert(name, value);
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let connect = Box::pin(connect_async_with_config(request, Some(config), true));
        let connected = tokio::time::timeout(Duration::from_millis(timeout_ms), connect).await;
        let (socket, _) = connected.map_err(|_| TransportError::Timeout)?.map_err(refused)?;
        let (writer, reader) = socket.split();
        let connection = Connection { writer: Mutex::new(writer), reader: Mutex::new(reader) };
        Ok(WsConnectResult { connection: Arc::new(connection) })
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Connection {
    writer: Mutex<SplitSink<Socket, Message>>,
    reader: Mutex<SplitStream<Socket>>,
}

#[async_trait]
impl WsConnection for Connection {
    async fn send(&self, frame: Vec<u8>) -> Result<(), TransportError> {
        self.writer.lock().await.send(Message::Binary(frame.into())).await.map_err(refused)
    }

    async fn recv(&self) -> Result<Option<Vec<u8>>, TransportError> {
        let mut reader = self.reader.lock().await;
        loop {
            match reader.next().await {
                Some(Ok(Message::Binary(data))) => return Ok(Some(data.to_vec())),
                Some(Ok(Message::Close(_))) | None => return Ok(None),
                // tungstenite answers pings by itself when it reads on
                Some(Ok(_)) => {}
                // servers often close without the closing handshake
                Some(Err(Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(_))) => {
                    return Ok(None);
                }
                Some(Err(error)) => return Err(refused(error)),
            }
        }
    }

    async fn close(&self) {
        // the peer may be gone already
        let _ = self.writer.lock().await.close().await;
    }
}

fn refused(error: Error) -> TransportError {
    match error {
        Error::Http(response) => TransportError::Http { status: response.status().as_u16() },
        error => TransportError::Connection(error.to_string()),
    }
}

fn other(error: impl std::error::Error) -> TransportError {
    TransportError::Other(error.to_string())
}
