//! Where files lie is the user's own business: a report names files, not the folders of the machine on which it was made.
//!
//! Of an absolute path (`/home/ann/models/tiny.gguf`, `C:\models\tiny.gguf`, `~/models/tiny.gguf`) the last part is kept, be it a word of its own or
//! behind `=` or a comma. Relative paths stay: they say nothing of the machine. The manifest of the run keeps all of them.

use entrace_record::Manifest;
use entrace_record::manifest::TraceSource;

/// The manifest as a report shows it.
pub(crate) fn without_folders(manifest: &Manifest) -> Manifest {
    let mut manifest = manifest.clone();
    manifest.command.iter_mut().for_each(shorten);
    shorten(&mut manifest.settings.model.name);
    for task in &mut manifest.settings.tasks {
        shorten(&mut task.source);
    }
    if let TraceSource::Imported { path, .. } = &mut manifest.settings.traces {
        shorten(path);
    }
    manifest
}

fn shorten(text: &mut String) {
    let mut short = String::new();
    for part in text.split_inclusive(['=', ',']) {
        let end = part.trim_end_matches(['=', ',']).len();
        let (word, separator) = part.split_at(end);
        short += last_part(word);
        short += separator;
    }
    *text = short;
}

/// The file or folder that an absolute path leads to; anything else as it is.
fn last_part(word: &str) -> &str {
    let mut start = word.chars();
    let drive = matches!((start.next(), start.next(), start.next()), (Some(c), Some(':'), Some('/' | '\\')) if c.is_ascii_alphabetic());
    if !drive && !word.starts_with(['/', '\\']) && !word.starts_with("~/") {
        return word;
    }
    let bare = word.trim_end_matches(['/', '\\']);
    bare.rsplit(['/', '\\']).next().filter(|last| !last.is_empty()).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortened(text: &str) -> String {
        let mut text = text.to_string();
        shorten(&mut text);
        text
    }

    #[test]
    fn absolute_paths_lose_their_folders() {
        assert_eq!(shortened("/home/ann/models/tiny.gguf"), "tiny.gguf");
        assert_eq!(shortened("/home/ann/models/tiny/"), "tiny");
        assert_eq!(shortened("--model=/home/ann/tiny.gguf"), "--model=tiny.gguf");
        assert_eq!(shortened("/data/a.jsonl,gsm8k,~/b.jsonl"), "a.jsonl,gsm8k,b.jsonl");
        assert_eq!(shortened(r"C:\models\tiny.gguf"), "tiny.gguf");
    }

    #[test]
    fn all_else_stays() {
        for text in [
            "run",
            "--limit",
            "org/name@main",
            "data/a.jsonl",
            "./a",
            "\nThe answer is",
            "temperature=0.7,top_p=1",
            "/",
            "",
        ] {
            assert_eq!(shortened(text), text);
        }
    }
}
