//! What a reload takes, and what stays as it was at the start.

use crate::config::{Admin, Config, Gateway};
use crate::tls::ServerFiles;

/// What a reload cannot move, where it is moved.
pub(super) fn moved(old: &Config, new: &Config) -> Option<&'static str> {
    let kept = [
        ("gateway.listen", old.gateway.listen == new.gateway.listen),
        ("admin.listen", old.admin.listen == new.admin.listen),
        ("store.path", old.store.path == new.store.path),
    ];
    kept.into_iter().find_map(|(key, same)| (!same).then_some(key))
}

/// The sections that only a start reads, as far as they differ.
pub(super) fn read_once(old: &Config, new: &Config) -> impl Iterator<Item = &'static str> + use<> {
    let tls = |old: &Option<ServerFiles>, new: &Option<ServerFiles>| match (old, new) {
        (Some(_), Some(_)) => old.clone(),
        _ => new.clone(),
    };
    let kept = [
        // Certificates are taken; what stays is whether TLS is spoken.
        (
            "gateway",
            old.gateway
                == Gateway { tls: tls(&old.gateway.tls, &new.gateway.tls), ..new.gateway.clone() },
        ),
        (
            "admin",
            old.admin == Admin { tls: tls(&old.admin.tls, &new.admin.tls), ..new.admin.clone() },
        ),
        ("store", old.store == new.store),
        ("audit", old.audit == new.audit),
        ("limits", old.limits == new.limits),
        ("identity", old.identity == new.identity),
        ("notices", old.notices == new.notices),
        ("smtp", old.smtp == new.smtp),
        ("webhooks", old.webhooks == new.webhooks),
        ("seal", old.seal == new.seal),
        ("leaks", old.leaks == new.leaks),
        ("oidc", old.oidc == new.oidc),
    ];
    kept.into_iter().filter_map(|(section, same)| (!same).then_some(section))
}
