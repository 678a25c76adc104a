//! The present as the `Date` field writes it (RFC 9110 section 5.6.7).

use crate::clock;
use http::HeaderValue;
use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

/// A worker's `Date`, made once a second.
pub(super) struct Date(RefCell<(i64, HeaderValue)>);

impl Default for Date {
    fn default() -> Self {
        Self(RefCell::new((i64::MIN, HeaderValue::from_static(""))))
    }
}

impl Date {
    pub(super) fn now(&self) -> HeaderValue {
        let second = clock::now().seconds();
        let mut made = self.0.borrow_mut();
        if made.0 != second {
            let since_epoch = u64::try_from(second).unwrap_or(0);
            let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(since_epoch));
            made.1 = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
            made.0 = second;
        }
        made.1.clone()
    }
}
