//! Sealing: what must be read back (NAS secrets, recoverable passwords) lies in the database closed by a key that does not.
//!
//! A sealed value is `v1:key-id:nonce:ciphertext` (base64url, no padding), AES-256-GCM, bound to its table, column and row: copied
//! elsewhere it does not open. The ring is a file of its own (`D/keys`, mode 0600) or the variable `GATEWARDEN_KEYS`,
//! the same on every node, and is never part of a backup of the database.

use crate::rng::Rng;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::path::Path;
use uuid::Uuid;
use zeroize::Zeroizing;

const KEY_OCTETS: usize = 32;
const KEY_ID_OCTETS: usize = 6;
/// A ring holds the key in use and those before it; more would be a mistake in the file.
const MAX_KEYS: usize = 64;

/// Where a sealed value lies: part of what is authenticated.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Table.
    pub table: &'static str,
    /// Column.
    pub column: &'static str,
    /// The row's id.
    pub row: Uuid,
}

/// Why a value cannot be opened or a ring cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Sealed with a key that this ring lacks.
    #[error(
        "a secret is sealed with key '{0}', which is not in the key ring; restore the ring that belongs to this database (file 'keys' in the data folder, or GATEWARDEN_KEYS)"
    )]
    KeyMissing(String),
    /// Altered, moved to another row, or not sealed at all.
    #[error(
        "the sealed value in {table}.{column} of row {row} does not open: it was altered or moved"
    )]
    Broken {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// Row.
        row: Uuid,
    },
    /// A piece of a sealed file, altered or out of its place.
    #[error("a sealed file does not open: it was altered")]
    Altered,
    /// The ring's text is malformed.
    #[error("key ring, line {line}: {reason}")]
    Ring {
        /// From 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// The ring's file cannot be read or made.
    #[error("key ring {path}: {reason}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
}

struct SealKey {
    id: String,
    key: LessSafeKey,
}

/// The keys; the last is the one in use. Has no Debug.
pub struct Keyring {
    keys: Vec<SealKey>,
}

impl Keyring {
    /// Reads a ring: one `id base64url-of-32-octets` a line, the last one in use; `#` begins a comment. Lines may
    /// also be separated by commas, as in an environment variable.
    ///
    /// # Errors
    /// [`SealError::Ring`] with the line.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let mut keys: Vec<SealKey> = Vec::new();
        for (index, line) in text.split(['\n', ',']).enumerate() {
            let refuse = |reason: &str| SealError::Ring {
                line: index + 1,
                reason: reason.to_owned(),
            };
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            if keys.len() == MAX_KEYS {
                return Err(refuse("more than 64 keys"));
            }
            let (id, key) = line
                .split_once(char::is_whitespace)
                .ok_or_else(|| refuse("write 'id key', the key as 43 base64url characters"))?;
            if id.contains(':') || keys.iter().any(|known| known.id == id) {
                return Err(refuse("a key id is unique and holds no colon"));
            }
            let octets = Zeroizing::new(
                B64.decode(key.trim())
                    .map_err(|_| refuse("the key is not base64url"))?,
            );
            let unbound = (octets.len() == KEY_OCTETS)
                .then(|| UnboundKey::new(&AES_256_GCM, &octets).ok())
                .flatten()
                .ok_or_else(|| refuse("a key has 32 octets"))?;
            keys.push(SealKey {
                id: id.to_owned(),
                key: LessSafeKey::new(unbound),
            });
        }
        if keys.is_empty() {
            return Err(SealError::Ring {
                line: 1,
                reason: "the ring is empty".into(),
            });
        }
        Ok(Self { keys })
    }

    /// The text of a ring with one fresh key.
    pub fn fresh_text(rng: &dyn Rng) -> Zeroizing<String> {
        let mut id = [0u8; KEY_ID_OCTETS];
        let mut key = Zeroizing::new([0u8; KEY_OCTETS]);
        rng.fill(&mut id);
        rng.fill(&mut *key);
        Zeroizing::new(format!(
            "# Seals the secrets in the database. Keep a copy apart from the database's backups.\n{} {}\n",
            hex::encode(id),
            B64.encode(*key)
        ))
    }

    /// Reads the ring at `path`, making a fresh one (mode 0600) where there is none.
    ///
    /// # Errors
    /// [`SealError::File`] or [`SealError::Ring`].
    pub fn open_or_create(path: &Path, rng: &dyn Rng) -> Result<Self, SealError> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let named = |e: std::io::Error| SealError::File {
            path: path.display().to_string(),
            reason: e.to_string(),
        };
        let fresh = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        match fresh {
            Ok(mut file) => {
                file.write_all(Self::fresh_text(rng).as_bytes())
                    .map_err(named)?;
                file.sync_all().map_err(named)?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(named(e)),
        }
        // Two processes may start on an empty folder at once: whoever came second may read before the first has written.
        for _ in 0..50 {
            let text = Zeroizing::new(std::fs::read_to_string(path).map_err(named)?);
            if !text.is_empty() {
                return Self::parse(&text);
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Self::parse("")
    }

    /// The id of the key in use.
    pub fn active_id(&self) -> &str {
        self.keys.last().map_or("", |key| key.id.as_str())
    }

    /// Whether a key is in the ring.
    pub fn holds(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id == id)
    }

    /// Closes a secret with the key in use.
    pub fn seal(&self, rng: &dyn Rng, place: Place, secret: &[u8]) -> String {
        let mut nonce = [0u8; NONCE_LEN];
        rng.fill(&mut nonce);
        let mut octets = secret.to_vec();
        let Some(active) = self.keys.last() else {
            return String::new(); // parse() refuses an empty ring
        };
        if active
            .key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.associated_data()),
                &mut octets,
            )
            .is_err()
        {
            // Only a secret of 64 GiB can fail here.
            return String::new();
        }
        format!(
            "v1:{}:{}:{}",
            active.id,
            B64.encode(nonce),
            B64.encode(octets)
        )
    }

    /// Opens what [`Keyring::seal`] closed for the same place.
    ///
    /// # Errors
    /// [`SealError::KeyMissing`] or [`SealError::Broken`].
    pub fn open(&self, place: Place, sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let broken = || SealError::Broken {
            table: place.table,
            column: place.column,
            row: place.row,
        };
        let mut parts = sealed.split(':');
        let (Some("v1"), Some(id), Some(nonce), Some(octets), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(broken());
        };
        let key = self
            .keys
            .iter()
            .find(|key| key.id == id)
            .ok_or_else(|| SealError::KeyMissing(id.to_owned()))?;
        let nonce: [u8; NONCE_LEN] = B64
            .decode(nonce)
            .ok()
            .and_then(|n| n.try_into().ok())
            .ok_or_else(broken)?;
        let mut octets = Zeroizing::new(B64.decode(octets).map_err(|_| broken())?);
        let length = key
            .key
            .open_in_place(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.associated_data()),
                &mut octets,
            )
            .map_err(|_| broken())?
            .len();
        octets.truncate(length);
        Ok(octets)
    }
}

/// Pieces of files, which are octets and not text.
impl Keyring {
    /// Closes a piece of a file with the key in use; `associated` says which piece of which file it is.
    pub fn seal_piece(&self, rng: &dyn Rng, associated: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0u8; NONCE_LEN];
        rng.fill(&mut nonce);
        let Some(active) = self.keys.last() else {
            return Vec::new(); // parse() refuses an empty ring
        };
        let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        sealed.extend(nonce);
        sealed.extend(plain);
        let tag = active.key.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(associated),
            &mut sealed[NONCE_LEN..],
        );
        match tag {
            Ok(tag) => sealed.extend(tag.as_ref()),
            // Only a piece of 64 GiB can fail here.
            Err(_) => sealed.clear(),
        }
        sealed
    }

    /// Opens what [`Keyring::seal_piece`] closed with a key of the ring, in place: where the plain octets lie.
    ///
    /// # Errors
    /// [`SealError::KeyMissing`] or [`SealError::Altered`].
    pub fn open_piece<'p>(
        &self,
        key_id: &str,
        associated: &[u8],
        sealed: &'p mut [u8],
    ) -> Result<&'p [u8], SealError> {
        let key = self
            .keys
            .iter()
            .find(|key| key.id == key_id)
            .ok_or_else(|| SealError::KeyMissing(key_id.to_owned()))?;
        let (nonce, octets) = sealed
            .split_first_chunk_mut::<NONCE_LEN>()
            .ok_or(SealError::Altered)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        match key.key.open_in_place(nonce, Aad::from(associated), octets) {
            Ok(plain) => Ok(plain),
            Err(_) => Err(SealError::Altered),
        }
    }
}

impl Place {
    fn associated_data(&self) -> String {
        format!("{}.{}.{}", self.table, self.column, self.row)
    }
}

crate::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    KEYS_SEEN = "SELECT key_id FROM key_seen";
    SEE_KEY = "INSERT INTO key_seen (key_id, first_used) VALUES ($1, $2) ON CONFLICT (key_id) DO NOTHING";
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    key_id: String,
}

impl crate::db::Db {
    /// A key that secrets of this database may be sealed with and that the ring lacks.
    ///
    /// # Errors
    /// The engine's.
    pub async fn missing_key(&self, keys: &Keyring) -> Result<Option<String>, crate::db::Error> {
        let seen: Vec<KeyRow> = self.all(KEYS_SEEN, Vec::new()).await?;
        let missing = seen.into_iter().find(|row| !keys.holds(&row.key_id));
        Ok(missing.map(|row| row.key_id))
    }

    /// Refuses a database that holds secrets which this ring cannot open, and notes the key in use.
    ///
    /// # Errors
    /// [`SealError::KeyMissing`], or the engine's.
    pub async fn accept_keys(
        &self,
        keys: &Keyring,
        now: crate::time::Time,
    ) -> Result<(), crate::db::Error> {
        let seen: Vec<KeyRow> = self.all(KEYS_SEEN, Vec::new()).await?;
        if let Some(missing) = seen.iter().find(|row| !keys.holds(&row.key_id)) {
            return Err(SealError::KeyMissing(missing.key_id.clone()).into());
        }
        if !seen.iter().any(|row| row.key_id == keys.active_id()) {
            let mut tx = self.begin().await?;
            tx.run(SEE_KEY, crate::values![keys.active_id(), now])
                .await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeededRng;

    fn place(row: u128) -> Place {
        Place {
            table: "nas",
            column: "secret",
            row: Uuid::from_u128(row),
        }
    }

    fn ring(seed: u64) -> Keyring {
        let text = Keyring::fresh_text(&SeededRng::new(seed));
        match Keyring::parse(&text) {
            Ok(ring) => ring,
            Err(e) => panic!("{e}"),
        }
    }

    #[test]
    fn a_sealed_secret_opens_in_its_place_only() {
        let (ring, rng) = (ring(1), SeededRng::new(9));
        let sealed = ring.seal(&rng, place(1), b"testing123");
        assert!(!sealed.contains("testing123"));
        assert!(
            ring.open(place(1), &sealed)
                .is_ok_and(|s| *s == b"testing123")
        );
        assert!(matches!(
            ring.open(place(2), &sealed),
            Err(SealError::Broken { .. })
        ));
    }

    #[test]
    fn a_missing_key_is_named_and_an_altered_value_refused() {
        let (one, two, rng) = (ring(1), ring(2), SeededRng::new(9));
        let sealed = one.seal(&rng, place(1), b"x");
        assert!(
            matches!(two.open(place(1), &sealed), Err(SealError::KeyMissing(id)) if id == one.active_id())
        );
        let mut altered = sealed.into_bytes();
        let last = altered.len() - 2;
        altered[last] = if altered[last] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8_lossy(&altered).into_owned();
        assert!(matches!(
            one.open(place(1), &altered),
            Err(SealError::Broken { .. })
        ));
        assert!(matches!(
            one.open(place(1), "plain"),
            Err(SealError::Broken { .. })
        ));
    }

    #[test]
    fn a_rotated_ring_opens_what_the_old_key_sealed() {
        let rng = SeededRng::new(9);
        let old = Keyring::fresh_text(&SeededRng::new(1));
        let new = Keyring::fresh_text(&SeededRng::new(2));
        let sealed = ring(1).seal(&rng, place(1), b"x");
        let both = Keyring::parse(&format!("{}{}", *old, *new));
        assert!(both.is_ok_and(|ring| ring.open(place(1), &sealed).is_ok()
            && ring.active_id() != self::ring(1).active_id()));
    }

    #[test]
    fn a_malformed_ring_names_its_line() {
        for (text, line) in [("", 1), ("a b c", 1), ("# x\nonlyid", 2), ("id c2hvcnQ", 1)] {
            assert!(
                matches!(Keyring::parse(text), Err(SealError::Ring { line: at, .. }) if at == line),
                "{text}"
            );
        }
    }
}
