//! Bearward: a reverse proxy that admits a request only on a live bearer token, and a port to govern
//! those tokens.
//!
//! This page is the map. `ARCHITECTURE.md` in the repository has the picture, the two walks and the
//! invariants; each room's own page has the invariants that it keeps.
//!
//! # The walk of a request
//!
//! [`listener`] reads it, with a guard over its framing and a deadline for every [`phase`];
//! [`gateway`] vets it, finds its [route](gateway::route), takes its [`credential`], looks the
//! [digest](secret::Digest) up in the [`cache`], has [`access::decide`] judge the facts, and forwards
//! it over a connection of [`upstream`]. [`usage`] remembers that the token was used.
//!
//! # The walk of a change
//!
//! [`session`] tells who calls, [`admin`] parses what is asked for, [`governance`] plans it without
//! touching anything, and [`store`] commits the plan: to the cache first if it takes access away.
//!
//! # The rooms
//!
//! Each imports only what stands above it in this list.
//!
//! - Pure, without clock, I/O or runtime: [`time`], [`id`], [`role`], [`secret`], [`credential`],
//!   [`org`], [`token`], [`policy`], [`exemption`], [`validation`], [`audit`], [`notice`],
//!   [`change`], [`inventory`], [`leak`], [`oidc`], [`access`], [`http1`], [`governance`].
//! - What survives, and what time it is: [`store`], [`seal`], [`clock`].
//! - What is held in memory: [`cache`], [`usage`], [`session`], [`directory`],
//!   [`rotation`], [`trails`].
//! - Settings and figures: [`config`], [`telemetry`].
//! - Calls that we make ourselves: [`outbound`].
//! - The edges: [`listener`], [`upstream`], [`gateway`], [`provider`], [`admin`], [`scheduler`],
//!   [`notifier`].
//! - [`app`] puts them together.
//!
//! The library is there for the `bearward` command and for tests; its interface is not stable.

pub mod access;
pub mod admin;
pub mod app;
pub mod audit;
pub mod cache;
pub mod change;
pub mod clock;
pub mod config;
pub mod credential;
pub mod directory;
pub mod exemption;
pub mod gateway;
pub mod governance;
pub mod http1;
pub mod id;
pub mod inventory;
pub mod leak;
pub mod listener;
pub mod notice;
pub mod notifier;
pub mod oidc;
pub mod org;
pub mod outbound;
pub mod phase;
pub mod policy;
pub mod provider;
pub mod role;
pub mod rotation;
pub mod scheduler;
pub mod seal;
pub mod secret;
pub mod session;
mod socket;
pub mod store;
pub mod telemetry;
pub mod time;
pub mod tls;
pub mod token;
pub mod trails;
pub mod upstream;
pub mod usage;
pub mod validation;
