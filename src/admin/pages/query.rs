//! Addresses of lists: what they ask for, and those that ask for something else.

use crate::admin::problem::Problem;
use http::Uri;

/// What the address of a list asks for. Fields that are left empty ask for nothing.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    path: &'static str,
    said: Vec<(String, String)>,
}

/// The head of a column.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) title: &'static str,
    /// Where the list is sorted by it.
    pub(super) address: String,
    /// What assistive technology is told.
    pub(super) order: &'static str,
}

impl Asked {
    /// Reads an address of `path` that may say what is `known`, each once.
    pub(super) fn of(uri: &Uri, path: &'static str, known: &[&str]) -> Result<Self, Problem> {
        let mut asked = Self { path, said: Vec::new() };
        for (name, text) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            let text = text.trim();
            let is_known = known.contains(&&*name);
            if !is_known || asked.text(&name).is_some() {
                let detail = if is_known { "said twice" } else { "no such filter" };
                return Err(Problem::field(&name, detail));
            }
            if !text.is_empty() {
                asked.said.push((name.into_owned(), text.to_owned()));
            }
        }
        Ok(asked)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.said.iter().find(|(found, _)| found == name).map(|(_, text)| text.as_str())
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    pub(super) fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.text(name).is_some())
    }

    /// The address that asks for the same, but for these.
    pub(super) fn with(&self, others: &[(&str, &str)]) -> String {
        let kept = self.said.iter().filter(|(name, _)| {
            name != "cursor" && name != "done" && !others.iter().any(|(other, _)| other == name)
        });
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(kept);
        query.extend_pairs(others.iter().filter(|(_, text)| !text.is_empty()));
        let query = query.finish();
        if query.is_empty() { self.path.to_owned() } else { format!("{}?{query}", self.path) }
    }

    /// The heads of columns: the name in the API, the title. `default` is the order when nothing is
    /// said.
    pub(super) fn heads(
        &self,
        columns: &[(&'static str, &'static str)],
        default: &str,
    ) -> Vec<Head> {
        let sort = self.text("sort").unwrap_or(default);
        let head = |&(name, title): &(&'static str, &'static str)| {
            let order = match sort.strip_prefix('-') {
                Some(column) if column == name => "descending",
                None if sort == name => "ascending",
                Some(_) | None => "none",
            };
            let next = if order == "ascending" { format!("-{name}") } else { name.to_owned() };
            Head { title, address: self.with(&[("sort", &next)]), order }
        };
        columns.iter().map(head).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(address: &str) -> Result<Asked, Problem> {
        Asked::of(&address.parse().expect("an address"), "/list", &["q", "sort", "cursor"])
    }

    #[test]
    fn an_address_is_read_strictly_and_made_anew() {
        let list = asked("/list?q=+a%26b+&sort=&cursor=5").expect("known");
        assert_eq!((list.text("q"), list.text("sort")), (Some("a&b"), None));
        assert_eq!(list.with(&[]), "/list?q=a%26b");
        assert_eq!(list.with(&[("q", ""), ("sort", "-x")]), "/list?sort=-x");
        assert_eq!(list.with(&[("q", "")]), "/list");
        for wrong in ["/list?w=1", "/list?q=1&q=2"] {
            assert!(asked(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_head_leads_to_the_other_order() {
        let orders = |address| {
            let heads = asked(address).expect("known").heads(&[("a", "A"), ("b", "B")], "-b");
            heads.into_iter().map(|head| (head.order, head.address)).collect::<Vec<_>>()
        };
        let to = |sort: &str| format!("/list?sort={sort}");
        assert_eq!(orders("/list"), [("none", to("a")), ("descending", to("b"))]);
        assert_eq!(orders("/list?sort=a"), [("ascending", to("-a")), ("none", to("b"))]);
    }
}
