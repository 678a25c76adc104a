//! `/backup`: a copy of the whole store, while it works.
//!
//! The copy is made beside the store, from one snapshot, in a file that has no name any more when
//! its first byte is written: whatever happens, nothing is left behind. Then it is sent as it is.

use super::Shared;
use super::chunks::Chunks;
use super::desk::{self, Step};
use super::extract::{Call, Query};
use super::me::Nothing;
use super::openapi::ChangeProblems;
use super::problem::{Kind, Problem};
use crate::governance::backup::TakeBackup;
use crate::org::Revision;
use crate::store::{Archive, CopyError};
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Backups at once: each reads the whole store and takes its room on the disk once more.
const BACKUPS_MAX: usize = 1;
/// What is read and sent at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// What backups are made of.
pub struct Backups {
    archive: Arc<dyn Archive>,
    directory: PathBuf,
    turns: Arc<Semaphore>,
}

impl Backups {
    /// Backups of a store, made in a directory that has room for one.
    #[must_use]
    pub fn new(archive: Arc<dyn Archive>, directory: PathBuf) -> Self {
        Self { archive, directory, turns: Arc::new(Semaphore::new(BACKUPS_MAX)) }
    }
}

/// A store in one file.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(crate) struct StoreFile(#[expect(dead_code, reason = "for the description")] Vec<u8>);

/// Take a backup: the whole store as it is now, as one file for `bearward restore`. For the operator.
#[utoipa::path(
    post,
    path = "/api/v1/backup",
    tag = "backup",
    operation_id = "take_backup",
    responses(
        (status = 200, description = "The store in one file", body = StoreFile,
         content_type = "application/octet-stream"),
        ChangeProblems
    )
)]
pub(crate) async fn take(
    State(state): State<Shared>,
    call: Call,
    _query: Query<Nothing>,
) -> Result<Response, Problem> {
    // Before the turn: who may not take one does not keep others from it.
    desk::read(&state, call.clone(), |desk| Ok(desk.caller.backs_up()?)).await?;
    let turn = Arc::clone(&state.backups.turns).try_acquire_owned();
    let turn = turn.map_err(|_taken| Problem::new(Kind::Busy, "another backup is being taken"))?;
    desk::change(&state, call, |desk| {
        let org = desk.org(desk.caller.org())?;
        let plan = TakeBackup { org: &org }.plan(desk.caller, &desk.at)?;
        Ok(Step::of(plan, Revision::default(), |()| ()))
    })
    .await?;
    let copied = tokio::task::spawn_blocking(move || {
        let Backups { archive, directory, .. } = &state.backups;
        copy(&**archive, directory).map(|(file, bytes)| (file, bytes, turn))
    });
    let (file, bytes, turn) =
        copied.await.unwrap_or_else(|error| Err(Problem::internal(&error)))?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (CONTENT_DISPOSITION, HeaderValue::from_static(r#"attachment; filename="bearward.redb""#)),
        (CONTENT_LENGTH, HeaderValue::from(bytes)),
    ];
    let chunks = Chunks::written(Some(bytes), move |send| {
        let _turn = turn;
        read(file, bytes, send);
    });
    Ok((headers, Body::new(chunks)).into_response())
}

/// A copy, from its first byte on, and how long it is.
fn copy(archive: &dyn Archive, directory: &Path) -> Result<(File, u64), Problem> {
    let mut file = nameless(directory).map_err(|error| unmade(&error))?;
    archive.copy(&file, &mut |_rows| {}).map_err(|error| match error {
        CopyError::Full => Problem::new(Kind::StorageFull, "there is no room for a copy"),
        CopyError::Read(_) | CopyError::Write(_) => Problem::internal(&error),
    })?;
    let length = file.seek(io::SeekFrom::End(0)).and_then(|length| file.rewind().map(|()| length));
    Ok((file, length.map_err(|error| unmade(&error))?))
}

/// A file that is gone when it is closed, whoever closes it.
fn nameless(directory: &Path) -> io::Result<File> {
    let mut bits = [0; 8];
    super::system_random(&mut bits).map_err(io::Error::other)?;
    let path = directory.join(format!(".bearward-backup-{:016x}", u64::from_ne_bytes(bits)));
    let mut open = OpenOptions::new();
    let file = open.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

fn unmade(error: &io::Error) -> Problem {
    if error.kind() == io::ErrorKind::StorageFull {
        return Problem::new(Kind::StorageFull, "there is no room for a copy");
    }
    Problem::internal(error)
}

/// Sends the next so many bytes of a file.
fn read(mut file: File, bytes: u64, send: &mut dyn FnMut(io::Result<Bytes>) -> bool) {
    let mut left = bytes;
    while left > 0 {
        let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX))];
        let read = file.read_exact(&mut chunk);
        left -= chunk.len() as u64;
        let is_broken = read.is_err();
        // Nobody takes it any more when the client has gone.
        if !send(read.map(|()| chunk.into())) || is_broken {
            return;
        }
    }
}
