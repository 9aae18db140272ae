//! `/calls/{room_name}/recording`: the audio of a call.

use std::io;
use std::path::Path as FilePath;
use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    EntityTag, IF_RANGE, IfNoneMatch, IfRange, LOCATION, Range,
};
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use futures_util::stream;
use outdial_domain::ports::RecordingSource;
use outdial_domain::{Recording, RecordingState, RoomName};
use outdial_engine::EngineError;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, SeekFrom};
use tokio_util::io::ReaderStream;

use super::calls::room;
use crate::auth::Auth;
use crate::code::ErrorCode;
use crate::error::{ApiError, Result};
use crate::state::ApiState;

/// How much of a file is read at once.
const CHUNK: usize = 64 * 1024;

/// Whoever may keep it asks again before playing it: it may have been erased meanwhile.
const CACHING: &str = "private, no-cache";

const NOT_THERE: &str = "the recording is not where it was kept";

/// Get the recording
///
/// One stereo Ogg/Opus file: the callee left, the agent right. This server sends it itself, whole or
/// one range of it, or it redirects to a URL that gives it for a short time. HEAD is answered too.
#[utoipa::path(
    get,
    path = "/calls/{room_name}/recording",
    tag = "calls",
    operation_id = "get_recording",
    params(
        ("room_name" = String, Path),
        ("Range" = Option<String>, Header, description = "One range of bytes; several at once are answered with the whole file.", example = "bytes=0-65535"),
        ("If-Range" = Option<String>, Header, description = "The `ETag` of what is there already: when it is another one, the whole file is sent."),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of what is there already.")
    ),
    responses(
        (status = 200, description = "The file.", body = Vec<u8>, content_type = "audio/ogg; codecs=opus", headers(
            ("ETag" = String, description = "The SHA-256 of the file."),
            ("Accept-Ranges" = String, description = "`bytes`."),
            ("Content-Disposition" = String, description = "`inline; filename=\"call_{suffix}.ogg\"`.")
        )),
        (status = 206, description = "The range.", body = Vec<u8>, content_type = "audio/ogg; codecs=opus", headers(
            ("Content-Range" = String, description = "Which bytes, and of how many.")
        )),
        (status = 302, description = "It is kept elsewhere.", headers(
            ("Location" = String, description = "A URL that gives it, for a short time.")
        )),
        (status = 304, description = "It is there already."),
        (status = 404, description = "`call_not_found`, or `recording_not_found`: there is none, or none any more."),
        (status = 409, description = "`recording_pending`: it is not kept yet.", headers(
            ("Retry-After" = String, description = "How many seconds to wait.")
        )),
        (status = 410, description = "`call_erased`."),
        (status = 416, description = "`range_not_satisfiable`.", headers(
            ("Content-Range" = String, description = "How many bytes there are.")
        )),
    ),
)]
pub(crate) async fn read(
    state: Data<ApiState>,
    auth: Auth,
    path: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse> {
    let room = room(&path)?;
    let engine = state.engine();
    match engine.recording(auth.account(), &room).await {
        Ok((recording, RecordingSource::File(path))) => {
            send(&request, &room, &recording, &path).await
        }
        Ok((_, RecordingSource::Url(url))) => Ok(HttpResponse::Found()
            .insert_header((LOCATION, url.as_str()))
            // The next one is good for longer.
            .insert_header((CACHE_CONTROL, "no-store"))
            .finish()),
        Err(EngineError::NotFound { what: "recording" }) => {
            Err(missing(&engine.call(auth.account(), &room).await?.recording))
        }
        Err(error) => Err(error.into()),
    }
}

/// Why there is nothing to be had.
fn missing(state: &RecordingState) -> ApiError {
    let message = match state {
        RecordingState::None => "the call was not recorded".to_owned(),
        RecordingState::Lost { reason } => format!("the recording is lost: {reason}"),
        RecordingState::Expired { .. } => "the recording was deleted: its time was up".to_owned(),
        RecordingState::Available(_) | RecordingState::Pending { .. } => NOT_THERE.to_owned(),
    };
    ApiError::new(ErrorCode::RecordingNotFound, message)
}

async fn send(
    request: &HttpRequest,
    room: &RoomName,
    recording: &Recording,
    path: &FilePath,
) -> Result<HttpResponse> {
    let (mut file, bytes) = open(path).await.map_err(|error| unreadable(room, &error))?;
    let internal = |text: String| {
        ApiError::new(ErrorCode::Internal, "the recording cannot be read").internal(text)
    };
    if bytes != recording.bytes {
        return Err(internal(format!("{bytes} of {} bytes are there", recording.bytes)));
    }
    let tag: EntityTag = format!("\"{}\"", recording.sha256)
        .parse()
        .map_err(|_| internal("the SHA-256 is damaged".to_owned()))?;
    if is_known(request, &tag) {
        return Ok(HttpResponse::NotModified()
            .insert_header((ETAG, tag))
            .insert_header((CACHE_CONTROL, CACHING))
            .finish());
    }
    let (mut response, from, length) = match wanted(request, &tag, bytes)? {
        Some((from, to)) => {
            let mut response = HttpResponse::PartialContent();
            response.insert_header((CONTENT_RANGE, format!("bytes {from}-{to}/{bytes}")));
            (response, from, to - from + 1)
        }
        None => (HttpResponse::Ok(), 0, bytes),
    };
    response
        .insert_header((CONTENT_TYPE, "audio/ogg; codecs=opus"))
        .insert_header((CONTENT_DISPOSITION, disposition(room)))
        .insert_header((ACCEPT_RANGES, "bytes"))
        .insert_header((ETAG, tag))
        .insert_header((CACHE_CONTROL, CACHING));
    if request.method() == Method::HEAD {
        let nothing = stream::empty::<io::Result<Bytes>>();
        return Ok(response.body(SizedStream::new(length, nothing)));
    }
    let seek = file.seek(SeekFrom::Start(from)).await;
    seek.map_err(|error| unreadable(room, &error))?;
    let chunks = ReaderStream::with_capacity(file.take(length), CHUNK);
    Ok(response.body(SizedStream::new(length, chunks)))
}

async fn open(path: &FilePath) -> io::Result<(File, u64)> {
    let file = File::open(path).await?;
    let bytes = file.metadata().await?.len();
    Ok((file, bytes))
}

fn unreadable(room: &RoomName, error: &io::Error) -> ApiError {
    if error.kind() == io::ErrorKind::NotFound {
        tracing::error!(?room, "a recording that was kept is not there any more");
        return ApiError::new(ErrorCode::RecordingNotFound, NOT_THERE);
    }
    ApiError::new(ErrorCode::StoreUnavailable, "the recording cannot be read now")
        .retry_after(Duration::from_secs(5))
        .internal(error)
}

/// A quoted text: the suffix holds nothing that would have to be escaped.
fn disposition(room: &RoomName) -> String {
    format!("inline; filename=\"call_{}.ogg\"", room.suffix())
}

/// Whether the caller has the file already.
fn is_known(request: &HttpRequest, tag: &EntityTag) -> bool {
    match request.get_header::<IfNoneMatch>() {
        Some(IfNoneMatch::Any) => true,
        Some(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(tag)),
        None => false,
    }
}

/// The first and the last byte that are wanted of `bytes`; `None`: all of them.
fn wanted(request: &HttpRequest, tag: &EntityTag, bytes: u64) -> Result<Option<(u64, u64)>> {
    // RFC 9110: of other methods, and when it is not understood, the header is ignored.
    let Some(Range::Bytes(ranges)) =
        request.get_header().filter(|_| request.method() == Method::GET)
    else {
        return Ok(None);
    };
    // There is no Last-Modified, so a date matches nothing.
    let same = match request.get_header() {
        Some(IfRange::EntityTag(known)) => known.strong_eq(tag),
        Some(IfRange::Date(_)) => false,
        None => !request.headers().contains_key(IF_RANGE),
    };
    match ranges.as_slice() {
        [range] if same => match range.to_satisfiable_range(bytes) {
            Some(range) => Ok(Some(range)),
            None => Err(ApiError::range_not_satisfiable(bytes)),
        },
        _ => Ok(None),
    }
}
