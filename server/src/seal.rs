//! Encryption of secrets at rest: AES-256-GCM with the key of the data folder. The place of a sealed value is
//! its associated data, so that one value can't be moved into another's place.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use sha2::{Digest, Sha256};

use crate::model::Secret;

const NONCE_BYTES: usize = 12;

/// Encrypts (seals) and decrypts (opens) secrets. Cheap to clone.
#[derive(Clone)]
pub struct Sealer {
    cipher: Aes256Gcm,
    fingerprint: String,
}

/// The key does not match, or the value was changed.
#[derive(Debug, thiserror::Error)]
#[error("a stored secret ({0}) does not open with this secrets.key")]
pub struct CannotOpen(String);

/// The operating system provided no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("no randomness from the operating system: {0}")]
pub struct NoRandomness(#[from] getrandom::Error);

/// `N` random bytes from the operating system.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

impl Sealer {
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Sealer {
        let digest = Sha256::new().chain_update(b"antar secrets.key").chain_update(key).finalize();
        Sealer { cipher: Aes256Gcm::new(key.into()), fingerprint: hex::encode(&digest[..8]) }
    }

    /// Identifies the key without revealing it.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Seals `secret` for `place`, such as `webhook/ID`.
    pub fn seal(&self, place: &str, secret: &Secret) -> Result<Vec<u8>, NoRandomness> {
        let nonce = random::<NONCE_BYTES>()?;
        let payload = Payload { msg: secret.reveal().as_bytes(), aad: place.as_bytes() };
        // Fails only above 64 GiB, far above every limit on input.
        let sealed = self.cipher.encrypt(&Nonce::from(nonce), payload).unwrap_or_default();
        Ok([nonce.as_slice(), &sealed].concat())
    }

    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Secret, CannotOpen> {
        let cannot = || CannotOpen(place.to_owned());
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or_else(cannot)?;
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        let plain = self.cipher.decrypt(&Nonce::from(*nonce), payload).map_err(|_| cannot())?;
        String::from_utf8(plain).map(Secret::new).map_err(|_| cannot())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_in_its_place_and_with_its_key() {
        let sealer = Sealer::new(&[7; 32]);
        let sealed = sealer.seal("webhook/1", &Secret::new("whsec_x".to_owned())).unwrap();
        assert!(!sealed.windows(7).any(|w| w == b"whsec_x"));
        assert_eq!(sealer.open("webhook/1", &sealed).unwrap().reveal(), "whsec_x");
        assert!(sealer.open("webhook/2", &sealed).is_err());
        assert!(Sealer::new(&[8; 32]).open("webhook/1", &sealed).is_err());
        assert!(sealer.open("webhook/1", &sealed[..5]).is_err());
    }
}
