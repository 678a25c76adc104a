//! What people and machines are told of: the gateway before a real mail server, which is killed,
//! stopped and misbehaves, and the gateway killed before it could send.

mod fairness;
mod mail;
pub(crate) mod mailbox;
mod secure;
mod templates;
mod webhooks;
