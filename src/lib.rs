#![doc = "placeholder"]

pub mod access;
pub mod admin;
pub mod app;
pub mod audit;
pub mod cache;
pub mod clock;
pub mod config;
pub mod credential;
pub mod directory;
pub mod gateway;
pub mod governance;
pub mod id;
pub mod listener;
pub mod org;
pub mod phase;
pub mod policy;
pub mod role;
pub mod secret;
pub mod session;
mod socket;
pub mod store;
pub mod telemetry;
pub mod time;
pub mod token;
pub mod upstream;
pub mod usage;
