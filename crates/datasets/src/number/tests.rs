//! Numbers: tables of examples, and grammar against canonical form on random strings.

use entrace_measure::Verdict;
use proptest::prelude::*;

use super::*;

fn canonical(text: &str) -> String {
    NumberFormat::default().canonical(text, None).name().to_string()
}

fn extract(text: &str) -> String {
    NumberFormat::default().extract(text, None).name().to_string()
}

const NONE: &str = Answer::INVALID_NAME;

#[test]
fn canonical_forms() {
    let table = [
        ("18", "18"),
        (" 18.", "18"),
        ("18.0", "18"),
        ("18.00", "18"),
        ("007", "7"),
        ("0", "0"),
        ("-0", "0"),
        (".5", "0.5"),
        ("0.50", "0.5"),
        ("3.", "3"),
        ("1,234", "1234"),
        ("1,000,000.50", "1000000.5"),
        ("109,200,000", "109200000"),
        ("1,23", "1.23"),
        ("1,2,3", NONE),
        ("1,2345", "1.2345"),
        ("0,123", "0.123"),
        ("1234,567", "1234.567"),
        ("1 234", "1234"),
        ("$18", "18"),
        ("€ 1,200", "1200"),
        ("£3.50", "3.5"),
        ("50%", "50"),
        ("50 %", "50"),
        ("-4", "-4"),
        ("−4", "-4"),
        ("–4", "-4"),
        ("+4", "4"),
        ("- 4", "-4"),
        ("\n- 4", "4"),
        ("minus 4", "-4"),
        ("-$5", "-5"),
        ("$-5", "-5"),
        ("-$ 5", "-5"),
        ("-\\$5", "-5"),
        ("\\$5", "5"),
        ("--5", NONE),
        ("1/2", "0.5"),
        ("2/6", "1/3"),
        ("-1/3", "-1/3"),
        ("1/0", NONE),
        ("3/", "3"),
        // A digit of a script whose digits are not read.
        ("3/꤉", NONE),
        ("1e꤉", "1"),
        ("$3/hour", "3"),
        ("1/2/2020", NONE),
        ("\\frac{1}{2}", "0.5"),
        ("$\\dfrac{10}{4}$", "2.5"),
        ("\\frac12", "0.5"),
        ("-\\frac{2}{3}", "-2/3"),
        ("\\frac{1}{0}", NONE),
        ("\\frac{x}{2}", NONE),
        ("\\sqrt{2}", NONE),
        ("½", "0.5"),
        ("1½", "1.5"),
        ("-⅔", "-2/3"),
        ("3²", NONE),
        ("1e3", "1000"),
        ("1.5E-2", "0.015"),
        ("3eggs", "3"),
        ("1e999", NONE),
        ("٣", "3"),
        ("１８", "18"),
        ("12:30", NONE),
        ("12: why", "12"),
        ("1.2.3", NONE),
        ("5-10", NONE),
        ("18-year-old", "18"),
        ("2^3", NONE),
        ("2nd", "2"),
        ("18kg", "18"),
        ("18 dollars", "18"),
        ("**18**", "18"),
        ("\"18\"", "18"),
        ("`18`", "18"),
        ("(18)", "18"),
        ("~18", "18"),
        ("= 18", "18"),
        (": $18.", "18"),
        ("\\boxed{18}", "18"),
        ("\\(\\boxed{18}\\)", "18"),
        ("\\text{18 dollars}", "18"),
        ("\n\n18\n", "18"),
        // A plus may be a bullet as well.
        ("\n+\n18", "18"),
        ("123456789012345678901234567890.10", "123456789012345678901234567890.1"),
        ("eighteen", NONE),
        ("about 18", NONE),
        ("", NONE),
        ("$", NONE),
        ("-", NONE),
        (".", NONE),
        ("...", NONE),
    ];
    for (text, expected) in table {
        assert_eq!(canonical(text), expected, "{text:?}");
    }
}

#[test]
fn extraction() {
    let table = [
        ("#### 42", "42"),
        ("9 * 2 = 18\n#### 1,450,000", "1450000"),
        ("#### 18 dollars per day", "18"),
        ("#### $-5", "-5"),
        ("#### 5 + 3 = 8", "8"),
        ("#### 1\nwait\n#### 2", "2"),
        ("#### 2. Multiply by 3\nIt makes 12 in all", "12"),
        ("The answer is 18.", "18"),
        ("The answer is $18 per day, since 9 * 2 = 18.", "18"),
        ("The answer is 18, because 3 + 4 = 7.", "18"),
        ("The answer is 5 + 3 = 8", "8"),
        ("The answer is 5+3=8.", "8"),
        ("The answer is 5 apples + 3 apples = 8 apples.", "8"),
        ("The answer is 5 + 3 = 8 because 2 + 2 = 4.", "8"),
        ("The answer is 18 = 3 * 6.", "18"),
        ("The answer is 20 dollars/hour * 8 hours = 160 dollars.", "160"),
        ("The answer is 10 per day x 7 days = 70", "70"),
        ("The answer is 8 hours/day * 5 days = 40 hours", "40"),
        ("The answer is $20/hour * 8 hours = $160.", "160"),
        ("The answer is 20% of 50 = 10.", "10"),
        ("The answer is 5 plus 3 = 8.", "8"),
        ("It is 3. The answer is 20 dollars/hour * 8 hours.", NONE),
        ("The answer is 18 dollars a day since 9 * 2 = 18.", "18"),
        ("The answer is 18 dollars every day - 9 eggs at $2 each.", "18"),
        ("The answer is 20 dollars per day - 5 dollars = 15 dollars.", "15"),
        ("Answer: 5. So the answer is clear: 18 dollars.", "18"),
        ("The answer is 5 1/2.", "5.5"),
        ("The answer is -5 1/3 degrees.", "-16/3"),
        ("The answer is 5 ½.", "5.5"),
        ("The answer is 2 1/2 + 3 1/4 = 5 3/4 cups.", "5.75"),
        ("\\boxed{5\\frac{1}{2}}", "5.5"),
        ("It takes 5 1/2 hours", "5.5"),
        ("It takes 5 \\frac{1}{2} hours", "5.5"),
        ("It takes 20 3/4-inch nails", "0.75"),
        ("It takes 5 7/2 hours", "3.5"),
        ("The answer is 18. I am sure this answer is 100% correct.", "18"),
        ("The answer is 18. The answer is correct because 3 of 3 checks pass.", "18"),
        ("The answer is 18. This answer is most likely right, 3 of 3 times.", "18"),
        ("The answer is x = 5.", "5"),
        ("It is 3. The answer is 5 + 3.", NONE),
        ("It is 3. The answer is 5+3.", NONE),
        ("The answer is between 5 - 10.", NONE),
        ("The answer is 5 - 10.", NONE),
        ("The answer is 12 - that is, a dozen.", "12"),
        ("The answer is 1/2.", "0.5"),
        ("The answer is 7. No, the answer is 8.", "8"),
        ("The answer is not 7. She has 9.", "9"),
        ("The answer is clearly correct. So 14 it is.", "14"),
        ("The answer is 18.\nThe answer is clear.", "18"),
        ("The answer is approximately 18 dollars.", "18"),
        ("The answer is therefore **18**.", "18"),
        ("The answer to the second question is 30 cows.", "30"),
        ("Answer: 18", "18"),
        ("**Answer:** $18.00", "18"),
        ("Answer:\n\n18", "18"),
        ("**Final Answer**\n\n18 eggs", "18"),
        ("Final answer: \\(18\\)", "18"),
        ("The final answer is $\\boxed{18}$. I hope it is correct.", "18"),
        ("Answer: She sells 9 eggs a day. At $2 each she makes 18 dollars", "18"),
        ("Answer: She sells 16 - 3 - 4 = 9 eggs.\nShe makes 9 * 2 = $18.", "18"),
        ("Answer: She makes 18 dollars a day.", "18"),
        ("Solution: She sells 9 eggs.\nShe makes 18 dollars.", "18"),
        ("\\boxed{18}", "18"),
        ("\\boxed{3} then \\boxed{\\frac{1}{2}}", "0.5"),
        ("\\boxed{18 \\text{ dollars}}", "18"),
        ("\\boxed{x = 18}", "18"),
        ("\\boxed{1{,}234}", "1234"),
        ("\\boxed{\\$1,234.50}", "1234.5"),
        ("\\boxed{7}, so \\boxed{}", "7"),
        ("It is 7, so \\boxed{12", "12"),
        ("\\fbox{4}", "4"),
        ("She makes 9 * 2 = $18 every day", "18"),
        ("16-3-4=9", "9"),
        ("We had 10 and lost 3 -4", "-4"),
        ("It fell to -4", "-4"),
        ("It fell to −$4 then", "-4"),
        ("10-4", "4"),
        ("the items 1,2,3", "3"),
        (
            "It costs 18. Water is H2O, 20 m^2 wide, x2 on the 3rd day at 12:30 of 1/2/2020, version 1.2.3.",
            "20",
        ),
        ("1. Add 3 and 4\n2. Get seven", "4"),
        ("18. Done", "18"),
        ("half of it, \\frac{3}{4}", "0.75"),
        ("It is ½", "0.5"),
        ("答案是18", "18"),
        ("It is 1e3", "1000"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("eighteen dollars", NONE),
        ("", NONE),
    ];
    for (text, expected) in table {
        assert_eq!(extract(text), expected, "{text:?}");
    }
}

#[test]
fn of_a_cut_completion_only_closed_statements_are_read() {
    let table = [
        ("Now Eva has 14 + 23 =", NONE),
        ("S: 10\nT: 1", NONE),
        ("She has 9 eggs.\n", NONE),
        ("The answer is 18. So", "18"),
        ("The answer is 18.\n", "18"),
        ("The answer is 18", NONE),
        ("The answer is 18.", NONE),
        ("The answer is 18 +", NONE),
        ("The answer is 5 + 3. It", NONE),
        ("The answer is 18 dollars", NONE),
        ("The answer is 18. The answer is 1", "18"),
        ("The answer is 5 + 3 = 8. And", "8"),
        ("#### 18", NONE),
        ("#### 18 dollars. Or", NONE),
        ("#### 18\n", "18"),
        ("\\boxed{18}", "18"),
        ("\\boxed{18} or \\boxed{1", "18"),
        ("Answer: 18\n\nQ:", "18"),
        ("Answer: She has 9 eggs. She", NONE),
        ("Answer: 16 - 3 = 13 eggs.\nThen", NONE),
        ("", NONE),
    ];
    for (text, expected) in table {
        assert_eq!(NumberFormat::default().extract_cut(text, None).name(), expected, "{text:?}");
    }
}

#[test]
fn a_number_alone_is_told_from_a_number_in_text() {
    for text in ["18", "$1,200.", "-3.5", "50%", " 1/2 ", "51.0"] {
        assert!(is_number(text), "{text:?}");
    }
    for text in ["18 dollars", "3 little pigs", "", "two", "12 30", "(1,2)", "2x", "3\\pi", "10 or 12"] {
        assert!(!is_number(text), "{text:?}");
    }
}

#[test]
fn surface_forms_read_as_their_answer_and_none_begins_another() {
    for value in ["18", "1234", "-1234567.5", "0", "-4", "0.5", "1/3", "-22/7", "-0.25"] {
        let answer = Answer::Value(value.into());
        let forms = NumberFormat::default().surface_forms(&answer, None);
        assert_eq!(forms[0], format!(" {value}"));
        for form in &forms {
            assert_eq!(NumberFormat::default().canonical(form, None), answer, "{form:?}");
            assert!(form.starts_with(' '));
            assert_eq!(forms.iter().filter(|other| other.starts_with(form.as_str())).count(), 1, "{form:?}");
        }
    }
    assert!(NumberFormat::default().surface_forms(&Answer::Invalid, None).is_empty());
}

/// Strings of the characters that matter, so that most of them are near a number.
fn near_numbers() -> impl Strategy<Value = String> {
    let alphabet: Vec<char> = " \n$-−–+.,/:*_^(){}[]\\=%'0123456789½²eEx٣frac".chars().collect();
    let piece = prop_oneof![
        8 => prop::sample::select(alphabet).prop_map(String::from),
        1 => prop::sample::select(vec!["\\frac{", "\\boxed{", "}{", "1,234", "18", "1/2"]).prop_map(String::from),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn what_the_grammar_accepts_has_a_canonical_form(text in near_numbers()) {
        let grammar = NumberFormat::default().grammar(None);
        let mut state = grammar.start();
        for (at, c) in text.char_indices() {
            let before = grammar.verdict(state);
            state = grammar.step(state, c);
            let so_far = &text[..at + c.len_utf8()];
            match grammar.verdict(state) {
                Verdict::Complete => prop_assert!(canonical(so_far) != NONE, "{so_far:?}"),
                Verdict::Open => prop_assert_eq!(canonical(so_far), NONE, "{:?}", so_far),
                Verdict::Invalid => break,
                Verdict::Closed => {
                    prop_assert_eq!(before, Verdict::Complete);
                    break;
                }
            }
        }
        prop_assert_eq!(grammar.walk(grammar.start(), &text), state);
    }

    #[test]
    fn canonical_forms_are_their_own_canonical_form(text in near_numbers()) {
        let value = canonical(&text);
        if value != NONE {
            prop_assert_eq!(canonical(&value), value);
        }
    }

    #[test]
    fn extraction_takes_any_text(text in ".{0,60}", near in near_numbers()) {
        extract(&text);
        extract(&format!("The answer is {near}"));
        extract(&near);
    }
}
