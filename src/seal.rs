//! Secrets that we have to use ourselves, sealed for the store: AES-256-GCM under a key that is not
//! in it.
//!
//! **Invariant.** What is sealed says what it belongs to, and opens there only: a sealed secret that
//! is moved to another record of the store is worth nothing.

use crate::secret::{KEY_BYTES, Key, sealing_key};
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// How a key file may be read: by the owner of the process.
const KEY_MODE: u32 = 0o600;
/// What a sealed secret begins with: how it was sealed.
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file says something else.
    #[error("{path} holds no key: expected 64 hexadecimal digits")]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// Others can read it.
    #[error("{path} can be read by others: its mode has to be 0600")]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("the key {path} cannot be read or made: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Random numbers.
    #[error("the system gives no random numbers for a key")]
    Random,
}

/// A secret that does not open: the key is another one, or the bytes are not what was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed secret does not open: it was sealed under another key, or for another record")]
pub struct Shut;

/// Seals and opens.
pub struct Seal(RandomizedNonceKey);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(..)")
    }
}

impl Seal {
    /// A seal with this key.
    pub fn new(key: &Key) -> Result<Self, Shut> {
        RandomizedNonceKey::new(&AES_256_GCM, key.as_slice()).map(Self).map_err(|_unspecific| Shut)
    }

    /// Seals a secret that belongs to `owner`.
    pub fn close(&self, owner: &[u8], secret: &[u8]) -> Result<Vec<u8>, Shut> {
        let mut bytes = Zeroizing::new(secret.to_vec());
        let nonce = self.0.seal_in_place_append_tag(Aad::from(owner), &mut *bytes);
        let nonce = nonce.map_err(|_unspecific| Shut)?;
        let mut sealed = vec![VERSION];
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&bytes);
        Ok(sealed)
    }

    /// Opens a secret that belongs to `owner`.
    pub fn open(&self, owner: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Shut> {
        let Some((&VERSION, rest)) = sealed.split_first() else { return Err(Shut) };
        let (nonce, body) = rest.split_at_checked(NONCE_BYTES).ok_or(Shut)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_length| Shut)?;
        let mut bytes = Zeroizing::new(body.to_vec());
        let opened = self.0.open_in_place(nonce, Aad::from(owner), &mut bytes);
        let length = opened.map_err(|_unspecific| Shut)?.len();
        bytes.truncate(length);
        Ok(bytes)
    }
}

/// The key in a file, which is made where there is none.
pub fn key_at(path: &Path) -> Result<Key, KeyError> {
    let io_error = |error| KeyError::Io { path: path.to_owned(), error };
    match fs::File::open(path) {
        Ok(file) => read(path, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match make(path) {
            // Somebody made it in between.
            Err(KeyError::Io { error, .. }) if error.kind() == io::ErrorKind::AlreadyExists => {
                read(path, fs::File::open(path).map_err(io_error)?)
            }
            made => made,
        },
        Err(error) => Err(io_error(error)),
    }
}

fn read(path: &Path, file: fs::File) -> Result<Key, KeyError> {
    let io_error = |error| KeyError::Io { path: path.to_owned(), error };
    if file.metadata().map_err(io_error)?.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::Open { path: path.to_owned() });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(4 * KEY_BYTES as u64).read_to_string(&mut text).map_err(io_error)?;
    sealing_key(&text).ok_or_else(|| KeyError::NotAKey { path: path.to_owned() })
}

/// Under another name first: a key that is cut off by a crash would seal nothing for ever.
fn make(path: &Path) -> Result<Key, KeyError> {
    let io_error = |error| KeyError::Io { path: path.to_owned(), error };
    let mut key = Key::default();
    getrandom::fill(key.as_mut()).map_err(|_unspecific| KeyError::Random)?;
    let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES + 1));
    for byte in key.iter() {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    text.push('\n');
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}.new", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(KEY_MODE)
        .open(&unfinished)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        // Unlike a rename this never replaces a key that is there already.
        .and_then(|()| fs::hard_link(&unfinished, path));
    let removed = fs::remove_file(&unfinished);
    written.and(removed).map_err(io_error)?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(io_error)?;
    Ok(key)
}

#[cfg(test)]
mod tests;
