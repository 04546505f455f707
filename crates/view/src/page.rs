//! The page: its parts, and what it may load.
//!
//! The script is one module, made of the files of `page/` in their reading order; the same script runs from the server and in an exported file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

pub(crate) const HTML: &str = include_str!("page/index.html");
pub(crate) const STYLE: &str = include_str!("page/style.css");
pub(crate) const SCRIPT: &str = concat!(
    include_str!("page/dom.js"),
    include_str!("page/source.js"),
    include_str!("page/address.js"),
    include_str!("page/curve.js"),
    include_str!("page/list.js"),
    include_str!("page/trace.js"),
    include_str!("page/main.js"),
);

/// What the page may load from the server: its own parts and answers.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                                 base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The lines of the page that name its parts.
const LINKS: [&str; 2] =
    ["<link rel=\"stylesheet\" href=\"style.css\">", "<script type=\"module\" src=\"app.js\"></script>"];

/// The page with its parts and data inside. It may load nothing: style and script are named by their hashes.
pub(crate) fn with_data(json: &str) -> String {
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    let head =
        format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n<style>{STYLE}</style>");
    // Escaped, no text can end the element; JSON allows the escape within strings, and `<` is nowhere else.
    let data = json.replace('<', "\\u003c");
    let body = format!(
        "<script type=\"application/json\" id=\"data\">{data}</script>\n<script type=\"module\">{SCRIPT}</script>"
    );
    HTML.replacen(LINKS[0], &head, 1).replacen(LINKS[1], "", 1).replacen(
        "</body>",
        &format!("{body}\n</body>"),
        1,
    )
}

/// A source of a content security policy that allows just this text.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_its_parts_once() {
        for link in LINKS {
            assert_eq!(HTML.matches(link).count(), 1, "{link}");
        }
        assert_eq!(HTML.matches("</body>").count(), 1);
        // Within an element neither may end it.
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</script"));
        assert!(!HTML.contains("http://") && !HTML.contains("https://"));
    }

    #[test]
    fn nothing_is_taken_for_markup() {
        for forbidden in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http:", "https:"]
        {
            let allowed = if forbidden == "http:" { 1 } else { 0 };
            assert!(SCRIPT.matches(forbidden).count() <= allowed, "{forbidden}");
        }
        let page = with_data(r#"{"text":"</script><script>alert(1)</script>"}"#);
        assert!(!page.contains("alert(1)</script>") && page.contains("\\u003c/script>"));
        assert_eq!(page.matches("<script").count(), 2);
    }
}
