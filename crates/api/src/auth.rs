//! Who makes a request.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use outdial_domain::{AccountId, ApiKeyToken};
use outdial_engine::Caller;

use crate::code::ErrorCode;
use crate::error::{ApiError, Result};
use crate::state::ApiState;

/// The header of an API key.
pub(crate) const API_KEY: &str = "x-api-key";

/// A request with a good API key, within its rate limit.
pub(crate) struct Auth(Caller);

impl Auth {
    pub(crate) fn account(&self) -> &AccountId {
        &self.0.account_id
    }

    /// Refuses keys that are not administrators'.
    pub(crate) fn admin(&self) -> Result<()> {
        if self.0.admin {
            return Ok(());
        }
        let message = "this API key may not create keys";
        Err(ApiError::new(ErrorCode::Forbidden, message).hint("use a key with admin: true"))
    }
}

impl FromRequest for Auth {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let token = token(request.headers())?;
            let state = request
                .app_data::<Data<ApiState>>()
                .ok_or_else(|| ApiError::new(ErrorCode::Internal, "the API is not configured"))?;
            let caller = state.engine().authenticate(&token).await?;
            let caller = caller.ok_or_else(|| refused("the API key is unknown or revoked"))?;
            request.extensions_mut().insert(caller.key_id.clone());
            state.count(&caller.key_id).map_err(|wait| {
                ApiError::new(ErrorCode::TooManyRequests, "too many requests with this API key")
                    .retry_after(wait)
            })?;
            Ok(Self(caller))
        })
    }
}

fn refused(message: &'static str) -> ApiError {
    ApiError::new(ErrorCode::Unauthorized, message)
        .hint("send your API key as x-api-key, or as Authorization: Bearer")
}

/// The one token that all credentials of a request agree on.
fn token(headers: &HeaderMap) -> Result<ApiKeyToken> {
    let malformed = || refused("the API key is malformed");
    let keys = headers.get_all(API_KEY).map(|value| value.to_str().ok());
    let bearers = headers.get_all(AUTHORIZATION).map(|value| bearer(value.to_str().ok()?));
    let mut found: Option<&str> = None;
    for credential in keys.chain(bearers) {
        let credential = credential.map(str::trim).ok_or_else(malformed)?;
        match found {
            Some(other) if other != credential => {
                return Err(refused("two different API keys were sent"));
            }
            _ => found = Some(credential),
        }
    }
    let text = found.ok_or_else(|| refused("the API key is missing"))?;
    text.parse().map_err(|_| malformed())
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    const GOOD: &str = "AK_abc.0123456789abcdefghij";

    fn check(headers: &[(&str, &str)], expect: Result<(), &str>) {
        let request = headers
            .iter()
            .fold(TestRequest::default(), |request, header| request.append_header(*header));
        let got = token(request.to_http_request().headers()).map(|_| ());
        match (got, expect) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(part)) if error.to_string().contains(part) => {}
            (got, _) => panic!("{headers:?}: {got:?}"),
        }
    }

    #[test]
    fn both_headers_are_read_and_must_agree() {
        let bearer = format!("Bearer {GOOD}");
        check(&[], Err("missing"));
        check(&[("x-api-key", GOOD)], Ok(()));
        check(&[("X-API-KEY", GOOD), ("authorization", &bearer)], Ok(()));
        check(&[("authorization", &bearer)], Ok(()));
        check(&[("authorization", &format!("bearer  {GOOD}"))], Ok(()));
        check(&[("authorization", GOOD)], Err("malformed"));
        check(&[("authorization", "Basic YTpi")], Err("malformed"));
        check(&[("authorization", "Bearer")], Err("malformed"));
        check(&[("x-api-key", "")], Err("malformed"));
        check(&[("x-api-key", "nonsense")], Err("malformed"));
        check(&[("x-api-key", "k\u{e9}y")], Err("malformed"));
        check(
            &[("x-api-key", "AK_other.0123456789abcdefghij"), ("authorization", &bearer)],
            Err("two different"),
        );
        check(&[("x-api-key", GOOD), ("x-api-key", GOOD)], Ok(()));
        check(
            &[("x-api-key", GOOD), ("x-api-key", "AK_x.0123456789abcdefghij")],
            Err("two different"),
        );
    }
}
