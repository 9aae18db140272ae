//! Signing and verifying by [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md),
//! symmetric signatures (`v1`: HMAC-SHA256, RFC 2104).
//!
//! What is signed is `{webhook-id}.{webhook-timestamp}.{body}`, the timestamp in Unix seconds.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac};
use outdial_domain::Secret;
use sha2::Sha256;

/// The header with the message's id: the same for every attempt.
pub const WEBHOOK_ID: &str = "webhook-id";
/// The header with the time of the attempt, in Unix seconds.
pub const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
/// The header with the signatures, `v1,<base64>` each, separated by spaces.
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";

/// What every secret begins with.
pub const SECRET_PREFIX: &str = "whsec_";
/// How far a message's timestamp may lie from the receiver's clock, either way: 5 minutes.
pub const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// The block size of SHA-256 in bytes. HMAC pads shorter keys to it with zeros.
const BLOCK: usize = 64;
/// The specification's bounds for a key, in bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=BLOCK;

/// A secret that signs webhooks: `whsec_` and the base64 (RFC 4648, section 4, padded) of a key of
/// 24 to 64 bytes.
///
/// ```
/// use outdial_webhooks::sign::SigningSecret;
/// let secret: SigningSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse()?;
/// assert_eq!(format!("{secret:?}"), "SigningSecret(***)");
/// assert!("C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse::<SigningSecret>().is_err());
/// # Ok::<(), outdial_webhooks::sign::SecretError>(())
/// ```
#[derive(Clone)]
pub struct SigningSecret {
    /// Never longer than [`BLOCK`].
    key: Vec<u8>,
}

/// Why a text is not a [`SigningSecret`]. Holds no part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It does not begin with `whsec_`.
    #[error("a webhook secret begins with whsec_")]
    Prefix,
    /// What follows is not base64.
    #[error("a webhook secret is whsec_ and standard base64, padded with =, without spaces")]
    Base64,
    /// The key is too short or too long.
    #[error("a webhook secret holds a key of 24 to 64 bytes, this one has {0}")]
    Length(usize),
}

impl SigningSecret {
    /// A fresh secret with 32 bytes from the thread's cryptographic generator.
    pub fn generate() -> Self {
        Self { key: rand::random::<[u8; 32]>().to_vec() }
    }

    /// The text, `whsec_…`, to hand to the receiver.
    pub fn to_secret(&self) -> Secret {
        Secret::new(format!("{SECRET_PREFIX}{}", STANDARD.encode(&self.key)))
    }

    /// One signature, `v1,<base64>`.
    ///
    /// `id` must hold no `.`, which separates the signed parts.
    pub fn sign(&self, id: &str, timestamp: DateTime<Utc>, body: &[u8]) -> String {
        let mac = self.mac(id, &timestamp.timestamp().to_string(), body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        // A key of exactly one block cannot be of a wrong length, and padding it here is what HMAC
        // does with a shorter key anyway (RFC 2104, section 2).
        let mut block = [0; BLOCK];
        block.iter_mut().zip(&self.key).for_each(|(padded, byte)| *padded = *byte);
        let mut mac = <Hmac<Sha256> as Mac>::new(&block.into());
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac
    }
}

impl FromStr for SigningSecret {
    type Err = SecretError;
    fn from_str(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(SECRET_PREFIX).ok_or(SecretError::Prefix)?;
        let key = STANDARD.decode(encoded).map_err(|_| SecretError::Base64)?;
        if KEY_BYTES.contains(&key.len()) {
            Ok(Self { key })
        } else {
            Err(SecretError::Length(key.len()))
        }
    }
}

impl TryFrom<&Secret> for SigningSecret {
    type Error = SecretError;
    fn try_from(secret: &Secret) -> Result<Self, SecretError> {
        secret.expose().parse()
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(***)")
    }
}

/// The value of the `webhook-signature` header: one signature per secret, in their order. `None`
/// without secrets, as an unsigned message has no such header.
pub fn signature_header<'a>(
    secrets: impl IntoIterator<Item = &'a SigningSecret>,
    id: &str,
    timestamp: DateTime<Utc>,
    body: &[u8],
) -> Option<String> {
    let signatures: Vec<_> =
        secrets.into_iter().map(|secret| secret.sign(id, timestamp, body)).collect();
    (!signatures.is_empty()).then(|| signatures.join(" "))
}

/// A webhook as it came in: the three headers' values, and the body before any parsing.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// [`WEBHOOK_ID`].
    pub id: &'a str,
    /// [`WEBHOOK_TIMESTAMP`].
    pub timestamp: &'a str,
    /// [`WEBHOOK_SIGNATURE`].
    pub signature: &'a str,
    /// The bytes of the body.
    pub body: &'a [u8],
}

/// Why a received webhook is not to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The timestamp is not a number of seconds.
    #[error("webhook-timestamp is not a number of Unix seconds")]
    Timestamp,
    /// The message is older than [`TOLERANCE`]: perhaps replayed.
    #[error("webhook-timestamp is more than 5 minutes ago")]
    TooOld,
    /// The message is from further in the future than [`TOLERANCE`].
    #[error("webhook-timestamp is more than 5 minutes ahead")]
    TooNew,
    /// No `v1` signature was made with one of the secrets.
    #[error("no v1 signature in webhook-signature matches")]
    Signature,
}

/// Checks that `message` was signed with one of `secrets` and is no older or newer than
/// [`TOLERANCE`]. Signatures are compared in constant time.
///
/// A message within the tolerance can still be a repetition: keep the ids seen, and answer a known
/// one with 2xx without acting on it again.
pub fn verify<'a>(
    secrets: impl IntoIterator<Item = &'a SigningSecret>,
    message: &Received<'_>,
    now: DateTime<Utc>,
) -> Result<(), VerifyError> {
    check_timestamp(message.timestamp, now)?;
    let given: Vec<_> = message
        .signature
        .split(' ')
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
        .collect();
    secrets
        .into_iter()
        .map(|secret| secret.mac(message.id, message.timestamp, message.body))
        .any(|mac| given.iter().any(|signature| mac.clone().verify_slice(signature).is_ok()))
        .then_some(())
        .ok_or(VerifyError::Signature)
}

fn check_timestamp(text: &str, now: DateTime<Utc>) -> Result<(), VerifyError> {
    // Digits only: the text itself is signed, so it must have one form.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(VerifyError::Timestamp);
    }
    let sent: i64 = text.parse().map_err(|_| VerifyError::Timestamp)?;
    let age = now.timestamp().saturating_sub(sent);
    match age {
        age if age > TOLERANCE.num_seconds() => Err(VerifyError::TooOld),
        age if age < -TOLERANCE.num_seconds() => Err(VerifyError::TooNew),
        _ => Ok(()),
    }
}
