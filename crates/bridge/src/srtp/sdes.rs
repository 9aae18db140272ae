//! The lines `a=crypto:` of RFC 4568: one suite and one key each, and nothing that needs more.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::fmt;

/// 16 bytes of master key, then 14 of master salt: the same for both suites.
const KEY_AND_SALT: usize = 30;

/// At 50 packets a second 2^20 of them last 5.8 hours. Keys that last shorter would have to be
/// renewed during a call, which is not done here.
const SHORTEST_LIFETIME: u64 = 1 << 20;

/// What encrypts and authenticates the packets (RFC 4568, 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Suite {
    /// `AES_CM_128_HMAC_SHA1_80`: tags of 10 bytes.
    Sha1_80,
    /// `AES_CM_128_HMAC_SHA1_32`: tags of 4 bytes on RTP, of 10 on RTCP.
    Sha1_32,
}

impl Suite {
    /// All, the one that is liked best first.
    pub(crate) const ALL: [Suite; 2] = [Suite::Sha1_80, Suite::Sha1_32];

    /// Its name in SDP.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Suite::Sha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Suite::Sha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    fn named(name: &str) -> Option<Suite> {
        Suite::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
    }
}

/// What one side encrypts with: master key and salt. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct MasterKey {
    suite: Suite,
    key_and_salt: [u8; KEY_AND_SALT],
}

impl MasterKey {
    /// A new one, from the system's generator.
    pub(crate) fn generate(suite: Suite) -> Self {
        Self { suite, key_and_salt: rand::random() }
    }

    /// The suite it is for.
    pub(crate) fn suite(&self) -> Suite {
        self.suite
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key_and_salt[..16]
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.key_and_salt[16..]
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// The keys of a stream: each side has its own (RFC 4568, 6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MediaKeys {
    /// What we encrypt with.
    pub(crate) send: MasterKey,
    /// What the peer encrypts with.
    pub(crate) receive: MasterKey,
}

/// One line `a=crypto:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CryptoLine {
    /// An answer names the line that it takes by this number.
    pub(crate) tag: u32,
    /// The key of the side that wrote the line.
    pub(crate) key: MasterKey,
}

/// Why a line `a=crypto:` cannot be used. Says nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CryptoLineError {
    /// Not the form of RFC 4568, 9.1.
    #[error("it is not well-formed")]
    Malformed,
    /// A suite that is not spoken here.
    #[error("its suite is unknown")]
    UnknownSuite,
    /// Several keys, or a key with an index (MKI).
    #[error("it has several keys or a key index (MKI)")]
    KeyIndex,
    /// The key would have to be renewed during a call.
    #[error("its key lasts for too few packets")]
    ShortLived,
    /// Session parameters change what is encrypted, and how.
    #[error("it has session parameters")]
    SessionParameters,
}

impl CryptoLine {
    /// What to offer: each suite with a new key of its own.
    pub(crate) fn offer() -> Vec<CryptoLine> {
        let line = |(tag, suite)| CryptoLine { tag, key: MasterKey::generate(suite) };
        (1..).zip(Suite::ALL).map(line).collect()
    }

    /// Reads what stands behind `a=crypto:`.
    pub(crate) fn parse(value: &str) -> Result<CryptoLine, CryptoLineError> {
        let mut words = value.split_ascii_whitespace();
        let mut word = || words.next().ok_or(CryptoLineError::Malformed);
        let (tag, suite, key) = (word()?, word()?, word()?);
        let tag = digits(tag, 9).ok_or(CryptoLineError::Malformed)?;
        let tag = u32::try_from(tag).map_err(|_| CryptoLineError::Malformed)?;
        let suite = Suite::named(suite).ok_or(CryptoLineError::UnknownSuite)?;
        let key_and_salt = parse_key(key)?;
        // A hint for how late a packet may be says nothing that the peer needs to know.
        if words.any(|parameter| !parameter.starts_with("WSH=")) {
            return Err(CryptoLineError::SessionParameters);
        }
        Ok(CryptoLine { tag, key: MasterKey { suite, key_and_salt } })
    }

    /// What stands behind `a=crypto:`. It holds the key: for the SDP alone, never for a log.
    pub(crate) fn to_value(&self) -> String {
        let key = STANDARD.encode(self.key.key_and_salt);
        format!("{} {} inline:{key}", self.tag, self.key.suite.name())
    }
}

/// `inline:` key and salt in base64, `|` lifetime, `|` MKI `:` its length.
fn parse_key(text: &str) -> Result<[u8; KEY_AND_SALT], CryptoLineError> {
    let malformed = CryptoLineError::Malformed;
    let (method, text) = text.split_once(':').ok_or(malformed)?;
    if !method.eq_ignore_ascii_case("inline") {
        return Err(malformed);
    }
    if text.contains(';') {
        return Err(CryptoLineError::KeyIndex);
    }
    let mut parts = text.split('|');
    let key = parts.next().ok_or(malformed)?;
    for part in parts {
        if part.contains(':') {
            return Err(CryptoLineError::KeyIndex);
        }
        if lifetime(part).ok_or(malformed)? < SHORTEST_LIFETIME {
            return Err(CryptoLineError::ShortLived);
        }
    }
    let key = STANDARD.decode(key).map_err(|_| malformed)?;
    key.try_into().map_err(|_| malformed)
}

/// In packets: `2^31`, or plain digits.
fn lifetime(text: &str) -> Option<u64> {
    match text.strip_prefix("2^") {
        Some(exponent) => 1u64.checked_shl(u32::try_from(digits(exponent, 2)?).ok()?),
        None => digits(text, 15),
    }
}

/// A number without sign, of at most so many digits.
fn digits(text: &str, most: usize) -> Option<u64> {
    let plain = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}
