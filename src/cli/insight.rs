//! `bearward insight`: what use and ends of the tokens come to, over the admin port.

use super::client::Access;
use super::{say, table, tell};
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
}

#[derive(Debug, Args)]
struct Days {
    #[command(flatten)]
    access: Access,
    /// How many days it is about, 1 to 366
    #[arg(long, value_name = "N", default_value_t = 90)]
    days: u16,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Command::Stale(days) => days.run("stale", stale_table),
        Command::Expiry(days) => days.run("expiry", expiry_table),
    }
}

impl Days {
    fn run(&self, question: &str, show: fn(&Value) -> String) -> anyhow::Result<()> {
        let (mut client, org) = self.access.connect()?;
        let path = format!("/api/v1/orgs/{org}/insight/{question}?days={}", self.days);
        let answer = client.call(Method::GET, &path, None)?;
        if self.access.json {
            return say(&serde_json::to_string_pretty(&answer)?);
        }
        say(&show(&answer))
    }
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
    fn a_full_day_says_that_there_are_more() {
        let answer = json!({
            "later": 3,
            "calendar": [{"day": "2027-01-02", "count": 2, "tokens": ["tok_1"]}],
        });
        let expected = "DAY         TOKENS  WHICH\n2027-01-02  2       tok_1 ...\nlater       3";
        assert_eq!(expiry_table(&answer), expected);
    }
}
