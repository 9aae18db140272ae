//! The signature of a webhook: a JWT whose claim `sha256` is the hash of the body.
//!
//! Read by hand and not with a JWT crate: it is always HS256, the time is passed in, and
//! jsonwebtoken 10 takes its cryptography from a process-wide setting that another crate may own.
//! Sources: RFC 7515 section 5.2, RFC 7519 section 4.1, livekit/protocol `webhook/verifier.go`.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use outdial_domain::Secret;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How far the two clocks may be apart. LiveKit's own libraries allow as much.
const LEEWAY_SECS: i64 = 60;

/// Why a message is not taken for LiveKit's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenFault {
    #[error("the authorization is no HS256 token")]
    Malformed,
    #[error("signed with a key that is not livekit.api_key: check webhook.api_key of LiveKit")]
    UnknownKey,
    #[error("the signature is wrong: check livekit.api_secret")]
    Signature,
    #[error("the token is outside its time: check both clocks")]
    Time,
    #[error("the body is not the one that was signed")]
    Body,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    exp: i64,
    #[serde(default)]
    nbf: i64,
    #[serde(default)]
    sha256: String,
}

/// The accepted keys.
#[derive(Debug)]
pub(crate) struct Keys(Vec<(String, Secret)>);

impl Keys {
    pub(crate) fn new(keys: impl IntoIterator<Item = (String, Secret)>) -> Self {
        // An empty secret would let anyone sign.
        Self(keys.into_iter().filter(|(_, secret)| !secret.expose().is_empty()).collect())
    }

    /// Succeeds when `authorization` is a valid token for exactly this body.
    pub(crate) fn verify(
        &self,
        authorization: &str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), TokenFault> {
        let token = authorization.trim();
        let token = match token.split_once(' ') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim(),
            _ => token,
        };
        let claims = self.signed_claims(token)?;
        let now = now.timestamp();
        if now > claims.exp.saturating_add(LEEWAY_SECS)
            || now < claims.nbf.saturating_sub(LEEWAY_SECS)
        {
            return Err(TokenFault::Time);
        }
        let signed = STANDARD.decode(&claims.sha256).map_err(|_| TokenFault::Body)?;
        let hash = Sha256::digest(body);
        if bool::from(signed.ct_eq(hash.as_slice())) { Ok(()) } else { Err(TokenFault::Body) }
    }

    fn signed_claims(&self, token: &str) -> Result<Claims, TokenFault> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenFault::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenFault::Malformed)?;
        // Any other algorithm, `none` above all, is refused: we chose it, not the sender.
        if json::<Header>(header)?.alg != "HS256" {
            return Err(TokenFault::Malformed);
        }
        let claims: Claims = json(payload)?;
        let (_, secret) =
            self.0.iter().find(|(key, _)| *key == claims.iss).ok_or(TokenFault::UnknownKey)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenFault::Malformed)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
            .map_err(|_| TokenFault::Signature)?;
        mac.update(signed.as_bytes());
        mac.verify_slice(&signature).map_err(|_| TokenFault::Signature)?;
        Ok(claims)
    }
}

fn json<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, TokenFault> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenFault::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenFault::Malformed)
}
