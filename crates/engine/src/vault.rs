//! Secrets at rest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use outdial_domain::{Sealed, Secret};
use rand::Rng;

/// Seals and opens secrets with one master key: XChaCha20-Poly1305, a random nonce for each.
///
/// ```
/// use outdial_engine::Vault;
/// use outdial_domain::Secret;
/// let vault = Vault::new([7; 32]);
/// let sealed = vault.seal(&Secret::new("hunter2"), "trunk:ST_1");
/// assert_eq!(vault.open(&sealed, "trunk:ST_1").unwrap().expose(), "hunter2");
/// assert!(vault.open(&sealed, "trunk:ST_2").is_err(), "a secret cannot be moved to another row");
/// ```
pub struct Vault {
    cipher: XChaCha20Poly1305,
}

/// A secret could not be opened: another master key, or a damaged or moved row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret cannot be opened: the master key is not the one it was sealed with")]
pub struct VaultError;

const NONCE: usize = 24;

impl Vault {
    /// A vault with a master key of 32 random bytes.
    pub fn new(master_key: [u8; 32]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(&master_key.into()) }
    }

    /// A fresh master key.
    pub fn random_key() -> [u8; 32] {
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        key
    }

    /// Seals a secret for the place named by `context`.
    pub fn seal(&self, secret: &Secret, context: &str) -> Sealed {
        let mut nonce = [0; NONCE];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload { msg: secret.expose().as_bytes(), aad: context.as_bytes() };
        // Encryption fails only beyond 256 GiB of text.
        let text = self.cipher.encrypt(&XNonce::from(nonce), payload).unwrap_or_default();
        Sealed(format!("v1.{}", BASE64.encode([&nonce[..], &text].concat())))
    }

    /// Opens a secret that was sealed for `context`.
    ///
    /// # Errors
    /// [`VaultError`] when key, context or text is not the one of the sealing.
    pub fn open(&self, sealed: &Sealed, context: &str) -> Result<Secret, VaultError> {
        let bytes = sealed.0.strip_prefix("v1.").and_then(|text| BASE64.decode(text).ok());
        let bytes = bytes.ok_or(VaultError)?;
        let (nonce, text) = bytes.split_first_chunk::<NONCE>().ok_or(VaultError)?;
        let payload = Payload { msg: text, aad: context.as_bytes() };
        let clear = self.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| VaultError)?;
        String::from_utf8(clear).map(Secret::new).map_err(|_| VaultError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_opens_and_damage_is_seen() {
        let vault = Vault::new([1; 32]);
        let sealed = vault.seal(&Secret::new("s3cret"), "x");
        assert!(!sealed.0.contains("s3cret"));
        assert_ne!(sealed, vault.seal(&Secret::new("s3cret"), "x"), "no two sealings are alike");
        assert_eq!(Vault::new([2; 32]).open(&sealed, "x").unwrap_err(), VaultError);
        for damaged in ["", "v1.", "v1.AAAA", "v2.AAAA", &sealed.0[..sealed.0.len() - 2]] {
            assert!(vault.open(&Sealed(damaged.into()), "x").is_err(), "{damaged}");
        }
    }
}
