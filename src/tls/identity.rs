//! Certificates with their keys, and authorities, as they stand in files.

use super::validity;
use crate::time::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::{Zeroize as _, Zeroizing};

/// Largest file of certificates or of a key.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The files of a certificate and of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The certificate and those that lead from it to an authority, in PEM form.
    pub certificate: PathBuf,
    /// The private key, in PEM form.
    pub key: PathBuf,
}

/// Why nothing can be made of what was given. It holds nothing of a key.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unusable {
    /// What a file holds, or that it cannot be read.
    #[error("{} {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The authorities of the system.
    #[error("the system knows no certificate authority: name a file of them as `tls.roots`")]
    NoAuthorities,
    /// TLS itself.
    #[error("TLS cannot be prepared: {0}")]
    Tls(#[from] rustls::Error),
}

impl Unusable {
    pub(super) fn file(path: &Path, why: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), why: why.into() }
    }
}

/// Who we are to the other side: a certificate with its key.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) names: Vec<String>,
    pub(super) ends_at: Timestamp,
}

impl Identity {
    /// Reads a certificate with its chain and its key, which must belong together.
    pub fn read(files: &IdentityFiles) -> Result<Self, Unusable> {
        Self::of(files, &contents(&files.certificate)?, &contents(&files.key)?)
    }

    pub(super) fn of(files: &IdentityFiles, chain: &[u8], key: &[u8]) -> Result<Self, Unusable> {
        let wrong = |why: String| Unusable::file(&files.certificate, why);
        let chain = certificates(chain).map_err(wrong)?;
        let first = chain.first().ok_or_else(|| wrong("holds no certificate".to_owned()))?;
        let parsed = webpki::EndEntityCert::try_from(first)
            .map_err(|error| wrong(format!("holds a certificate that cannot be used: {error}")))?;
        let names = parsed.valid_dns_names().map(str::to_ascii_lowercase).collect();
        let ends_at = validity::ends_at(first)
            .ok_or_else(|| wrong("does not say when its certificate ends".to_owned()))?;
        let key = signing_key(&files.key, key)?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|_mismatch| {
            let certificate = files.certificate.display();
            Unusable::file(
                &files.key,
                format!("is not the key of the certificate in {certificate}"),
            )
        })?;
        Ok(Self { certified: Arc::new(certified), names, ends_at })
    }

    /// The names that the certificate is for, in lower case; some begin with `*.`.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The first instant at which the certificate is not good any more.
    #[must_use]
    pub const fn ends_at(&self) -> Timestamp {
        self.ends_at
    }
}

fn signing_key(path: &Path, text: &[u8]) -> Result<Arc<dyn rustls::sign::SigningKey>, Unusable> {
    // The parser's own errors say too little to be of use, and must not quote what was found.
    let mut key = PrivateKeyDer::from_pem_slice(text).map_err(|_no_key| {
        Unusable::file(path, "holds no private key in PEM form that is not encrypted")
    })?;
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key);
    key.zeroize();
    signing.map_err(|_no_key| Unusable::file(path, "holds a key of a kind that is not supported"))
}

fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(|error| format!("is not in PEM form: {error}"))?;
    if found.is_empty() { Err("holds no certificate in PEM form".to_owned()) } else { Ok(found) }
}

/// The authorities in a file, each of which can vouch for others.
pub fn authorities(path: &Path) -> Result<RootCertStore, Unusable> {
    authorities_of(path, &contents(path)?)
}

pub(super) fn authorities_of(path: &Path, text: &[u8]) -> Result<RootCertStore, Unusable> {
    let mut roots = RootCertStore::empty();
    let found = certificates(text).map_err(|why| Unusable::file(path, why))?;
    for (at, certificate) in found.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| {
            let why = format!("holds a certificate ({}.) that cannot vouch: {error}", at + 1);
            Unusable::file(path, why)
        })?;
    }
    Ok(roots)
}

/// What a file holds. Memory that may hold a key is wiped.
pub(super) fn contents(path: &Path) -> Result<Zeroizing<Vec<u8>>, Unusable> {
    let read = || -> io::Result<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(Vec::new());
        File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes")));
        }
        Ok(bytes)
    };
    read().map_err(|error| Unusable::file(path, format!("cannot be read: {error}")))
}

/// Whether everybody on the machine can read a file.
pub(super) fn is_open_to_all(path: &Path) -> bool {
    const READ_BY_OTHERS: u32 = 0o004;
    std::fs::metadata(path).is_ok_and(|found| found.mode() & READ_BY_OTHERS != 0)
}
