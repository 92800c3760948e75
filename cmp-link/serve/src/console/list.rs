//! Lists: a page at a time, and the same rows as a file for spreadsheets.

use super::way::segment;
use super::{Cells, csv};
use maud::{Markup, html};
use serde_json::Value;

/// Rows of a page.
pub const PAGE: u32 = 50;
/// Rows that a file is read by.
const PART: u32 = 500;

/// The address of a list with these members of its filter; empty ones are left out.
#[must_use]
pub fn address(path: &str, members: &[(&str, &str)]) -> String {
    let members = members.iter().filter(|(_, value)| !value.is_empty());
    let pairs: Vec<String> = members
        .map(|(name, value)| format!("{name}={}", segment(value)))
        .collect();
    format!("{path}?{}", pairs.join("&"))
}

/// The rows of a file, [`csv::MOST`] at most. `read` yields at most so many rows behind a place, each with its own place;
/// those without a row are passed over.
///
/// # Errors
/// Those of `read`.
pub async fn whole<P: Clone, E, F>(read: impl Fn(Option<P>, u32) -> F) -> Result<Vec<Value>, E>
where
    F: Future<Output = Result<Vec<(P, Option<Value>)>, E>>,
{
    let (mut rows, mut after) = (Vec::new(), None);
    while rows.len() < csv::MOST {
        let part = read(after, PART).await?;
        let is_last = part.len() < PART as usize;
        after = part.last().map(|(place, _)| place.clone());
        rows.extend(part.into_iter().filter_map(|(_, row)| row));
        if is_last {
            break;
        }
    }
    rows.truncate(csv::MOST);
    Ok(rows)
}

/// A page of a list.
#[derive(Debug)]
pub struct Listing<'a> {
    /// Its address.
    pub path: &'a str,
    /// What is listed.
    pub title: &'a str,
    /// Columns of the table.
    pub columns: &'a [&'a str],
    /// The fields of its filter; none where it has none.
    pub fields: Option<Markup>,
    /// What stands in the filter, for the addresses of the file and of the next page.
    pub filter: &'a [(&'a str, &'a str)],
    /// The rows of this page with their places.
    pub part: Vec<(String, Option<Value>)>,
}

impl Listing<'_> {
    fn address(&self, name: &str, value: &str) -> String {
        let more = [(name, value)];
        let members: Vec<(&str, &str)> = self.filter.iter().chain(&more).copied().collect();
        address(self.path, &members)
    }

    /// Filter, table, and where it goes on.
    #[must_use]
    pub fn content(&self, cells: Cells<'_>) -> Markup {
        let is_full = self.part.len() >= PAGE as usize;
        let last = self.part.last().map(|(place, _)| place);
        let next = last.filter(|place| is_full && !place.is_empty());
        let rows = self.part.iter().filter_map(|(_, row)| row.clone());
        let rows: Vec<Value> = rows.collect();
        let export = html! { a.button href=(self.address("format", "csv")) { "Export as CSV" } };
        html! {
            @if let Some(fields) = &self.fields {
                form.card method="get" action=(self.path) {
                    (fields)
                    div.actions { button.main { "Show" } (export) }
                }
            } @else { div.actions { (export) } }
            (cells.table(self.title, self.columns, &rows))
            @if let Some(next) = next {
                div.actions { a.button href=(self.address("after", next)) { "More" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::{Language, Texts};
    use serde_json::json;
    use std::convert::Infallible;

    #[test]
    fn a_full_page_leads_on_and_keeps_its_filter() {
        let texts = Texts::new(["", ""]);
        let cells = Cells {
            words: texts.words(Language::English, 0),
            target: |_, _| None,
        };
        let row = |n: u32| (format!("{n}&x"), Some(json!({"n": n})));
        let mut listing = Listing {
            path: "/console/orders",
            title: "Orders",
            columns: &["n"],
            fields: None,
            filter: &[("state", "a b"), ("search", "")],
            part: (0..PAGE).map(row).collect(),
        };
        let html = listing.content(cells).into_string();
        for part in [
            "/console/orders?state=a%20b&amp;after=49%26x",
            "/console/orders?state=a%20b&amp;format=csv",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        listing.part.truncate(3);
        assert!(!listing.content(cells).into_string().contains("after="));
    }

    #[tokio::test]
    async fn a_file_has_all_rows_of_a_list_and_no_more_than_it_may() {
        for (stored, expected) in [(0, 0), (500, 500), (1_203, 1_203), (30_000, csv::MOST)] {
            let read = |after: Option<u32>, limit: u32| async move {
                let from = after.map_or(0, |n| n + 1);
                let part = (from..stored.min(from + limit)).map(|n| (n, Some(json!(n))));
                Ok::<_, Infallible>(part.collect())
            };
            let Ok(rows) = whole(read).await;
            assert_eq!(rows.len(), expected);
            let in_order = rows.iter().enumerate().all(|(n, row)| *row == json!(n));
            assert!(in_order, "{stored}");
        }
    }
}
