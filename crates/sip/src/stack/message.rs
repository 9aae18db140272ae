//! Reading what the stack parsed.

use std::time::Duration;

use rsipstack::sip::{
    Header, Headers, HeadersExt, Method, Request, Response, SipMessage, StatusCodeKind,
};
use rsipstack::transaction::key::{TransactionKey, TransactionRole};

use crate::Refusal;

/// Headers of an answer that are passed on, and the length of each.
const MOST_HEADERS: usize = 32;
const LONGEST: usize = 512;

pub(super) fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.iter().find(|header| header.name().eq_ignore_ascii_case(name)).map(|h| h.value().trim())
}

/// A header for people: cut to a sane length.
fn text(headers: &Headers, name: &str) -> Option<String> {
    header(headers, name).map(cut)
}

fn cut(value: &str) -> String {
    value.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

pub(super) fn reason(headers: &Headers) -> Option<String> {
    text(headers, "Reason")
}

/// The `X-` headers.
pub(super) fn extensions(headers: &Headers) -> Vec<(String, String)> {
    let is_ours = |name: &str| name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"));
    headers
        .iter()
        .filter(|header| is_ours(header.name()))
        .take(MOST_HEADERS)
        .map(|header| (cut(header.name()), cut(header.value())))
        .collect()
}

pub(super) fn refusal(response: &Response) -> Refusal {
    let headers = &response.headers;
    let phrase = match &response.wire_reason {
        Some(phrase) => phrase.as_str(),
        None => response.status_code.text(),
    };
    Refusal {
        code: response.status_code.code(),
        phrase: cut(phrase),
        twilio_error: text(headers, "X-Twilio-Error"),
        reason: reason(headers),
        warning: text(headers, "Warning"),
        retry_after: header(headers, "Retry-After").and_then(retry_after),
    }
}

/// `Retry-After: 18000 (comment);duration=3600`
pub(super) fn retry_after(value: &str) -> Option<Duration> {
    let digits: &str = value.trim().split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse::<u32>().ok().map(|seconds| Duration::from_secs(seconds.into()))
}

pub(super) fn call_id(message: &SipMessage) -> Option<&str> {
    match message {
        SipMessage::Request(request) => request.call_id_header(),
        SipMessage::Response(response) => response.call_id_header(),
    }
    .ok()
    .map(|header| header.value().trim())
}

pub(super) fn to_tag(headers: &impl HeadersExt) -> Option<String> {
    headers.to_header().ok()?.tag().ok()?.map(|tag| tag.value().to_owned())
}

pub(super) fn from_tag(headers: &impl HeadersExt) -> Option<String> {
    headers.from_header().ok()?.tag().ok()?.map(|tag| tag.value().to_owned())
}

/// The SDP of a message; empty if there is none.
pub(super) fn sdp(headers: &Headers, body: &[u8]) -> Vec<u8> {
    let kind = header(headers, "Content-Type").unwrap_or("application/sdp");
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/sdp") { body.to_vec() } else { Vec::new() }
}

/// The method that a response answers.
pub(super) fn answers(response: &Response) -> Option<Method> {
    response.cseq_header().ok()?.method().ok()
}

pub(super) fn is_success(response: &Response) -> bool {
    response.status_code.kind() == StatusCodeKind::Successful
}

/// Whether the stack can work with it. It looks for these in its one receiving task, where a panic would end everything.
pub(super) fn is_sound(message: &SipMessage) -> bool {
    let look = || match message {
        SipMessage::Request(request) => {
            let role = TransactionRole::Server;
            TransactionKey::from_request(request, role).is_ok()
                && request.to_header().is_ok_and(|to| to.tag().is_ok())
        }
        SipMessage::Response(response) => {
            let _ = response.has_multiple_vias();
            TransactionKey::from_response(response, TransactionRole::Client).is_ok()
                && response.to_header().is_ok_and(|to| to.tag().is_ok())
        }
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(look)).unwrap_or(false)
}

pub(super) fn contact_uri(request: &Request) -> Option<rsipstack::sip::Uri> {
    use rsipstack::sip::prelude::ToTypedHeader;
    request.contact_header().ok()?.typed().ok().map(|contact| contact.uri)
}

pub(super) fn response_contact(response: &Response) -> Option<rsipstack::sip::Uri> {
    use rsipstack::sip::prelude::ToTypedHeader;
    response.contact_header().ok()?.typed().ok().map(|contact| contact.uri)
}

/// The Record-Route headers of an answer, in the order of our requests.
pub(super) fn route_set(response: &Response) -> Vec<String> {
    let mut routes: Vec<String> = response
        .record_route_headers()
        .into_iter()
        .filter_map(|header| {
            rsipstack::sip::typed::RecordRoute::parse_header_list(header.value()).ok()
        })
        .flatten()
        .map(|route| format!("<{}>", route.uri))
        .collect();
    routes.reverse();
    routes
}

pub(super) fn other(name: &str, value: impl Into<String>) -> Header {
    Header::Other(name.to_owned(), value.into())
}

#[cfg(test)]
mod tests;
