//! What is measured is what the table says.

use super::started;
use crate::upstream::ok;
use crate::wire::exchange;
use crate::world::get_from;
use std::collections::BTreeSet;

#[test]
fn the_table_of_metrics_has_those_that_are_there_and_no_others() {
    let page = include_str!("../../../docs/operations.md");
    let page = page.split("\n## ").find(|section| section.starts_with("Metrics")).expect("Metrics");
    let (_upstream, world, _token) = started(ok(), |setup| setup);
    let text = exchange(world.admin, get_from("localhost", "/metrics", "")).text();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    // OpenMetrics: the samples of a counter have a suffix that its family has not.
    let shown: BTreeSet<_> = types
        .map(
            |(name, kind)| {
                if kind == "counter" { format!("{name}_total") } else { name.to_owned() }
            },
        )
        .collect();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let listed: BTreeSet<_> = rows.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(shown, listed, "what /metrics shows, and what the table says");
    let verdicts: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.split_once("verdict=\"")?.1.split('"').next())
        .collect();
    assert!(verdicts.len() > 10, "{text}");
    for verdict in verdicts {
        assert!(page.contains(&format!("`{verdict}`")), "the page does not know `{verdict}`");
    }
}
