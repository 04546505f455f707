//! Texts that a server is asked about.

/// Texts after which any model is sure of what comes next; the first that a tokenizer knows is used.
pub(super) const SURE: [&str; 3] = [
    "one two three four five six seven eight nine ten one two three four five six seven eight nine ten one two three four",
    "1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9 1 2 3 4 5",
    "aaaaaaaaaaaa",
];

/// Some fifty texts of many kinds: words, numbers, signs, spaces, other scripts.
pub(super) fn compared() -> impl Iterator<Item = &'static str> {
    TEXTS.into_iter()
}

const TEXTS: [&str; 50] = [
    "The answer is",
    " 42",
    "42",
    " 3.14159",
    " 1,234,567",
    "-17",
    " (A)",
    " (B) none of these",
    "A",
    " B",
    "yes",
    " No.",
    "Step 1: add the numbers.",
    "Step 2:\n",
    "\n\n",
    "\n",
    "    indented",
    "\ttab",
    "two  spaces",
    "trailing space ",
    "def f(x):\n    return x + 1\n",
    "for (int i = 0; i < n; i++) { sum += a[i]; }",
    "x = y**2 - 4*a*c",
    "$\\frac{1}{2}$",
    "\\boxed{18}",
    "#### 72",
    "48 - 19 = 29",
    "7 × 8 = 56",
    "½ of 10 is 5",
    "50%",
    "$18.00",
    "http://example.org/a?b=c",
    "me@example.org",
    "don't",
    "it's",
    "We're",
    "THE CAPITALS",
    "CamelCaseName",
    "snake_case_name",
    "hyphen-ated",
    "naïve café",
    "Grüße aus Köln",
    "Привет",
    "你好，世界",
    "こんにちは",
    "مرحبا",
    "😀 emoji 👍🏽",
    "“quoted”",
    "a—b…",
    "Therefore, the train leaves at 12:45 p.m.",
];
