//! The certificates of the ports: loaded at the start, taken anew on a reload, watched meanwhile.

use super::StartError;
use crate::clock;
use crate::config::Config;
use crate::listener::Handshakes;
use crate::telemetry::{Family, Figure, Sample};
use crate::tls::{Live, ServerFiles, Unusable, Watch};
use std::sync::Arc;

/// How the ports speak TLS, those that do.
#[derive(Clone)]
pub(super) struct Certificates {
    pub(super) gateway: Option<Arc<Live>>,
    pub(super) admin: Option<Arc<Live>>,
}

impl Certificates {
    pub(super) fn load(config: &Config) -> Result<Self, Unusable> {
        let load = |port, files: &Option<ServerFiles>, asks| {
            let live = files.clone().map(|files| Live::load(port, files, asks)).transpose()?;
            Ok::<_, Unusable>(live.map(Arc::new))
        };
        let gateway = load("gateway", &config.gateway.tls, config.asks_for_certificates())?;
        let admin = load("admin", &config.admin.tls, false)?;
        for concern in config.concerns(clock::now()) {
            tracing::warn!("{concern}");
        }
        Ok(Self { gateway, admin })
    }

    /// Watches the files; nothing where there are none.
    pub(super) fn watch(&self) -> Result<Option<Watch>, StartError> {
        let ports: Vec<Arc<Live>> = self.all().cloned().collect();
        if ports.is_empty() {
            return Ok(None);
        }
        Watch::start(ports, clock::now).map(Some).map_err(StartError::Thread)
    }

    /// Takes the files of another configuration. Whether a port speaks TLS at all is settled at the
    /// start. A port whose files cannot be used keeps what it has, and the error says why.
    pub(super) fn take(&self, config: &Config) -> Result<(), Unusable> {
        let now = clock::now();
        if let (Some(live), Some(files)) = (&self.gateway, &config.gateway.tls) {
            live.take(files.clone(), config.asks_for_certificates(), now)?;
        }
        if let (Some(live), Some(files)) = (&self.admin, &config.admin.tls) {
            live.take(files.clone(), false, now)?;
        }
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Live>> {
        self.gateway.iter().chain(&self.admin)
    }

    /// What `/metrics` shows of them.
    pub(super) fn families(&self) -> Vec<Family> {
        let of = |read: fn(&Live) -> Vec<Sample>| -> Box<dyn Fn() -> Vec<Sample> + Send + Sync> {
            let all: Vec<_> = self.all().cloned().collect();
            Box::new(move || all.iter().flat_map(|live| read(live)).collect())
        };
        vec![
            Family {
                name: "bearward_tls_certificate_end_seconds",
                help: "When each certificate ends, in seconds since 1970",
                grows: false,
                reading: of(|live| {
                    let sample = |(nth, shown): (usize, crate::tls::Shown)| Sample {
                        labels: vec![
                            ("port", live.port().to_owned()),
                            ("nth", nth.to_string()),
                            ("name", shown.name),
                        ],
                        value: u64::try_from(shown.ends_at.seconds()).unwrap_or_default(),
                    };
                    live.shown().into_iter().enumerate().map(sample).collect()
                }),
            },
            Family {
                name: "bearward_tls_renewals",
                help: "How often files of certificates had changed, by whether they were taken",
                grows: true,
                reading: of(|live| {
                    [("taken", live.taken()), ("refused", live.kept())]
                        .map(|(outcome, value)| Sample {
                            labels: vec![
                                ("port", live.port().to_owned()),
                                ("outcome", outcome.to_owned()),
                            ],
                            value,
                        })
                        .into()
                }),
            },
            Family {
                name: "bearward_tls_stale",
                help: "1 while the files hold what cannot be used, and what was before stays",
                grows: false,
                reading: of(|live| {
                    vec![Sample {
                        labels: vec![("port", live.port().to_owned())],
                        value: u64::from(live.is_stale()),
                    }]
                }),
            },
        ]
    }
}

/// What `/metrics` shows of the data port's handshakes.
pub(super) fn handshakes(counted: &Arc<Handshakes>) -> (Family, Figure) {
    let (ended, under_way) = (Arc::clone(counted), Arc::clone(counted));
    let reading = move || {
        let outcomes =
            [("full", ended.full()), ("resumed", ended.resumed()), ("failed", ended.failed())];
        let sample = |(outcome, value): (&str, u64)| Sample {
            labels: vec![("outcome", outcome.to_owned())],
            value,
        };
        outcomes.map(sample).into()
    };
    let family = Family {
        name: "bearward_tls_handshakes",
        help: "Handshakes of the data port that have ended, by how they did",
        grows: true,
        reading: Box::new(reading),
    };
    let figure = Figure {
        name: "bearward_tls_handshakes_under_way",
        help: "Handshakes of the data port that have begun and not ended",
        grows: false,
        reading: Box::new(move || under_way.under_way() as u64),
    };
    (family, figure)
}
