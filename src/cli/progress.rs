//! How far long work has come, for a person at a terminal; elsewhere nothing is drawn.

use indicatif::{ProgressBar, ProgressStyle};

/// So many of so many.
pub(super) fn bar(what: &str, count: u64) -> ProgressBar {
    let template =
        format!("  {what}  {{bar:40}} {{human_pos}}/{{human_len}}  {{per_sec}}  {{eta}} left");
    styled(ProgressBar::new(count), &template)
}

/// So many of nobody knows how many.
pub(super) fn counting(what: &str) -> ProgressBar {
    let template = format!("  {what}  {{spinner}} {{human_pos}}  {{per_sec}}");
    styled(ProgressBar::new_spinner(), &template)
}

/// Bytes, of as many as there will be.
pub(super) fn bytes() -> ProgressBar {
    styled(ProgressBar::new_spinner(), "  {bar:40} {bytes}/{total_bytes}  {bytes_per_sec}")
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    // Draws on standard error. A template that is none would leave the plain style.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
