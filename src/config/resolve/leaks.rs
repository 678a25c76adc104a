//! Who signs their reports of secrets that they have found: `[leaks]`.

use crate::config::file::{Entry, Table};
use crate::leak::{KEY_ID_BYTES_MAX, Keys, PublicKey};

/// Most keys: partners change theirs, and send the old one for a while.
const KEYS_MAX: usize = 16;

pub(super) fn leaks(mut table: Table<'_>) -> Keys {
    let mut keys: Vec<(String, PublicKey)> = Vec::new();
    if let Some(list) = table.take("keys") {
        let entries = list.list().unwrap_or_default();
        if entries.len() > KEYS_MAX {
            list.error(format!("holds more than {KEYS_MAX} keys"));
        }
        for entry in entries {
            let Some((id, pem)) = key(&entry) else { continue };
            if keys.iter().any(|(known, _)| *known == id) {
                entry.error("its `id` stands in this list twice");
            }
            keys.push((id, pem));
        }
    }
    table.finish();
    keys.into_iter().collect()
}

fn key(entry: &Entry<'_>) -> Option<(String, PublicKey)> {
    let mut table = entry.table()?;
    let id = table.required("id").and_then(|entry| {
        let text = entry.text()?;
        let fits = (1..=KEY_ID_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            entry.error(format!("expected 1 to {KEY_ID_BYTES_MAX} characters of ASCII, no spaces"));
        }
        fits.then(|| text.to_owned())
    });
    let key = table.required("key").and_then(|entry| {
        let key = PublicKey::of(entry.text()?);
        // Not the text itself: somebody may have put the wrong half of a pair there.
        key.map_err(|error| entry.error(error.to_string())).ok()
    });
    table.finish();
    Some((id?, key?))
}
