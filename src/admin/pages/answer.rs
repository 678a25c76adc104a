//! Answers of the pages.

use super::asset;
use super::sign_in;
use super::visitor::{Theme, Visitor};
use crate::admin::desk::Desk;
use crate::admin::problem::Problem;
use crate::governance::Authority;
use askama::Template;
use axum::response::{IntoResponse, Response};
use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, REFRESH, SET_COOKIE,
};
use http::{HeaderValue, StatusCode};

/// Nothing but files of ours, and forms that lead to us.
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
     img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// A page, a problem as a page, or another address.
#[derive(Debug)]
pub(super) struct Answer(Response);

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        self.0
    }
}

/// What surrounds every page of somebody who is signed in.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) theme: &'static str,
    pub(super) style: String,
    pub(super) script: String,
    pub(super) proof: String,
    pub(super) who: String,
    pub(super) email: String,
    pub(super) org: String,
    /// Whether the list of all tokens is theirs to see.
    pub(super) reads_all: bool,
    pub(super) governs: bool,
    pub(super) here: &'static str,
    /// The address of the page.
    pub(super) address: String,
    /// The commit from which on changes are news to the page.
    pub(super) since: u64,
}

/// A page that the menu leads to. Another page is another line of [`MENU`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// Who sees it, and whoever has more.
    least: Authority,
    pub(super) here: &'static str,
    pub(super) address: &'static str,
    pub(super) icon: &'static str,
    pub(super) title: &'static str,
}

const fn item(
    least: Authority,
    here: &'static str,
    address: &'static str,
    icon: &'static str,
    title: &'static str,
) -> Item {
    Item { least, here, address, icon, title }
}

use Authority::{Admin, Member, Nothing, Owner};

/// The groups of the menu.
const MENU: [(&str, &[Item]); 3] = [
    (
        "Governance",
        &[
            item(Owner, "overview", "/governance/overview", "overview", "Overview"),
            item(Admin, "tokens", "/governance/tokens", "key", "API tokens"),
            item(Admin, "settings", "/governance/settings", "settings", "Settings"),
            item(Admin, "exemptions", "/governance/exemptions", "clock", "Exemptions"),
        ],
    ),
    (
        "Organization",
        &[
            item(Admin, "users", "/governance/users", "users", "Users"),
            item(Owner, "audit", "/governance/audit", "audit", "Audit trail"),
            item(Owner, "notices", "/governance/notices", "mail", "Notices"),
            item(Owner, "webhooks", "/governance/webhooks", "hook", "Webhooks"),
        ],
    ),
    ("My account", &[item(Member, "mine", "/account/tokens", "me", "My API tokens")]),
];

impl Frame {
    pub(super) fn of(
        desk: &Desk<'_>,
        visitor: &Visitor,
        title: impl Into<String>,
        here: &'static str,
    ) -> Result<Self, Problem> {
        let user = desk.user(desk.caller.user())?;
        let org = desk.org(desk.caller.org())?;
        let authority = desk.caller.authority();
        Ok(Self {
            who: user.name,
            email: user.email,
            org: org.name,
            reads_all: authority >= Authority::Admin,
            governs: authority == Authority::Owner,
            proof: visitor.proof.clone(),
            here,
            address: visitor.here.clone(),
            since: visitor.since.0,
            ..Self::bare(title, visitor.theme)
        })
    }

    /// Around pages for anybody.
    pub(super) fn bare(title: impl Into<String>, theme: Theme) -> Self {
        Self {
            title: title.into(),
            theme: theme.name(),
            style: asset::address("bearward.css"),
            script: asset::address("bearward.js"),
            proof: String::new(),
            who: String::new(),
            email: String::new(),
            org: String::new(),
            reads_all: false,
            governs: false,
            here: "",
            address: String::new(),
            since: 0,
        }
    }

    /// The pages that are theirs to see, in groups.
    pub(super) fn menu(&self) -> Vec<(&'static str, Vec<Item>)> {
        let sees = |item: &&Item| match item.least {
            Owner => self.governs,
            Admin => self.reads_all,
            Member | Nothing => true,
        };
        let theirs = MENU.iter().map(|(title, items)| {
            (*title, items.iter().filter(sees).copied().collect::<Vec<Item>>())
        });
        theirs.filter(|(_, items)| !items.is_empty()).collect()
    }

    /// What stands for a face.
    pub(super) fn initials(&self) -> String {
        let firsts = self.who.split_whitespace().filter_map(|word| word.chars().next());
        firsts.take(2).flat_map(char::to_uppercase).collect()
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    frame: Frame,
    title: &'static str,
    detail: String,
}

impl Answer {
    pub(super) fn page(page: &impl Template) -> Self {
        Self::with_status(StatusCode::OK, page)
    }

    pub(super) fn with_status(status: StatusCode, page: &impl Template) -> Self {
        match page.render() {
            Ok(html) => Self(dressed((status, html).into_response())),
            Err(error) => Self(Problem::internal(&error).into_response()),
        }
    }

    /// The problem that the API would answer with, to be read by a person.
    pub(super) fn problem(problem: Problem, theme: Theme) -> Self {
        let kind = problem.kind();
        let page = ProblemPage {
            frame: Frame::bare(kind.title(), theme),
            title: kind.title(),
            detail: problem.sentence(),
        };
        Self::telling(problem, &page)
    }

    /// A page that tells of a problem, with what the problem says beside its body.
    pub(super) fn telling(problem: Problem, page: &impl Template) -> Self {
        let (mut parts, _body) = problem.into_response().into_parts();
        let told = Self::with_status(parts.status, page).0;
        let (own, body) = told.into_parts();
        parts.headers.remove(http::header::CONTENT_LENGTH);
        parts.headers.remove(http::header::WWW_AUTHENTICATE);
        for (name, value) in &own.headers {
            parts.headers.insert(name, value.clone());
        }
        Self(Response::from_parts(parts, body))
    }

    /// To another page of ours.
    pub(super) fn to(address: &str) -> Self {
        let to = HeaderValue::from_str(address).unwrap_or(HeaderValue::from_static("/"));
        Self(dressed((StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response()))
    }

    /// To where one signs in, and from there on to `here`.
    pub(super) fn sign_in(here: &str) -> Self {
        Self::to(&sign_in::address(here))
    }

    /// To an address that the configuration or the identity provider gives, which does not learn
    /// where somebody comes from.
    pub(super) fn away(address: &str) -> Self {
        let mut answer = Self::to(address);
        answer.0.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        answer
    }

    /// The same page, which goes on by itself to another page of ours. What it is gone on from
    /// tells nobody its address, which has a code in it.
    pub(super) fn going_on_to(mut self, address: &str) -> Self {
        if let Ok(refresh) = HeaderValue::from_str(&format!("0;url={address}")) {
            self.0.headers_mut().insert(REFRESH, refresh);
        }
        self.0.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        self
    }

    pub(super) fn setting(mut self, cookie: &str) -> Self {
        if let Ok(cookie) = HeaderValue::from_str(cookie) {
            self.0.headers_mut().append(SET_COOKIE, cookie);
        }
        self
    }
}

fn dressed(mut response: Response) -> Response {
    let fixed = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        // Without an Origin of their own, forms could not be told from those of other sites.
        (REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
