//! `bearward insight`: what use and ends of the tokens come to, over the admin port.

use super::client::Access;
use super::{say, table, tell};
use bearward::id::TokenId;
use bearward::time::Day;
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::Value;

/// The arguments of `bearward insight`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the live tokens that were not used for some days, the longest idle first
    Stale(Days),
    /// Print on which of the coming days live tokens end
    Expiry(Days),
    /// Print how many requests were admitted on each of the last days
    Requests(Requests),
    /// List the live tokens that carry roles which no request needed for some days
    UnusedScope(UnusedScope),
    /// Print what requests came to, in each of the last minutes and on each of the last days
    Verdicts(Verdicts),
}

#[derive(Debug, Args)]
struct Days {
    #[command(flatten)]
    access: Access,
    /// How many days it is about, 1 to 366
    #[arg(long, value_name = "N", default_value_t = 90)]
    days: u16,
}

#[derive(Debug, Args)]
struct Requests {
    #[command(flatten)]
    access: Access,
    /// Only those of this token, by its identity
    #[arg(long, value_name = "TOKEN")]
    token: Option<TokenId>,
    /// The first day, such as 2027-01-31 [default: 34 days before the last]
    #[arg(long, value_name = "DAY")]
    from: Option<Day>,
    /// The last day [default: today]
    #[arg(long, value_name = "DAY")]
    to: Option<Day>,
}

#[derive(Debug, Args)]
struct Verdicts {
    #[command(flatten)]
    access: Access,
    /// How many minutes, 1 to 360
    #[arg(long, value_name = "N", default_value_t = 60)]
    minutes: u16,
    /// How many days, 1 to 35
    #[arg(long, value_name = "N", default_value_t = 7)]
    days: u16,
}

#[derive(Debug, Args)]
struct UnusedScope {
    #[command(flatten)]
    access: Access,
    /// For how many days nothing needed the roles, 1 to 366
    #[arg(long, value_name = "N", default_value_t = 90)]
    days: u16,
    /// Only this token, by its identity
    #[arg(long, value_name = "TOKEN")]
    token: Option<TokenId>,
    /// Only tokens of whose requests in these days all are known
    #[arg(long)]
    complete: bool,
    /// So many tokens at most, those with most to give up first
    #[arg(long, value_name = "N", default_value_t = 200)]
    limit: usize,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Command::Stale(days) => days.run("stale", stale_table),
        Command::Expiry(days) => days.run("expiry", expiry_table),
        Command::Requests(requests) => requests.run(),
        Command::UnusedScope(unused) => unused.run(),
        Command::Verdicts(verdicts) => verdicts.run(),
    }
}

impl Days {
    fn run(&self, question: &str, show: fn(&Value) -> String) -> anyhow::Result<()> {
        ask(&self.access, &format!("{question}?days={}", self.days), show)
    }
}

impl Requests {
    fn run(&self) -> anyhow::Result<()> {
        let token = self.token.map(|token| token.to_string());
        let day = |day: Option<Day>| day.map(|day| day.to_string());
        let said = [("token", token), ("from", day(self.from)), ("to", day(self.to))];
        let said = said.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        let query = said.collect::<Vec<_>>().join("&");
        ask(&self.access, &format!("requests?{query}"), requests_table)
    }
}

impl Verdicts {
    fn run(&self) -> anyhow::Result<()> {
        let question = format!("verdicts?minutes={}&days={}", self.minutes, self.days);
        ask(&self.access, &question, verdicts_table)
    }
}

/// Rows in a page of the answer.
const PAGE_ROWS: usize = 200;

impl UnusedScope {
    /// Goes through as many pages as it takes.
    fn run(&self) -> anyhow::Result<()> {
        let (mut client, org) = self.access.connect()?;
        let mut said = vec![format!("days={}", self.days)];
        said.extend(self.token.map(|token| format!("token={token}")));
        said.extend(self.complete.then(|| "complete=true".to_owned()));
        let mut items: Vec<Value> = Vec::new();
        let mut cursor: Option<String> = None;
        let mut answer = loop {
            let rows = self.limit.saturating_sub(items.len()).clamp(1, PAGE_ROWS);
            let after = cursor.take().map(|cursor| format!("cursor={cursor}"));
            let query = said.iter().cloned().chain([format!("limit={rows}")]).chain(after);
            let query = query.collect::<Vec<_>>().join("&");
            let path = format!("/api/v1/orgs/{org}/insight/unused-scope?{query}");
            let mut answer = client.call(Method::GET, &path, None)?;
            if let Some(Value::Array(page)) = answer.get_mut("items").map(Value::take) {
                items.extend(page);
            }
            cursor = answer["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() || items.len() >= self.limit {
                break answer;
            }
        };
        items.truncate(self.limit);
        answer["items"] = Value::Array(items);
        if self.access.json {
            return say(&serde_json::to_string_pretty(&answer)?);
        }
        say(&unused_table(&answer))?;
        for remark in remarks(&answer) {
            tell(&remark);
        }
        Ok(())
    }
}

/// What a reader has to know who takes a role away.
fn remarks(answer: &Value) -> Vec<String> {
    let mut remarks = Vec::new();
    match answer["observed_since"].as_str() {
        Some(since) => remarks.push(format!("Requests are recorded since {since}.")),
        None => remarks.push("No gateway ever ran on this store.".to_owned()),
    }
    remarks.extend(list(&answer["gaps"]).map(|gap| {
        let (from, until) = (text(&gap["from"]), text(&gap["until"]));
        format!("Some requests between {from} and {until} may have been missed.")
    }));
    if answer["next_cursor"].is_string() {
        remarks.push("There are more tokens: see --limit.".to_owned());
    }
    remarks
}

fn unused_table(answer: &Value) -> String {
    let row = |token: &Value| {
        let choices: Vec<String> =
            list(&token["one_of"]).map(|choice| roles(choice).join(" or ")).collect();
        let complete = if token["complete"] == true { "yes" } else { "no" };
        vec![
            text(&token["id"]),
            text(&token["name"]),
            text(&token["owner"]["email"]),
            roles(&token["unused"]).join(" "),
            choices.join("; "),
            text(&token["observed_since"]),
            complete.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = list(&answer["items"]).map(row).collect();
    let headings = ["ID", "NAME", "OWNER", "UNUSED", "ONE OF", "OBSERVED SINCE", "COMPLETE"];
    table::columns(&headings, &rows)
}

/// The names in a scope.
fn roles(scope: &Value) -> Vec<String> {
    let service = |role: &Value| format!("{}/{}", text(&role["service"]), text(&role["role"]));
    let org = list(&scope["org_roles"]).map(text);
    org.chain(list(&scope["service_roles"]).map(service)).collect()
}

fn ask(access: &Access, question: &str, show: fn(&Value) -> String) -> anyhow::Result<()> {
    let (mut client, org) = access.connect()?;
    let path = format!("/api/v1/orgs/{org}/insight/{question}");
    let answer = client.call(Method::GET, &path, None)?;
    if access.json {
        return say(&serde_json::to_string_pretty(&answer)?);
    }
    say(&show(&answer))
}

fn requests_table(answer: &Value) -> String {
    let row = |day: &Value| {
        vec![text(&day["day"]), day["requests"].to_string(), reasons(&day["refused"])]
    };
    let rows: Vec<Vec<String>> = list(&answer["days"]).map(row).collect();
    table::columns(&["DAY", "REQUESTS", "REFUSED"], &rows)
}

/// How many for which reason.
fn reasons(counts: &Value) -> String {
    let counts = counts.as_object().into_iter().flatten();
    let counts: Vec<String> = counts.map(|(reason, count)| format!("{reason} {count}")).collect();
    counts.join(", ")
}

fn verdicts_table(answer: &Value) -> String {
    let row = |when: &str, row: &Value| {
        vec![text(&row[when]), row["permitted"].to_string(), reasons(&row["denied"])]
    };
    let minutes = list(&answer["minutes"]).map(|minute| row("at", minute));
    let days = list(&answer["days"]).map(|day| row("day", day));
    let rows: Vec<Vec<String>> = minutes.chain(days).collect();
    table::columns(&["WHEN", "ADMITTED", "REFUSED"], &rows)
}

fn stale_table(answer: &Value) -> String {
    let steps: Vec<Vec<String>> = list(&answer["idle"])
        .map(|step| {
            let days = match step["below_days"].as_u64() {
                Some(below) => format!("{} to {below}", step["from_days"]),
                None => format!("{} or more", step["from_days"]),
            };
            vec![days, step["tokens"].to_string()]
        })
        .collect();
    let rows: Vec<Vec<String>> = list(&answer["tokens"])
        .map(|token| {
            vec![
                text(&token["id"]),
                text(&token["name"]),
                text(&token["owner"]["email"]),
                text(&token["last_used_at"]),
                text(&token["idle_since"]),
                token["use_count"].to_string(),
            ]
        })
        .collect();
    let (stale, named) = (answer["stale"].as_u64().unwrap_or(0), rows.len() as u64);
    if stale > named {
        tell(&format!("These are the {named} longest idle of {stale} stale tokens."));
    }
    let idle = table::columns(&["IDLE DAYS", "TOKENS"], &steps);
    let headings = ["ID", "NAME", "OWNER", "LAST USED", "IDLE SINCE", "USES"];
    format!("{idle}\n\n{}", table::columns(&headings, &rows))
}

fn expiry_table(answer: &Value) -> String {
    let mut rows: Vec<Vec<String>> = list(&answer["calendar"])
        .map(|day| {
            let tokens: Vec<String> = list(&day["tokens"]).map(text).collect();
            let count = day["count"].as_u64().unwrap_or(0);
            let more = if count > tokens.len() as u64 { " ..." } else { "" };
            vec![text(&day["day"]), count.to_string(), format!("{}{more}", tokens.join(" "))]
        })
        .collect();
    rows.push(vec!["later".to_owned(), answer["later"].to_string(), String::new()]);
    table::columns(&["DAY", "TOKENS", "WHICH"], &rows)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stale_tokens_come_below_the_distribution() {
        let answer = json!({
            "stale": 1,
            "idle": [{"from_days": 0, "below_days": 1, "tokens": 4},
                {"from_days": 1, "below_days": null, "tokens": 1}],
            "tokens": [{"id": "tok_1", "name": "ci", "owner": {"email": null},
                "last_used_at": null, "idle_since": "2027-01-01T00:00:00.000Z", "use_count": 0}],
        });
        let expected = "IDLE DAYS  TOKENS\n0 to 1     4\n1 or more  1\n\n\
            ID     NAME  OWNER  LAST USED  IDLE SINCE                USES\n\
            tok_1  ci    -      -          2027-01-01T00:00:00.000Z  0";
        assert_eq!(stale_table(&answer), expected);
    }

    #[test]
    fn verdicts_are_told_with_their_reasons() {
        let answer = json!({
            "minutes": [{"at": "2027-01-01T00:01:00.000Z", "permitted": 4,
                "denied": {"expired": 2, "revoked": 1}}],
            "days": [{"day": "2027-01-01", "permitted": 5, "denied": {}}],
        });
        let expected = "WHEN                      ADMITTED  REFUSED\n\
            2027-01-01T00:01:00.000Z  4         expired 2, revoked 1\n\
            2027-01-01                5";
        assert_eq!(verdicts_table(&answer), expected);
    }

    #[test]
    fn unused_roles_are_told_with_what_is_not_known() {
        let role = |role: &str| json!({"service": "orders", "role": role});
        let scope = |names: &[&str]| {
            let roles: Vec<Value> = names.iter().map(|name| role(name)).collect();
            json!({"org_roles": [], "service_roles": roles})
        };
        let answer = json!({
            "observed_since": "2027-01-01T00:00:00.000Z",
            "gaps": [{"from": "2027-01-02T00:00:00.000Z", "until": "2027-01-02T00:01:00.000Z"}],
            "next_cursor": "00",
            "items": [{"id": "tok_1", "name": "ci", "owner": {"email": "a@example.com"},
                "unused": {"org_roles": ["org_admin"], "service_roles": [role("writer")]},
                "one_of": [scope(&["reader", "auditor"])],
                "observed_since": "2027-01-01T00:00:00.000Z", "complete": false}],
        });
        let expected = "ID     NAME  OWNER          UNUSED                   ONE OF                          \
            OBSERVED SINCE            COMPLETE\n\
            tok_1  ci    a@example.com  org_admin orders/writer  orders/reader or orders/auditor  \
            2027-01-01T00:00:00.000Z  no";
        assert_eq!(
            unused_table(&answer).split_whitespace().collect::<Vec<_>>(),
            expected.split_whitespace().collect::<Vec<_>>()
        );
        assert_eq!(
            remarks(&answer),
            [
                "Requests are recorded since 2027-01-01T00:00:00.000Z.",
                "Some requests between 2027-01-02T00:00:00.000Z and 2027-01-02T00:01:00.000Z may \
                 have been missed.",
                "There are more tokens: see --limit.",
            ]
        );
    }

    #[test]
    fn a_full_day_says_that_there_are_more() {
        let answer = json!({
            "later": 3,
            "calendar": [{"day": "2027-01-02", "count": 2, "tokens": ["tok_1"]}],
        });
        let expected = "DAY         TOKENS  WHICH\n2027-01-02  2       tok_1 ...\nlater       3";
        assert_eq!(expiry_table(&answer), expected);
    }
}
