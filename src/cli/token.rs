//! `bearward token`: API tokens over the admin port.

mod shown;
mod ttl;

use super::client::{Access, escaped};
use super::{say, table, tell};
use anyhow::{Context, bail};
use bearward::id::{TokenId, UserId};
use bearward::role::RoleName;
use bearward::time::Timestamp;
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};
use shown::{details, list_table, status, text};
use ttl::{ShortTtl, Wish};

/// The most that one page of a list has.
const PAGE_ITEMS_MAX: usize = 200;

/// The arguments of `bearward token`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token; its secret is printed once
    Create(Create),
    /// List tokens
    List(List),
    /// Show one token
    Show(One),
    /// Switch a token off: not one request is admitted on it from then on
    Deactivate(Switch),
    /// Switch a deactivated token on again
    Activate(Switch),
    /// Switch a token off for good
    Revoke(One),
    /// Give a token another secret, which is printed once
    Rotate(Rotate),
    /// Hand a token to another user
    Transfer(Transfer),
    /// Switch many tokens: those that are named, or those that fit
    Bulk(Bulk),
}

#[derive(Debug, Args)]
struct Create {
    /// Its name, 1 to 64 characters
    #[arg(long)]
    name: String,
    /// How long it lives, such as 12h, 30d, 6mo or longest [default: six months, or what policy
    /// allows]
    #[arg(long, conflicts_with = "expires_at")]
    ttl: Option<Wish>,
    /// When its life ends, such as 2027-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    expires_at: Option<Timestamp>,
    /// A role that it carries: `org_member`, or SERVICE/ROLE; may be repeated
    #[arg(long = "scope", value_name = "ROLE", required = true)]
    scopes: Vec<RoleName>,
    /// Whose token it is [default: yours]
    #[arg(long, value_name = "USER")]
    owner: Option<UserId>,
}

/// Which tokens.
#[derive(Debug, Args)]
struct Filters {
    /// Only those in this state
    #[arg(long, value_parser = ["activated", "deactivated", "expired", "revoked"])]
    status: Option<String>,
    /// Only those that break a policy, or none, where nobody has that ignored
    #[arg(long, value_parser = ["any", "idle_ttl", "max_ttl", "none"])]
    violation: Option<String>,
    /// Only those of this user; `me` for your own
    #[arg(long, value_name = "USER|me", value_parser = owner)]
    owner: Option<String>,
    /// Only those that carry this role: `org_member`, or SERVICE/ROLE
    #[arg(long, value_name = "ROLE")]
    role: Option<RoleName>,
    /// Only those whose life ends before this time
    #[arg(long, value_name = "TIME")]
    expires_before: Option<Timestamp>,
    /// Only those that were used, and not since this time
    #[arg(long, value_name = "TIME")]
    used_before: Option<Timestamp>,
    /// Only those that were never used
    #[arg(long, conflicts_with = "used_before")]
    never_used: bool,
    /// Only those with this in their name
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    filters: Filters,
    /// The column to sort by, `-` before it for the other way round
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    sort: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
}

#[derive(Debug, Args)]
struct One {
    /// The token's identity (`tok_...`), never its secret
    #[arg(value_name = "TOKEN")]
    id: String,
}

impl One {
    /// Reads the identity. What is none is not repeated, as clap would: it may be a secret.
    fn id(&self) -> anyhow::Result<TokenId> {
        self.id.parse().context("a token is named by its identity, never by its secret")
    }
}

#[derive(Debug, Args)]
struct Rotate {
    #[command(flatten)]
    one: One,
    /// For how long the old secret stays good, such as 12h or 7d [default: it is over at once]
    #[arg(long, value_name = "TIME")]
    overlap: Option<ShortTtl>,
    /// The old secret is over as soon as the new one is used
    #[arg(long)]
    until_first_use: bool,
    /// How long the token lives from now on [default: as long as before, or what policy allows]
    #[arg(long)]
    ttl: Option<Wish>,
}

#[derive(Debug, Args)]
struct Transfer {
    #[command(flatten)]
    one: One,
    /// Its new owner
    #[arg(long, value_name = "USER")]
    to: UserId,
    /// Leave out the roles that the new owner does not hold
    #[arg(long)]
    narrow: bool,
    /// Why
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Debug, Args)]
struct Bulk {
    /// What to do
    #[arg(value_parser = ["deactivate", "activate", "revoke"])]
    action: String,
    /// The tokens' identities (`tok_...`), never their secrets; or say which by the filters
    #[arg(value_name = "TOKEN")]
    ids: Vec<String>,
    #[command(flatten)]
    filters: Filters,
    /// Why
    #[arg(long)]
    reason: Option<String>,
    /// Tell what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct Switch {
    #[command(flatten)]
    one: One,
    /// Why; the token's owner is told
    #[arg(long)]
    reason: Option<String>,
}

fn owner(text: &str) -> Result<String, String> {
    if text == "me" {
        return Ok(text.to_owned());
    }
    text.parse::<UserId>().map(|id| id.to_string()).map_err(|error| error.to_string())
}

impl Command {
    /// The token that it is about, if it is about one.
    const fn named(&self) -> Option<&One> {
        match self {
            Self::Create(_) | Self::List(_) | Self::Bulk(_) => None,
            Self::Show(one) | Self::Revoke(one) => Some(one),
            Self::Deactivate(switch) | Self::Activate(switch) => Some(&switch.one),
            Self::Rotate(rotate) => Some(&rotate.one),
            Self::Transfer(transfer) => Some(&transfer.one),
        }
    }
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (access, command) = (&arguments.access, &arguments.command);
    command.named().map(One::id).transpose()?;
    let (mut client, org) = access.connect()?;
    let tokens = format!("/api/v1/orgs/{org}/tokens");
    let path = |one: &One| format!("{tokens}/{}", one.id);
    let mut call = |method, path: &str, body: Option<&Value>| client.call(method, path, body);
    match command {
        Command::Create(create) => {
            let made = call(Method::POST, &tokens, Some(&create.body()))?;
            if access.json { say_json(&made) } else { say_made(&made) }
        }
        Command::List(list) => {
            let (items, more) =
                list.pages(|query| call(Method::GET, &format!("{tokens}?{query}"), None))?;
            if access.json {
                return say_json(&json!({ "items": items }));
            }
            if more {
                tell(&format!("These are the first {}; --limit shows more.", items.len()));
            }
            say(&list_table(&items))
        }
        Command::Show(one) => {
            let token = call(Method::GET, &path(one), None)?;
            if access.json { say_json(&token) } else { say(&details(&token)) }
        }
        Command::Deactivate(switch) => {
            let path = format!("{}/deactivate", path(&switch.one));
            let token = call(Method::POST, &path, Some(&switch.body()))?;
            if access.json { say_json(&token) } else { say_status(&token) }
        }
        Command::Activate(switch) => {
            let path = format!("{}/activate", path(&switch.one));
            let token = call(Method::POST, &path, Some(&switch.body()))?;
            if access.json { say_json(&token) } else { say_status(&token) }
        }
        Command::Rotate(rotate) => {
            let path = format!("{}/rotate", path(&rotate.one));
            let made = call(Method::POST, &path, Some(&rotate.body()))?;
            if access.json { say_json(&made) } else { say_made(&made) }
        }
        Command::Transfer(transfer) => {
            let path = format!("{}/transfer", path(&transfer.one));
            let token = call(Method::POST, &path, Some(&transfer.body()))?;
            if access.json { say_json(&token) } else { say(&details(&token)) }
        }
        Command::Bulk(bulk) => {
            let told = call(Method::POST, &format!("{tokens}/bulk"), Some(&bulk.body()?))?;
            if access.json { say_json(&told) } else { say_results(&told, bulk.dry_run) }
        }
        Command::Revoke(one) => {
            call(Method::DELETE, &path(one), None)?;
            if access.json {
                say_json(&json!({ "id": one.id, "status": "revoked" }))
            } else {
                say(&format!("{}  revoked", one.id))
            }
        }
    }
}

impl Create {
    fn body(&self) -> Value {
        let (mut org_roles, mut service_roles) = (Vec::new(), Vec::new());
        for scope in &self.scopes {
            match scope {
                RoleName::Organization(name) => org_roles.push(json!(name.as_str())),
                RoleName::Service { service, role } => service_roles
                    .push(json!({ "service": service.as_str(), "role": role.as_str() })),
            }
        }
        let mut body = Map::new();
        body.insert("name".to_owned(), json!(self.name));
        let scope = json!({ "org_roles": org_roles, "service_roles": service_roles });
        body.insert("scope".to_owned(), scope);
        if let Some(wish) = self.ttl {
            body.insert("ttl".to_owned(), wish.json());
        }
        if let Some(expires_at) = self.expires_at {
            body.insert("expires_at".to_owned(), json!(expires_at));
        }
        if let Some(owner) = self.owner {
            body.insert("owner".to_owned(), json!(owner));
        }
        Value::Object(body)
    }
}

impl Rotate {
    fn body(&self) -> Value {
        let mut body = Map::new();
        if let Some(ShortTtl(overlap)) = self.overlap {
            body.insert("overlap".to_owned(), json!(overlap));
        }
        if self.until_first_use {
            body.insert("until".to_owned(), json!("first_use"));
        }
        if let Some(wish) = self.ttl {
            body.insert("ttl".to_owned(), wish.json());
        }
        Value::Object(body)
    }
}

impl Transfer {
    fn body(&self) -> Value {
        let mut body = json!({ "owner": self.to, "narrow": self.narrow });
        if let Some(reason) = &self.reason {
            body["reason"] = json!(reason);
        }
        body
    }
}

impl Bulk {
    fn body(&self) -> anyhow::Result<Value> {
        let mut body = json!({ "action": self.action, "dry_run": self.dry_run });
        if let Some(reason) = &self.reason {
            body["reason"] = json!(reason);
        }
        let filters = self.filters.said();
        match (self.ids.is_empty(), filters.is_empty()) {
            (false, true) => {
                for id in &self.ids {
                    let read = id.parse::<TokenId>();
                    read.context("a token is named by its identity, never by its secret")?;
                }
                body["ids"] = json!(self.ids);
            }
            (true, false) => {
                let mut filter: Map<String, Value> = filters
                    .into_iter()
                    .map(|(name, text)| (name.to_owned(), json!(text)))
                    .collect();
                if let Some(never) = filter.get_mut("never_used") {
                    *never = json!(true);
                }
                body["filter"] = Value::Object(filter);
            }
            (false, false) => bail!("name tokens, or say by filters which ones, not both"),
            (true, true) => bail!("name tokens, or say by filters which ones"),
        }
        Ok(body)
    }
}

impl Switch {
    fn body(&self) -> Value {
        self.reason.as_ref().map_or_else(|| json!({}), |reason| json!({ "reason": reason }))
    }
}

impl Filters {
    /// What is said, as the admin port names it.
    fn said(&self) -> Vec<(&'static str, String)> {
        let filters = [
            ("status", self.status.clone()),
            ("violation", self.violation.clone()),
            ("owner", self.owner.clone()),
            ("role", self.role.as_ref().map(ToString::to_string)),
            ("expires_before", self.expires_before.map(|time| time.to_string())),
            ("used_before", self.used_before.map(|time| time.to_string())),
            ("never_used", self.never_used.then(|| "true".to_owned())),
            ("q", self.q.clone()),
        ];
        filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl List {
    /// The items of as many pages as it takes, and whether there are more.
    fn pages(
        &self,
        mut page: impl FnMut(&str) -> anyhow::Result<Value>,
    ) -> anyhow::Result<(Vec<Value>, bool)> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        while items.len() < self.limit {
            let limit = (self.limit - items.len()).min(PAGE_ITEMS_MAX);
            let mut answer = page(&self.query(limit, cursor.as_deref()))?;
            let Value::Array(more) = answer["items"].take() else { bail!("a list has no items") };
            items.extend(more);
            cursor = answer["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        Ok((items, cursor.is_some()))
    }

    fn query(&self, limit: usize, cursor: Option<&str>) -> String {
        let mut filters = self.filters.said();
        let more = [("sort", self.sort.clone()), ("cursor", cursor.map(str::to_owned))];
        filters.extend(more.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let mut query = format!("limit={limit}");
        for (name, value) in filters {
            query = format!("{query}&{name}={}", escaped(&value));
        }
        query
    }
}

fn say_json(value: &Value) -> anyhow::Result<()> {
    say(&serde_json::to_string_pretty(value)?)
}

fn say_made(made: &Value) -> anyhow::Result<()> {
    say(&details(&made["token"]))?;
    match made["secret"].as_str() {
        Some(secret) => {
            tell("Its secret is shown this once only:");
            say(&format!("Secret     {secret}"))
        }
        None => bail!("the admin port did not give the secret: the token may be a repeated one"),
    }
}

fn say_results(told: &Value, dry_run: bool) -> anyhow::Result<()> {
    let results = told["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut refused = 0;
    for result in results {
        let good = result["ok"] == json!(true);
        refused += usize::from(!good);
        let done = if dry_run { "would be done" } else { "done" };
        let fate = if good { done.to_owned() } else { text(&result["message"]) };
        say(&format!("{}  {}", text(&result["id"]), table::printable(&fate)))?;
    }
    if refused > 0 {
        bail!("{refused} of {} tokens are not as asked for", results.len());
    }
    Ok(())
}

fn say_status(token: &Value) -> anyhow::Result<()> {
    say(&format!("{}  {}", text(&token["id"]), status(token)))
}

#[cfg(test)]
mod tests;
