//! Which share of a run is measured here.

use crate::error::Error;
use entrace_record::manifest::ShardRecord;

/// A share: its number, from 0, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    index: usize,
    of: usize,
}

impl Share {
    /// The share among the parts of a run.
    pub(crate) fn among(self, n_parts: usize) -> ShardRecord {
        ShardRecord { index: self.index, of: self.of, n_parts }
    }

    /// Reads `I/N`, `/N` or `auto`; `variable` looks into the environment, where a scheduler says which of its jobs this is.
    pub fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let bad = |problem: String| Error::new("shard", format!("{text}: {problem}"));
        let number = |name: &str| variable(name).and_then(|value| value.trim().parse::<usize>().ok());
        let (index, of) = match text.split_once('/') {
            None if text == "auto" => (None, None),
            None => return Err(bad("expected I/N, such as 0/8, or /N or auto".into())),
            Some((index, of)) => {
                let of = of.parse::<usize>().map_err(|_| bad(format!("{of:?} is no number of shards")))?;
                let index = match index {
                    "" | "auto" => None,
                    index => Some(
                        index
                            .parse::<usize>()
                            .map_err(|_| bad(format!("{index:?} is no number of a shard")))?,
                    ),
                };
                (index, Some(of))
            }
        };
        let of_scheduler = number("SLURM_ARRAY_TASK_COUNT").or_else(|| number("SKYPILOT_NUM_NODES"));
        let of = of
            .or(of_scheduler)
            .ok_or_else(|| bad("no scheduler says how many there are; write /N".into()))?;
        let index = match index {
            Some(index) => index,
            None => {
                let slurm = number("SLURM_ARRAY_TASK_ID").map(|id| {
                    // An array that begins with 1 counts from there, if all of it was submitted; of a part the numbers are those of the shards.
                    let is_whole = number("SLURM_ARRAY_TASK_COUNT") == Some(of);
                    id.saturating_sub(number("SLURM_ARRAY_TASK_MIN").filter(|_| is_whole).unwrap_or(0))
                });
                let others = || number("JOB_COMPLETION_INDEX").or_else(|| number("SKYPILOT_NODE_RANK"));
                slurm.or_else(others).ok_or_else(|| {
                    bad("none of SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX, SKYPILOT_NODE_RANK says which one this is; write I/N".into())
                })?
            }
        };
        if of == 0 || index >= of {
            return Err(bad(format!("shard {index} of {of} is none: shards are numbered from 0")));
        }
        Ok(Self { index, of })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(text: &str, variables: &[(&str, &str)]) -> Result<(usize, usize), String> {
        let find = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_string())
        };
        Share::parse(text, find).map(|share| (share.index, share.of)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_share_is_named_or_told_by_the_scheduler() {
        let array =
            [("SLURM_ARRAY_TASK_ID", "5"), ("SLURM_ARRAY_TASK_MIN", "1"), ("SLURM_ARRAY_TASK_COUNT", "8")];
        assert_eq!(share("3/8", &array), Ok((3, 8)));
        assert_eq!(share("auto", &array), Ok((4, 8)));
        assert_eq!(share("/8", &array), Ok((4, 8)));
        // Of an array that was submitted again for some shards, numbers are those of the shards.
        let again =
            [("SLURM_ARRAY_TASK_ID", "5"), ("SLURM_ARRAY_TASK_MIN", "2"), ("SLURM_ARRAY_TASK_COUNT", "3")];
        assert_eq!(share("/8", &again), Ok((5, 8)));
        assert_eq!(share("/4", &[("JOB_COMPLETION_INDEX", "2")]), Ok((2, 4)));
        assert_eq!(share("auto", &[("SKYPILOT_NODE_RANK", "1"), ("SKYPILOT_NUM_NODES", "2")]), Ok((1, 2)));
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for (text, says) in [
            ("3", "expected I/N"),
            ("8/8", "numbered from 0"),
            ("0/0", "is none"),
            ("a/8", "no number of a shard"),
            ("1/b", "no number of shards"),
            ("auto", "write /N"),
            ("/8", "write I/N"),
        ] {
            let found = share(text, &[]).unwrap_err();
            assert!(found.contains(says), "{text}: {found}");
        }
    }
}
