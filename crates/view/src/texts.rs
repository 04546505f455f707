//! Many short texts in one allocation.

/// Texts by number, some of them absent.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    text: String,
    /// Where each begins and how many bytes it has; `ABSENT` where there is none.
    spans: Vec<(u32, u32)>,
}

const ABSENT: (u32, u32) = (u32::MAX, 0);

impl Texts {
    /// Adds a text, or its absence. One that repeats its neighbour takes no room; one beyond four gigabytes in all is absent.
    pub(crate) fn push(&mut self, text: Option<&str>) {
        let span = text.and_then(|text| match self.last() {
            Some(last) if last == text => self.spans.last().copied(),
            _ => {
                let begin = u32::try_from(self.text.len()).ok()?;
                let length =
                    u32::try_from(text.len()).ok().filter(|length| begin.checked_add(*length).is_some())?;
                self.text.push_str(text);
                Some((begin, length))
            }
        });
        self.spans.push(span.unwrap_or(ABSENT));
    }

    /// A text by its number.
    pub(crate) fn get(&self, number: usize) -> Option<&str> {
        let (begin, length) = *self.spans.get(number).filter(|span| **span != ABSENT)?;
        self.text.get(begin as usize..(begin + length) as usize)
    }

    fn last(&self) -> Option<&str> {
        self.get(self.spans.len().checked_sub(1)?)
    }

    /// Gives back what was allocated ahead.
    pub(crate) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.spans.shrink_to_fit();
    }
}

/// The beginning of a text, at most so many bytes.
pub(crate) fn beginning(text: &str, most_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(most_bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_and_neighbours_share() {
        let mut texts = Texts::default();
        for text in [Some("ä"), Some("ä"), None, Some(""), Some("b")] {
            texts.push(text);
        }
        let all: Vec<_> = (0..6).map(|number| texts.get(number)).collect();
        assert_eq!(all, [Some("ä"), Some("ä"), None, Some(""), Some("b"), None]);
        assert_eq!(texts.text, "äb");
    }
}
