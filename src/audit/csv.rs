//! Events as comma-separated values (RFC 4180), for spreadsheets.
//!
//! A spreadsheet takes a cell that begins with `=` and the like for a formula, whoever wrote it. So
//! such a cell gets an apostrophe before it, which makes it text: what others wrote stays text.

use super::line::{ActorLine, Line};
use std::fmt::Write;

/// The names of the columns.
pub const HEADINGS: &str = "seq,at,actor,actor_token,action,target_type,target_id,target_name,address,\
                            request_id,reason,changes,revision,previous_hash,hash\r\n";

/// The row of an event.
#[must_use]
pub fn row(line: &Line) -> String {
    let (actor, token) = match &line.actor {
        ActorLine::User { user, token } => (user.to_string(), token.to_string()),
        ActorLine::Offline => ("offline".to_owned(), String::new()),
        ActorLine::System => ("system".to_owned(), String::new()),
        ActorLine::Unknown => ("unknown".to_owned(), String::new()),
        ActorLine::Session { user } => (user.to_string(), String::new()),
    };
    let text = |json: Option<serde_json::Value>| {
        json.and_then(|json| json.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let cells = [
        line.seq.to_string(),
        line.at.to_string(),
        actor,
        token,
        line.action.to_string(),
        text(serde_json::to_value(line.target.r#type).ok()),
        line.target.id.clone(),
        line.target.name.clone(),
        line.address.clone().unwrap_or_default(),
        line.request_id.clone().unwrap_or_default(),
        line.reason.clone().unwrap_or_default(),
        if line.changes.is_empty() {
            String::new()
        } else {
            serde_json::to_string(&line.changes).unwrap_or_default()
        },
        line.revision.to_string(),
        line.previous_hash.to_string(),
        line.hash.to_string(),
    ];
    let mut row = String::new();
    for (at, cell) in cells.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let _infallible = write!(row, "{comma}{}", cell_of(cell));
    }
    row + "\r\n"
}

fn cell_of(text: &str) -> String {
    let is_formula = text
        .trim_start()
        .starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
        || text.starts_with(['\t', '\r', '\n']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', ';', '"', '\r', '\n', '\t', '\'']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_text_whatever_is_in_it() {
        for (text, cell) in [
            ("", ""),
            ("plain text", "plain text"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("a\r\nb", "\"a\r\nb\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("  =1", "\"'  =1\""),
            ("\t=1", "\"'\t=1\""),
            ("\u{ff1d}1", "\"'\u{ff1d}1\""),
            ("=cmd|' /C calc'!A0", "\"'=cmd|' /C calc'!A0\""),
            ("usr_01", "usr_01"),
        ] {
            assert_eq!(cell_of(text), cell);
        }
    }
}
