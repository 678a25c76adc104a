//! The present as the `Date` field writes it (RFC 9110 section 5.6.7).

use crate::clock;
use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

/// A worker's `Date` line, made once a second.
pub(super) struct Date(RefCell<(i64, String)>);

impl Default for Date {
    fn default() -> Self {
        Self(RefCell::new((i64::MIN, String::new())))
    }
}

impl Date {
    /// Writes the line.
    pub(super) fn write(&self, text: &mut Vec<u8>) {
        let second = clock::now().seconds();
        let mut made = self.0.borrow_mut();
        if made.0 != second {
            let since_epoch = u64::try_from(second).unwrap_or(0);
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(since_epoch));
            *made = (second, format!("date: {date}\r\n"));
        }
        text.extend_from_slice(made.1.as_bytes());
    }
}
