//! Upstreams: where they are, how they are spoken to, and what is borne of them.

use super::{CONNECTIONS, TIMEOUT, tls, value};
use crate::config::file::{Entry, Surroundings, Table};
use crate::config::{Address, Ejection, OwnPorts, Timeouts, Upstream};
use crate::role::Name;
use crate::tls::{Toward, TowardFiles};
use http::HeaderValue;
use std::ops::RangeInclusive;
use std::time::Duration;

/// More addresses than this are a mistake.
const ADDRESSES_MAX: usize = 256;
const IDLE_CONNECTIONS: RangeInclusive<u64> = 0..=10_000;
const PENDING: RangeInclusive<u64> = 0..=1_000_000;
const FAILURES: RangeInclusive<u64> = 1..=1_000;
const PAUSE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(1);
const PERCENT: RangeInclusive<u64> = 0..=100;
/// For an exchange as a whole: a stream may last.
const TOTAL: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(24 * 7);

/// Reads one of `[upstreams]`.
pub(super) fn upstream(
    name: Option<Name>,
    mut table: Table<'_>,
    ports: OwnPorts,
    surroundings: Surroundings<'_>,
) -> Option<Upstream> {
    let addresses = table.required("addresses");
    let (addresses, is_secure) =
        addresses.map(|list| upstream_addresses(&list, ports)).unwrap_or_default();
    let tls = match (table.take("tls"), is_secure) {
        (Some(entry), _) => tls::toward(&entry, is_secure, surroundings),
        // The system's authorities vouch for the hosts that are connected to.
        (None, true) => {
            let toward = Toward::new(&TowardFiles::default());
            toward.map_err(|error| table.lacks(error.to_string())).ok()
        }
        (None, false) => None,
    };
    let mut count = |name, range: RangeInclusive<u64>, default| {
        table.take(name).and_then(|entry| entry.count(&range)).unwrap_or(default)
    };
    let connections_max = count("connections_max", CONNECTIONS, 4_096);
    let pending_max = count("pending_max", PENDING, 1_024);
    let idle_connections_max = count("idle_connections_max", IDLE_CONNECTIONS, 64);
    let credential = table.take("credential").and_then(|entry| credential(&entry, surroundings));
    let timeouts = timeouts(
        &mut table,
        Timeouts {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_mins(1),
            idle: Duration::from_mins(1),
            total: None,
        },
    );
    let idle = table.take("idle_connection_timeout");
    let idle = idle.and_then(|entry| entry.duration(&TIMEOUT));
    let ejection = ejection(table.section("ejection"));
    table.finish();
    Some(Upstream {
        name: name?.to_string(),
        addresses,
        // Never in the clear for want of the means.
        tls: if is_secure { Some(tls?) } else { None },
        timeouts,
        connections_max,
        pending_max,
        idle_connections_max,
        idle_connection_timeout: idle.unwrap_or(Duration::from_secs(55)),
        ejection,
        credential,
    })
}

/// The timeouts of an upstream or a route, where nothing is said as in `default`.
pub(super) fn timeouts(table: &mut Table<'_>, default: Timeouts) -> Timeouts {
    let mut time = |name, range: &RangeInclusive<Duration>| {
        let entry: Option<Entry<'_>> = table.take(name);
        entry.and_then(|entry| entry.duration(range))
    };
    Timeouts {
        connect: time("connect_timeout", &TIMEOUT).unwrap_or(default.connect),
        first_byte: time("first_byte_timeout", &TIMEOUT).unwrap_or(default.first_byte),
        idle: time("idle_timeout", &TIMEOUT).unwrap_or(default.idle),
        total: time("total_timeout", &TOTAL).or(default.total),
    }
}

fn ejection(mut table: Table<'_>) -> Ejection {
    let mut number = |name, range: &RangeInclusive<u64>, default| {
        let number = table.take(name).and_then(|entry| entry.integer(range));
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
    };
    let after = number("after", &FAILURES, 5);
    let panic_percent = number("panic_percent", &PERCENT, 50);
    let on_5xx = table.take("on_5xx").and_then(|entry| entry.flag()).unwrap_or_default();
    let pause_first = table.take("pause_first").and_then(|entry| entry.duration(&PAUSE));
    let pause_first = pause_first.unwrap_or(Duration::from_secs(5));
    let longest = table.take("pause_longest");
    let pause_longest = longest.as_ref().and_then(|entry| entry.duration(&PAUSE));
    let pause_longest = pause_longest.unwrap_or(Duration::from_mins(5).max(pause_first));
    if let Some(entry) = &longest
        && pause_longest < pause_first
    {
        entry.error("is shorter than `pause_first`");
    }
    table.finish();
    Ejection { after, pause_first, pause_longest, on_5xx, panic_percent }
}

/// Addresses, and whether TLS is spoken with them: with all or with none, as requests go to any.
fn upstream_addresses(list: &Entry<'_>, ports: OwnPorts) -> (Vec<Address>, bool) {
    let empty = "needs at least one address, such as \"127.0.0.1:9000\"";
    let mut secure = None;
    let addresses = list.distinct_some(empty, |entry| {
        let (address, is_secure) = entry.read(value::upstream)?;
        if let Some(own) = ports.named(&address) {
            entry.error(own.to_string());
        }
        if *secure.get_or_insert(is_secure) != is_secure {
            entry.error("begin all addresses of an upstream with https://, or none");
        }
        Some(address)
    });
    if addresses.len() > ADDRESSES_MAX {
        list.error(format!("{} addresses are more than {ADDRESSES_MAX}", addresses.len()));
    }
    (addresses, secure.unwrap_or_default())
}

fn credential(entry: &Entry<'_>, surroundings: Surroundings<'_>) -> Option<HeaderValue> {
    let secret = entry.secret(surroundings)?;
    match HeaderValue::from_str(&secret.value) {
        Ok(mut value) => {
            value.set_sensitive(true);
            Some(value)
        }
        Err(_unprintable) => {
            let source = secret.source;
            entry.error(format!("what {source} holds cannot stand in a header field"));
            None
        }
    }
}
