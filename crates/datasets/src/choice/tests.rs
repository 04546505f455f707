//! Options: tables of examples, and grammar against canonical form on random strings.

use entrace_measure::Verdict;
use proptest::prelude::*;

use super::*;

fn choices(labels: &[&str], texts: &[&str]) -> Choices {
    let strings = |items: &[&str]| items.iter().map(ToString::to_string).collect();
    Choices::new(strings(labels), strings(texts)).unwrap()
}

fn weather() -> Choices {
    choices(&["A", "B", "C", "D"], &["fog", "rain", "a long drought.", "a drought"])
}

fn numbered() -> Choices {
    choices(&["1", "2", "3"], &["2 km", "3 km", "It stays"])
}

fn genes() -> Choices {
    choices(&["A", "B", "C", "D"], &["R", "rr", "Rr", "RR"])
}

const NONE: &str = Answer::INVALID_NAME;

#[test]
fn words_of_choosing_without_end_are_read_before_long() {
    let format = ChoiceFormat;
    for words in ["the answer is ", "so it is ", "I would choose ", "not A but "] {
        let text = words.repeat(20_000) + "B";
        let answer = format.extract(&text, Some(&weather()));
        assert!(answer.is_invalid() || answer == Answer::Value("B".into()), "{words}: {answer:?}");
    }
}

#[test]
fn canonical_forms() {
    let table = [
        (weather(), "B", "B"),
        (weather(), " (B)", "B"),
        (weather(), " B.", "B"),
        (weather(), "**B**", "B"),
        (weather(), "\\boxed{B}", "B"),
        (weather(), "\\boxed{\\text{B}}", "B"),
        (weather(), "b", "B"),
        (weather(), "(b).", "B"),
        (weather(), "B. rain", "B"),
        (weather(), "B) rain", "B"),
        (weather(), "B because it is wet", "B"),
        (weather(), "option B", "B"),
        (weather(), "Choice (B)", "B"),
        (weather(), "Rain.", "B"),
        (weather(), "A drought", "D"),
        (weather(), "the long drought", "C"),
        (weather(), "E", NONE),
        (weather(), "Bridge", NONE),
        (weather(), "snow", NONE),
        (weather(), "2", NONE),
        (weather(), "", NONE),
        (numbered(), "2", "2"),
        (numbered(), "option 2", "2"),
        (numbered(), "2 km", "1"),
        (numbered(), "3 km.", "2"),
        (numbered(), "(3)", "3"),
        (numbered(), "22", NONE),
        (genes(), "RR", "D"),
        (genes(), "Rr", "C"),
        (genes(), "rR", NONE),
        (genes(), "r", "A"),
    ];
    for (choices, text, expected) in table {
        assert_eq!(ChoiceFormat.canonical(text, Some(&choices)).name(), expected, "{text:?}");
    }
    assert!(ChoiceFormat.canonical("B", None).is_invalid());
}

#[test]
fn extraction() {
    let table = [
        (weather(), "The answer is (B)", "B"),
        (weather(), "The answer is B.", "B"),
        (weather(), "The answer is B because it is wet.", "B"),
        (weather(), "The answer is A because nothing else fits.", "A"),
        (weather(), "The answer is A.", "A"),
        (weather(), "The answer is A", "A"),
        (weather(), "The answer is A: fog", "A"),
        (weather(), "The answer is a drought.", "D"),
        (weather(), "The answer is A drought", "D"),
        (weather(), "The answer is A dog.", NONE),
        (weather(), "A dog barks.", NONE),
        (weather(), "The answer is option B.", "B"),
        (weather(), "The correct answer is clearly choice (B).", "B"),
        (weather(), "The best option is B", "B"),
        (weather(), "Answer: B", "B"),
        (weather(), "Answer: Consider (A) first. It is dry. So it must be (C)", "C"),
        (weather(), "Answer: Consider (A) first. It is dry.\nSo it must be (C)", "C"),
        (weather(), "Answer: It will rain, so (B).", "B"),
        (weather(), "**Answer: (B) rain**", "B"),
        (weather(), "**Final Answer**\n\nB", "B"),
        (weather(), "Answer:\n**B**", "B"),
        (weather(), "so $\\boxed{B}$", "B"),
        (weather(), "so \\boxed{\\text{rain}}", "B"),
        (weather(), "the answer is b.", "B"),
        (weather(), "the answer is b because", "B"),
        (weather(), "the answer is (b)", "B"),
        (weather(), "The answer is rain.", "B"),
        (weather(), "The answer is that there will be rain.", "B"),
        (weather(), "The answer is the long drought", NONE),
        (weather(), "The answer is a long drought", "C"),
        (weather(), "The answer is A. No, the answer is C.", "C"),
        (weather(), "The answer is not A. The answer is C.", "C"),
        (weather(), "The answer is A or B.", NONE),
        (weather(), "The answer is both A and B.", NONE),
        (weather(), "The answer is snow.", NONE),
        (weather(), "The answer is B. This answer is correct because (A) is dry.", "B"),
        (choices(&["A", "B"], &["left", "right"]), "The answer is right.", "B"),
        (weather(), "The answer is A-rated rain", "B"),
        (weather(), "B", "B"),
        (weather(), "B. rain", "B"),
        (weather(), "rain", "B"),
        (weather(), "(A) is dry. (C) is dry.\nSo it must be (B).", "B"),
        (weather(), "(A) is wrong, (B) is wrong", NONE),
        (weather(), "(A) is wrong.", NONE),
        (weather(), "It is not (A).", NONE),
        (weather(), "(A) is wrong and option C is not right, which leaves (B)", "B"),
        (weather(), "B because it is wet", "B"),
        (weather(), "**B. rain**", "B"),
        (weather(), "A. fog is thin\nB. rain is wet\nI am not sure", NONE),
        (weather(), "There will be rain, I think.", "B"),
        (weather(), "Option D is correct, all in all", "D"),
        (weather(), "It is a long drought", "C"),
        (weather(), "", NONE),
        (numbered(), "The answer is 3.", "3"),
        (numbered(), "The answer is 3 km.", "2"),
        (numbered(), "The answer is option 2", "2"),
        (numbered(), "The answer is (2) 3 km", "2"),
        (numbered(), "#### 1", "1"),
        (genes(), "The answer is Rr.", "C"),
        (genes(), "The answer is RR", "D"),
        (genes(), "The answer is rr, since", "B"),
    ];
    for (choices, text, expected) in table {
        assert_eq!(ChoiceFormat.extract(text, Some(&choices)).name(), expected, "{text:?}");
    }
}

#[test]
fn of_a_cut_completion_only_closed_statements_are_read() {
    let table = [
        (weather(), "The answer is (B). It", "B"),
        (weather(), "The answer is B", NONE),
        (weather(), "The answer is (B) or", NONE),
        (weather(), "The answer is A. No, the answer is", "A"),
        (weather(), "Answer: B\n", "B"),
        (weather(), "Answer: It is dry, so not (A). It", NONE),
        (weather(), "so \\boxed{B}", "B"),
        (weather(), "B", NONE),
        (weather(), "It will rain", NONE),
        (weather(), "So it must be (B).\n", NONE),
        (numbered(), "The answer is 3", NONE),
        (numbered(), "#### 3\n", "3"),
    ];
    for (choices, text, expected) in table {
        assert_eq!(ChoiceFormat.extract_cut(text, Some(&choices)).name(), expected, "{text:?}");
    }
}

#[test]
fn surface_forms_read_as_their_option() {
    for choices in [weather(), numbered(), genes(), choices(&["A", "B"], &["B", "A"])] {
        for label in choices.labels() {
            let answer = Answer::Value(label.clone());
            let forms = ChoiceFormat.surface_forms(&answer, Some(&choices));
            assert_eq!(forms[..2], [format!(" {label}"), format!(" ({label})")]);
            for form in forms {
                assert_eq!(ChoiceFormat.canonical(&form, Some(&choices)), answer, "{form:?}");
            }
        }
    }
    assert!(ChoiceFormat.surface_forms(&Answer::Value("E".into()), Some(&weather())).is_empty());
    assert!(ChoiceFormat.surface_forms(&Answer::Invalid, Some(&weather())).is_empty());
}

#[test]
fn the_grammar_follows_labels() {
    let verdict = |choices: Option<&Choices>, text: &str| {
        let grammar = ChoiceFormat.grammar(choices);
        grammar.verdict(grammar.walk(grammar.start(), text))
    };
    let ten = choices(&["1", "10", "x y"], &["a", "b", "c"]);
    assert_eq!(verdict(Some(&weather()), " "), Verdict::Open);
    assert_eq!(verdict(Some(&weather()), " (B"), Verdict::Complete);
    assert_eq!(verdict(Some(&weather()), " \\boxed{B}"), Verdict::Closed);
    assert_eq!(verdict(Some(&weather()), " Because"), Verdict::Invalid);
    assert_eq!(verdict(Some(&weather()), " b"), Verdict::Invalid);
    assert_eq!(verdict(Some(&weather()), " rain"), Verdict::Invalid);
    assert_eq!(verdict(Some(&ten), "1"), Verdict::Complete);
    assert_eq!(verdict(Some(&ten), "10 "), Verdict::Closed);
    assert_eq!(verdict(Some(&ten), "11"), Verdict::Invalid);
    assert_eq!(verdict(Some(&ten), "x "), Verdict::Open);
    assert_eq!(verdict(Some(&ten), "x y."), Verdict::Closed);
    assert_eq!(verdict(None, " A"), Verdict::Invalid);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_grammar_and_the_canonical_form_agree(text in "[ (*ABD123.:a\\-\\\\{}éx]{0,8}", set in 0..3_usize) {
        let choices = [weather(), numbered(), genes()][set].clone();
        let canonical = |text: &str| ChoiceFormat.canonical(text, Some(&choices));
        let grammar = ChoiceFormat.grammar(Some(&choices));
        let mut state = grammar.start();
        for (at, c) in text.char_indices() {
            state = grammar.step(state, c);
            let so_far = &text[..at + c.len_utf8()];
            match grammar.verdict(state) {
                Verdict::Complete => prop_assert!(!canonical(so_far).is_invalid(), "{so_far:?}"),
                Verdict::Closed => {
                    prop_assert!(!canonical(so_far).is_invalid());
                    prop_assert_eq!(canonical(so_far), canonical(&text[..at]));
                    break;
                }
                Verdict::Invalid => break,
                Verdict::Open => {}
            }
        }
    }

    #[test]
    fn extraction_takes_any_text(text in ".{0,60}", near in "[ABCDabcd().*\n answerio:]{0,40}") {
        ChoiceFormat.extract(&text, Some(&weather()));
        ChoiceFormat.extract(&near, Some(&genes()));
        ChoiceFormat.extract(&format!("The answer is {near}"), Some(&numbered()));
    }
}
