//! What a start gives the pages.

use super::Running;
use crate::admin::{self, NoRandom};
use crate::clock;
use crate::config::Config;
use crate::secret::Secret;
use crate::session::browser::Limits;

/// When their sessions end.
pub(super) fn limits(config: &Config) -> Limits {
    Limits { idle: config.admin.session_idle, life: config.admin.session_life }
}

impl Running {
    /// An address at which whoever opens it signs in as the bearer of a token: once, and soon.
    pub fn sign_in_link(&self, secret: &Secret) -> Result<String, NoRandom> {
        let code = admin::browser_key(&admin::system_random)?;
        self.browsers.offer(&code, secret.digest(), clock::now());
        Ok(format!("http://{}/sign-in/{code}", self.admin))
    }
}
