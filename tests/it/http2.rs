//! HTTP/2 on the data port: what an honest client sees. What a dishonest one does is in `attacks`.

mod attacks;
mod frames;
mod honest;
mod limits;

use crate::upstream::{Script, Upstream};
use crate::world::{Minted, Setup, World};
use frames::Client;

/// A gateway that speaks HTTP/2 in the clear, before an upstream with this script.
pub(crate) struct Stage {
    pub(crate) upstream: Upstream,
    pub(crate) world: World,
    pub(crate) token: Minted,
}

impl Stage {
    pub(crate) fn new(script: Script) -> Self {
        Self::with(script, |setup| setup)
    }

    pub(crate) fn with(script: Script, adjust: impl FnOnce(Setup) -> Setup) -> Self {
        let upstream = Upstream::start(script);
        let world = adjust(Setup::before(&upstream).gateway("h2c = true")).start();
        let token = world.mint();
        Self { upstream, world, token }
    }

    pub(crate) fn client(&self) -> Client {
        Client::to(self.world.gateway)
    }

    pub(crate) fn credential(&self) -> String {
        format!("Bearer {}", self.token.secret)
    }

    /// The fields of a request with the live token.
    pub(crate) fn fields(&self, method: &str, path: &str) -> Vec<(String, String)> {
        let credential = self.credential();
        let fields = [
            (":method", method),
            (":scheme", "http"),
            (":authority", "gateway.test"),
            (":path", path),
            ("authorization", &credential),
        ];
        fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// Those of a GET with these put in: a field that is there already gets another value, one with an
    /// empty value goes.
    pub(crate) fn but(&self, path: &str, changes: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut fields = self.fields("GET", path);
        for (name, value) in changes {
            let known = fields.iter_mut().find(|(known, _)| known == name);
            match known {
                Some((_, known)) => (*value).clone_into(known),
                None => fields.push(((*name).to_owned(), (*value).to_owned())),
            }
        }
        fields.retain(|(_, value)| !value.is_empty());
        fields
    }

    /// Somebody honest is served as ever.
    pub(crate) fn honest(&self, variant: &str) {
        let mut client = self.client();
        let stream = client.ask(&self.fields("GET", "/orders/honest"), true);
        assert_eq!(client.answer(stream).status, Some(200), "{variant}: an honest client");
    }
}
