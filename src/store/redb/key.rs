//! The key of the trails when the configuration names none: a file beside the store, made with it.
//!
//! It is not in the store, so that a copy of the store alone is not enough to forge its trails.

use super::OpenError;
use super::open::directory_of;
use crate::audit::chain::Key;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Nobody but the owner of the process reads it.
const FILE_MODE: u32 = 0o600;
const FILE_BYTES_MAX: u64 = 4096;
const RANDOM_BYTES: usize = 32;

/// Where the key of a store's trails comes from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// The configuration.
    Configured(Key),
    /// The file that is kept beside the store of this path, made when it is missing.
    Beside(PathBuf),
}

impl KeySource {
    /// The key, and whether it is a new one.
    pub(super) fn key(self) -> Result<(Key, bool), OpenError> {
        match self {
            Self::Configured(key) => Ok((key, false)),
            Self::Beside(store) => beside(&store),
        }
    }
}

/// Where the key of a store is kept that is not configured.
#[must_use]
pub fn key_path(store: &Path) -> PathBuf {
    with_suffix(store, ".audit-key")
}

/// The key beside a store, and whether it is a new one.
fn beside(store: &Path) -> Result<(Key, bool), OpenError> {
    let path = key_path(store);
    let failed = |error| OpenError::Io { path: path.clone(), error };
    let (text, is_new) = match read(&path) {
        Ok(text) => (text, false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (make(&path).map_err(failed)?, true)
        }
        Err(error) => return Err(failed(error)),
    };
    Ok((of(&text, path)?, is_new))
}

/// The key beside a store, which must be there.
pub fn stored_key(store: &Path) -> Result<Key, OpenError> {
    let path = key_path(store);
    let text = read(&path).map_err(|error| OpenError::Io { path: path.clone(), error })?;
    of(&text, path)
}

fn of(text: &str, path: PathBuf) -> Result<Key, OpenError> {
    let key = Key::of(text.trim());
    key.map_err(|error| OpenError::Key { path, why: format!("what it holds {error}") })
}

fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Makes a key under another name and gives it its own once it is durable: half a key would never
/// be completed.
fn make(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut random = Zeroizing::new([0_u8; RANDOM_BYTES]);
    getrandom::fill(random.as_mut()).map_err(io::Error::other)?;
    let mut text = Zeroizing::new(String::with_capacity(2 * RANDOM_BYTES + 1));
    for byte in &*random {
        let _infallible = write!(text, "{byte:02x}");
    }
    text.push('\n');
    let unfinished = with_suffix(path, ".new");
    // Left behind by a crash; it may have another mode.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) | Ok(()) => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    fs::File::open(directory_of(path))?.sync_all()?;
    Ok(text)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
