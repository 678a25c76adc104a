//! A copy of a whole store in a new file.
//!
//! The file of a running store cannot be copied: whoever reads it byte by byte sees pages of several
//! commits. One snapshot can, row by row, whatever engine it is of.

use super::File;
use super::open::FORMAT;
use crate::store::engine::{End, Engine, Failure, Order, Read, Table, Write};
use crate::store::record::{Records, WriteRecords};
use crate::store::{Copied, CopyError, StoreError};
use ::redb::Builder;
use ::redb::backends::FileBackend;
use std::fs;
use std::ops::{Bound, ControlFlow};

/// Memory for pages of the copy while it is written. They are written in the order of their keys,
/// so hardly any is needed twice.
const CACHE_BYTES: usize = 32 << 20;
/// After so many rows whoever waits is told.
const TOLD_EVERY: u64 = 4_096;

/// Writes all that a snapshot holds into an empty file, in one transaction: a copy that is cut short
/// is no store.
pub(in crate::store) fn copy(
    from: &impl Read,
    to: &fs::File,
    told: &mut dyn FnMut(u64),
) -> Result<Copied, CopyError> {
    let revision = from.revision().map_err(StoreError::from)?;
    let handle = to.try_clone().map_err(|error| CopyError::Write(error.to_string()))?;
    let database = FileBackend::new(handle)
        .and_then(|file| Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(file))
        .map_err(|error| unwritten(super::broken(error)))?;
    let file = File::new(database);
    let mut unread = None;
    let rows = file.transact(|tables| {
        let mut rows = 0;
        for table in Table::ALL {
            let mut put = Ok(());
            let span = (Bound::Unbounded, Bound::Unbounded);
            let scanned = from.scan(table, span, Order::Ascending, &mut |key, value| {
                put = tables.put(table, key, value);
                rows += 1;
                if rows % TOLD_EVERY == 0 {
                    told(rows);
                }
                Ok(if put.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            });
            unread = scanned.as_ref().err().cloned();
            scanned.and(put)?;
        }
        // The store in memory has no format of its own.
        tables.put_format(FORMAT)?;
        Ok((End::Commit, rows))
    });
    let rows = match (rows, unread) {
        (Ok(rows), _) => rows,
        (Err(_), Some(failure)) => return Err(StoreError::from(failure).into()),
        (Err(failure), None) => return Err(unwritten(failure)),
    };
    // Dropping it would close it as well, and keep an error to itself.
    file.database.close().map_err(|error| unwritten(super::broken(error)))?;
    to.sync_all().map_err(|error| CopyError::Write(error.to_string()))?;
    told(rows);
    Ok(Copied { revision, rows })
}

fn unwritten(failure: Failure) -> CopyError {
    match failure {
        Failure::Full => CopyError::Full,
        Failure::Broken(why) => CopyError::Write(why),
    }
}
