//! Request bodies.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt;

use super::fields::Fields;
use super::json::parse_object;
use crate::code::ErrorCode;
use crate::error::{ApiError, Result};

/// The largest body of a request.
pub(crate) const MAX_BODY: usize = 64 * 1024;
/// The largest message of LiveKit: it repeats the room's metadata.
const MAX_PUSH: usize = 512 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// A JSON body, as it came. The extraction never fails: what is wrong is told when the body is read,
/// and so after authentication.
pub(crate) struct JsonBody(Result<Bytes>);

impl JsonBody {
    /// The raw bytes and the fields of the object.
    pub(crate) fn into_parts(self) -> Result<(Bytes, Fields)> {
        let bytes = self.0?;
        let fields = Fields::new(parse_object(&bytes)?);
        Ok((bytes, fields))
    }

    /// The fields of the object.
    pub(crate) fn fields(self) -> Result<Fields> {
        self.into_parts().map(|(_, fields)| fields)
    }

    /// The fields of the object; none when there is no body.
    pub(crate) fn optional_fields(self) -> Result<Fields> {
        match self.0 {
            Ok(bytes) if bytes.is_empty() => Ok(Fields::new(serde_json::Map::new())),
            bytes => Self(bytes).fields(),
        }
    }
}

impl FromRequest for JsonBody {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, actix_web::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let checked = check_headers(request.headers(), MAX_BODY);
        let payload = payload.take();
        Box::pin(async move {
            Ok(Self(match checked {
                Ok(()) => collect(payload, MAX_BODY).await,
                Err(error) => Err(error),
            }))
        })
    }
}

/// A message that LiveKit pushes, as it came.
pub(crate) struct PushedBody(pub(crate) Bytes);

impl FromRequest for PushedBody {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(_: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let payload = payload.take();
        Box::pin(async move { collect(payload, MAX_PUSH).await.map(Self) })
    }
}

/// Refuses by the headers alone what need not be read.
fn check_headers(headers: &HeaderMap, limit: usize) -> Result<()> {
    let length = headers.get(actix_web::http::header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    let coded = headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    if coded {
        let message = "the body's Content-Encoding is not understood";
        return Err(ApiError::field(ErrorCode::InvalidBody, "Content-Encoding", message)
            .hint("send the JSON as it is"));
    }
    // A missing Content-Type is read as JSON: the body itself tells soon enough.
    match headers.get(CONTENT_TYPE) {
        Some(kind) if !is_json(kind.as_bytes()) => Err(ApiError::field(
            ErrorCode::UnsupportedMediaType,
            "Content-Type",
            "the body's Content-Type must be application/json",
        )
        .hint("send the header Content-Type: application/json")),
        _ => Ok(()),
    }
}

fn is_json(kind: &[u8]) -> bool {
    let end = kind.iter().position(|byte| *byte == b';').unwrap_or(kind.len());
    kind[..end].trim_ascii().eq_ignore_ascii_case(b"application/json")
}

fn too_large(limit: usize) -> ApiError {
    let message = format!("the body is larger than {} KiB", limit / 1024);
    ApiError::new(ErrorCode::BodyTooLarge, message)
}

async fn collect(payload: Payload, limit: usize) -> Result<Bytes> {
    match tokio::time::timeout(BODY_TIME, read(payload, limit)).await {
        Ok(read) => read,
        Err(_) => Err(ApiError::new(
            ErrorCode::RequestTimeout,
            format!("the body did not arrive within {} s", BODY_TIME.as_secs()),
        )),
    }
}

async fn read(mut payload: Payload, limit: usize) -> Result<Bytes> {
    let Some(first) = next(&mut payload).await? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(too_large(limit));
    }
    // Most bodies come in one piece, which then need not be copied.
    let Some(second) = next(&mut payload).await? else { return Ok(first) };
    let mut whole = BytesMut::with_capacity(first.len() + second.len());
    whole.extend_from_slice(&first);
    let mut piece = Some(second);
    while let Some(bytes) = piece {
        if whole.len() + bytes.len() > limit {
            return Err(too_large(limit));
        }
        whole.extend_from_slice(&bytes);
        piece = next(&mut payload).await?;
    }
    Ok(whole.freeze())
}

async fn next(payload: &mut Payload) -> Result<Option<Bytes>> {
    payload.next().await.transpose().map_err(|error| match error {
        PayloadError::Overflow => too_large(MAX_BODY),
        error => ApiError::new(ErrorCode::InvalidBody, "the body could not be read to its end")
            .internal(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::ResponseError;
    use futures_util::stream;

    async fn collected(
        pieces: impl futures_util::Stream<Item = Result<Bytes, PayloadError>> + 'static,
    ) -> Result<Bytes> {
        collect(Payload::Stream { payload: Box::pin(pieces) }, 10).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_must_arrive_in_time() {
        let begun = stream::iter([Ok(Bytes::from_static(b"{"))]).chain(stream::pending());
        let error = collected(begun).await.unwrap_err();
        assert_eq!((error.code(), error.status_code().as_u16()), (ErrorCode::RequestTimeout, 408));
    }

    #[tokio::test]
    async fn pieces_are_joined_up_to_the_limit() {
        let pieces = |count| stream::iter((0..count).map(|_| Ok(Bytes::from_static(b"123"))));
        assert_eq!(collected(pieces(0)).await.unwrap(), "");
        assert_eq!(collected(pieces(1)).await.unwrap(), "123");
        assert_eq!(collected(pieces(3)).await.unwrap(), "123123123");
        assert_eq!(collected(pieces(4)).await.unwrap_err().code(), ErrorCode::BodyTooLarge);
        let broken = pieces(1).chain(stream::iter([Err(PayloadError::EncodingCorrupted)]));
        assert_eq!(collected(broken).await.unwrap_err().code(), ErrorCode::InvalidBody);
    }
}
