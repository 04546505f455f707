//! The book in `docs/book`: what mdBook leaves out or lets pass without a word.
//!
//! Every page is in SUMMARY.md and every entry of it is a page; relative links lead to pages, and to headings that are there. Whether the
//! commands of a page work is a test of `cli` (`tests/binary/book.rs`).

use super::entries;
use crate::read;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const FOLDER: &str = "docs/book/src";
const SUMMARY: &str = "SUMMARY.md";

/// The pages by name, with what they include.
pub(crate) fn load(root: &Path) -> Result<BTreeMap<String, String>> {
    let folder = root.join(FOLDER);
    let page = |path: &Path| -> Result<(String, String)> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut text = String::new();
        for line in read(path)?.lines() {
            match line.strip_prefix("{{#include ").and_then(|rest| rest.strip_suffix("}}")) {
                Some(included) => text += &read(&folder.join(included))?,
                None => text += line,
            }
            text.push('\n');
        }
        Ok((name, text))
    };
    entries(&folder)?.iter().map(|path| page(path)).collect()
}

/// Pages that are not in the summary, entries without a page, links that lead nowhere.
pub(crate) fn problems(pages: &BTreeMap<String, String>) -> Vec<String> {
    let summary = pages.get(SUMMARY).map(String::as_str).unwrap_or_default();
    let listed: BTreeSet<&str> = links(summary).collect();
    let unlisted = pages.keys().filter(|name| *name != SUMMARY && !listed.contains(name.as_str()));
    let mut problems: Vec<String> =
        unlisted.map(|name| format!("{FOLDER}/{name}: is not in {SUMMARY}")).collect();
    for (name, text) in pages {
        for link in links(text).filter(|link| !link.contains("://")) {
            let (page, heading) = link.split_once('#').map_or((link, None), |(page, id)| (page, Some(id)));
            let target = if page.is_empty() { Some(text) } else { pages.get(page) };
            let found =
                target.is_some_and(|target| heading.is_none_or(|id| ids(target).any(|known| known == id)));
            if !found {
                problems.push(format!("{FOLDER}/{name}: the link to {link} leads nowhere in the book"));
            }
        }
    }
    problems
}

/// Where the links of a text lead.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("](").filter_map(|(at, mark)| text[at + mark.len()..].split(')').next())
}

/// The identities that mdBook gives to the headings of a page: letters and digits in lower case, hyphens for spaces.
fn ids(text: &str) -> impl Iterator<Item = String> {
    let headings = text
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    headings.map(|heading| {
        let kept =
            heading.trim().chars().filter(|c| c.is_alphanumeric() || c.is_whitespace() || "-_".contains(*c));
        kept.map(|c| if c.is_whitespace() { '-' } else { c.to_ascii_lowercase() }).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_listed_and_links_lead_somewhere() {
        let pages = [
            (SUMMARY, "[A](a.md)\n- [Gone](gone.md)\n"),
            (
                "a.md",
                "## One `two` three\n[b](b.md#x) [here](#one-two-three) [there](#two) [out](https://e.org)",
            ),
            ("b.md", "# X\n"),
        ];
        let pages = pages.map(|(name, text)| (name.to_string(), text.to_string())).into();
        assert_eq!(
            problems(&pages),
            [
                "docs/book/src/b.md: is not in SUMMARY.md",
                "docs/book/src/SUMMARY.md: the link to gone.md leads nowhere in the book",
                "docs/book/src/a.md: the link to #two leads nowhere in the book"
            ]
        );
    }
}
