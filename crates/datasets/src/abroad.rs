//! Words for "the answer is" in other languages.
//!
//! They are those of MGSM (Shi et al. 2022) and of other languages in which models were seen to answer: Arabic, Bengali, Chinese, Dutch,
//! French, German, Hindi, Indonesian, Italian, Japanese, Korean, Persian, Polish, Portuguese, Russian, Spanish, Swahili, Swedish, Telugu,
//! Thai, Turkish, Ukrainian, Vietnamese. A noun for an answer or result, then a copula or a colon; where a language does without a copula,
//! the answer may follow at once.

use std::sync::LazyLock;

use regex::{Match, Regex};

static CUE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?ix) (?:
            \b(?:respuesta|resultado|solución) (?:\s+(?:final|correcta|correcto))? [\s*_]* (?:\bes\b|\bsería\b|\bson\b|:) (?:\s+la\b)?
          | \b(?:réponse|reponse|résultat) (?:\s+(?:finale?|correcte?))? [\s*_]* (?:\b(?:est|serait)\b|:) (?:\s+la\b)?
          | \b(?:antwort|lösung|ergebnis|endergebnis) [\s*_]* (?:\b(?:ist|lautet|beträgt|wäre)\b|:) (?:\s*also\b)?
          | \b(?:risposta|risultato) (?:\s+(?:finale|corretta|giusta))? [\s*_]* (?:è|e'|\bsarebbe\b|:) (?:\s+la\b)?
          | \b(?:resposta) (?:\s+(?:final|correta|certa))? [\s*_]* (?:é|\bseria\b|:) (?:\s+a\b)?
          | \b(?:antwoord|svaret|svar) [\s*_]* (?:\b(?:is|luidt|är|er)\b|:)
          | \b(?:ответ|відповідь) [\s*_]* (?::|-|—|–|\bравен\b|\bэто\b|\bце\b|\bбудет\b)
          | \b(?:odpowiedź|odpowiedzią) [\s*_]* (?::|\bto\b|\bjest\b|\bwynosi\b)
          | \b(?:cevap|cevabı|yanıt) [\s*_]* :?
          | \b(?:đáp\s+án|câu\s+trả\s+lời) (?:\s+(?:đúng|cuối\s+cùng))? [\s*_]* (?:\blà\b|:)
          | \b(?:jawaban|jawabannya) (?:\s+(?:akhir|yang\s+benar))? [\s*_]* (?:\badalah\b|:)
          | \b(?:jibu) (?:\s+(?:sahihi|la\s+mwisho))? [\s*_]* (?:\bni\b|:)
          | (?:الجواب|الإجابة|الاجابة|جواب|پاسخ) (?:\s+(?:الصحيحة|الصحيح|النهائية|النهائي|صحیح|نهایی))? [\s*_]* (?:هو|هي|:)?
          | (?:उत्तर|जवाब) [\s*_]* (?:है|:)?
          | (?:উত্তর|উত্তরটি) [\s*_]* (?:হলো|হল|হচ্ছে|:)?
          | (?:คำตอบ) (?:ที่ถูกต้อง|สุดท้าย)? [\s*_]* (?:คือ|:)?
          | (?:సమాధానం) [\s*_]* :?
          | \b(?:opción|opcion) \s+ (?:correcta|adecuada) \s+ es\b (?:\s+la\b)?
          | \boption \s+ (?:correcte|exacte|juste) \s+ est\b (?:\s+la\b)?
          | \bopção \s+ (?:correta|certa) \s+ é (?:\s+a\b)?
          | \bopzione \s+ (?:corretta|giusta) \s+ è (?:\s+la\b)?
          | \b(?:richtige|korrekte|beste) \s+ (?:option|wahl|aussage) \s+ (?:ist|wäre)\b
          | 答 [:：]
          | (?:答案|(?:正确|正確)的?(?:选项|選項)|正解|答え|解答|回答) [\s*_]* (?:应该是|應該是|应为|就是|是|为|為|は|選|选|：|:|＝|=)
          | (?:정답|답변|답) [\s*_]* (?:은|는|:|：)
        )"#,
    )
    .expect("the pattern is a constant")
});

/// Where a completion says that the answer follows.
pub(crate) fn cues(completion: &str) -> impl Iterator<Item = Match<'_>> {
    CUE.find_iter(completion)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cues_end_where_the_answer_begins() {
        for (text, answer) in [
            ("La respuesta final es 18.", " 18."),
            ("La réponse est la B", " B"),
            ("Die richtige Antwort lautet B.", " B."),
            ("答案是18", "18"),
            ("正确答案：B", "B"),
            ("정답은 B입니다", " B입니다"),
            ("উত্তর হল ১৮", " ১৮"),
            ("Ответ: 18", " 18"),
        ] {
            let end = cues(text).last().unwrap().end();
            assert_eq!(&text[end..], answer, "{text}");
        }
        assert_eq!(cues("The answer is 18. Here it is solved.").count(), 0);
    }
}
