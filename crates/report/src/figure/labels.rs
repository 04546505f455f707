//! Short names for things that are shown side by side.
//!
//! Names that fit stay. Longer ones lose what all of them begin and end with, up to the last separator, and are then cut in the middle;
//! where that leaves two of them equal, numbers replace them. Labels are different whenever the names are.

/// Characters between which names have parts.
const SEPARATORS: [char; 7] = ['-', '_', '.', '/', ' ', '@', ':'];

/// Fewest characters that a label is cut to.
const SHORTEST: usize = 5;

/// A label of at most `longest` characters for each name.
pub(super) fn labels(names: &[&str], longest: usize) -> Vec<String> {
    let whole: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let bare = without_shared_ends(names);
    let cut: Vec<String> = bare.iter().map(|name| cut_in_the_middle(name, longest)).collect();
    let fits = |labels: &[String]| {
        labels.iter().all(|label| label.chars().count() <= longest) && are_different(labels)
    };
    let numbers = (1..=names.len()).map(|n| n.to_string()).collect();
    [whole, bare, cut].into_iter().find(|labels| fits(labels)).unwrap_or(numbers)
}

fn are_different(labels: &[String]) -> bool {
    labels.iter().enumerate().all(|(i, label)| !label.is_empty() && !labels[..i].contains(label))
}

/// The names without the parts that all of them begin and end with; none of them loses all.
fn without_shared_ends(names: &[&str]) -> Vec<String> {
    let parts: Vec<Vec<&str>> = names.iter().map(|name| name.split_inclusive(SEPARATORS).collect()).collect();
    let fewest = parts.iter().map(Vec::len).min().unwrap_or(0);
    let Some(first) = parts.first() else { return Vec::new() };
    let shared = |at: &dyn Fn(&[&str], usize) -> String| {
        (0..fewest.saturating_sub(1))
            .take_while(|&i| parts.iter().all(|parts| at(parts, i) == at(first, i)))
            .count()
    };
    let head = shared(&|parts, i| parts[i].to_string());
    let tail = shared(&|parts, i| parts[parts.len() - 1 - i].to_string()).min(fewest - 1 - head);
    let kept =
        |parts: &Vec<&str>| parts[head..parts.len() - tail].concat().trim_end_matches(SEPARATORS).to_string();
    parts.iter().map(kept).collect()
}

/// The first and the last characters around an ellipsis.
fn cut_in_the_middle(name: &str, longest: usize) -> String {
    let chars: Vec<char> = name.chars().collect();
    if chars.len() <= longest || longest < SHORTEST {
        return name.to_string();
    }
    let tail = (longest - 1) / 2;
    let head = longest - 1 - tail;
    chars[..head].iter().chain(&['…']).chain(&chars[chars.len() - tail..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_share_is_left_out() {
        let names = ["Qwen2.5-Math-1.5B_gsm8k", "Qwen2.5-Math-7B_gsm8k", "Qwen2.5-Math-72B-Instruct_gsm8k"];
        assert_eq!(labels(&names, 14), ["1.5B", "7B", "72B-Instruct"]);
        assert_eq!(labels(&names, 8), ["1.5B", "7B", "72B-…uct"]);
        assert_eq!(labels(&["sprout@init", "sprout@mle", "sprout@rl"], 7), ["init", "mle", "rl"]);
        assert_eq!(labels(&["base", "tuned"], 14), ["base", "tuned"]);
    }

    #[test]
    fn labels_are_different_or_numbers() {
        let names = ["checkpoint000100of999", "checkpoint000200of999"];
        assert_eq!(labels(&names, 8), ["1", "2"]);
        let ends = ["run-one-with-a-long-name", "run-two-with-another-name"];
        assert_eq!(labels(&ends, 9), ["one-…long", "two-…ther"]);
        assert_eq!(labels(&["a", "b", "c"], 3), ["a", "b", "c"]);
    }
}
