//! `choices`: the log-probability of every listed option after prefix and cue, renormalised over the options.
//!
//! The cue is one branch; the distribution after it gives the first token of every option. Options of several tokens fork from the cue
//! and are scored as branches. By default the option is its label with a leading space; `text` scores the option's text, summed, and
//! `text-mean` divides by its number of tokens (then the raw mass means nothing and is not reported). Of an engine that does not tell every
//! option, the entropy is an interval: the untold ones may have as much as their first tokens. Options of one text are one event there,
//! of which no share belongs to either: such a question fails.

use super::{SiteResult, TreeSite};
use crate::error::{Error, own_failure};
use crate::plan::{ChoiceForm, Measurement};
use entrace_backend::{
    Branch, BranchId, BranchScore, Error as EngineError, NextRequest, Parent, Rest, Text, TokenScores,
    TreeSession,
};
use entrace_measure::{AnswerDistribution, Choices, TokenId};

/// Distributions at all sites; each site's question lists choices.
pub(crate) fn estimate(
    session: &mut dyn TreeSession,
    text: &dyn Text,
    sites: &[TreeSite<'_>],
    how: &Measurement,
) -> Result<Vec<SiteResult>, Error> {
    let n_branches = session.n_branches();
    let mut branches = Vec::new();
    let mut plans = Vec::with_capacity(sites.len());
    for site in sites {
        let Some(choices) = &site.question.choices else {
            plans.push(Err("the question lists no choices, which the estimator needs".to_string()));
            continue;
        };
        let options = match own_failure(options(text, choices, how.choice_form))? {
            Ok(options) => options,
            Err(reason) => {
                plans.push(Err(reason));
                continue;
            }
        };
        let distinct = alike(&options).map_or(Ok(()), |(a, b)| {
            let [a, b] = [a, b].map(|option| &choices.labels()[option]);
            Err(format!(
                "options {a} and {b} read alike, which their texts cannot tell apart, though their labels can"
            ))
        });
        plans.push(distinct.map(|()| add_branches(&mut branches, n_branches, site.at, &site.cue, options)));
    }
    let scores = session.extend_each(&branches)?;
    session.truncate(n_branches);
    let results = sites.iter().zip(&plans).map(|(site, plan)| match plan {
        Err(reason) => Err(reason.clone()),
        Ok(plan) => distribution(site, plan, &plan.scores(&scores)?, how.choice_form),
    });
    Ok(results.collect())
}

fn options(text: &dyn Text, choices: &Choices, form: ChoiceForm) -> Result<Vec<Vec<TokenId>>, Error> {
    let surfaces = match form {
        ChoiceForm::Label => choices.labels(),
        ChoiceForm::Text | ChoiceForm::TextMean => choices.texts(),
    };
    Ok(surfaces.iter().map(|surface| text.encode_plain(&format!(" {surface}"))).collect::<Result<_, _>>()?)
}

/// The first two options of the same tokens.
fn alike(options: &[Vec<TokenId>]) -> Option<(usize, usize)> {
    let earlier = |b: usize| options[..b].iter().position(|a| *a == options[b]).map(|a| (a, b));
    (1..options.len()).find_map(earlier)
}

/// Which branches of the call belong to a site.
struct SitePlan {
    cue: usize,
    options: Vec<Vec<TokenId>>,
    /// Branch of each option that has more than one token.
    longer: Vec<Option<usize>>,
}

/// What was found out about the branches of a site.
struct SiteScores<'s> {
    cue: &'s BranchScore,
    longer: Vec<Option<&'s BranchScore>>,
}

impl SitePlan {
    /// Its own of the scores of a call, or why one of them failed.
    fn scores<'s>(&self, scores: &'s [Result<BranchScore, EngineError>]) -> Result<SiteScores<'s>, String> {
        let of = |branch: usize| scores[branch].as_ref().map_err(ToString::to_string);
        let longer = self.longer.iter().map(|branch| branch.map(of).transpose());
        Ok(SiteScores { cue: of(self.cue)?, longer: longer.collect::<Result<_, String>>()? })
    }
}

fn add_branches(
    branches: &mut Vec<Branch>,
    n_before: usize,
    at: Parent,
    cue: &[TokenId],
    options: Vec<Vec<TokenId>>,
) -> SitePlan {
    let cue_index = branches.len();
    let first_tokens: Vec<TokenId> = options.iter().filter_map(|option| option.first().copied()).collect();
    branches.push(Branch {
        parent: Some(at),
        tokens: cue.to_vec(),
        next: Some(NextRequest { gather: first_tokens.into(), ..NextRequest::default() }),
        ..Branch::default()
    });
    let fork = if cue.is_empty() {
        at
    } else {
        Parent { branch: BranchId(n_before + cue_index), n_tokens: cue.len() }
    };
    let longer = options
        .iter()
        .map(|option| {
            (option.len() > 1).then(|| {
                branches.push(Branch {
                    parent: Some(fork),
                    tokens: option.clone(),
                    token_scores: TokenScores::Logprobs,
                    ..Branch::default()
                });
                branches.len() - 1
            })
        })
        .collect();
    SitePlan { cue: cue_index, options, longer }
}

fn distribution(
    site: &TreeSite<'_>,
    plan: &SitePlan,
    scores: &SiteScores<'_>,
    form: ChoiceForm,
) -> SiteResult {
    let labels = site.question.choices.as_ref().map_or(&[] as &[String], |choices| choices.labels());
    let next = scores.cue.next.as_ref();
    let first = next.map_or(&[] as &[Option<f64>], |next| &next.gather);
    if first.len() != labels.len() {
        return Err("an option has no tokens".into());
    }
    let logprobs: Vec<Option<f64>> = first
        .iter()
        .zip(&scores.longer)
        .zip(&plan.options)
        .map(|((&first, longer), option)| {
            let sum: Option<f64> = match longer {
                None => first,
                Some(score) => score.token_logprobs.iter().copied().sum(),
            };
            sum.map(|sum| if form == ChoiceForm::TextMean { sum / option.len() as f64 } else { sum })
        })
        .collect();
    let target = site.question.target.as_ref();
    let found = match logprobs.iter().copied().collect::<Option<Vec<f64>>>() {
        Some(logprobs) => AnswerDistribution::from_option_logprobs(labels, &logprobs, target),
        None if form == ChoiceForm::TextMean => {
            return Err("the engine does not tell the log-probability of every option".into());
        }
        None => {
            let rest = next.map_or(Rest::Nothing, |next| next.rest);
            AnswerDistribution::from_some_options(
                labels,
                &logprobs,
                untold_mass(first, &logprobs, rest),
                target,
            )
        }
    };
    let mut distribution = found.map_err(|e| e.to_string())?;
    if form == ChoiceForm::TextMean {
        distribution.elicited_mass = None;
    }
    distribution.cue_entropy = next.and_then(|next| next.entropy);
    Ok(distribution)
}

/// The most probability that options may have together that the engine did not tell: none is likelier than its first token, and those
/// whose first tokens are untold share what is left.
fn untold_mass(first: &[Option<f64>], logprobs: &[Option<f64>], rest: Rest) -> f64 {
    let untold = first.iter().zip(logprobs).filter(|(_, logprob)| logprob.is_none());
    let begun: f64 = untold.clone().filter_map(|(first, _)| first.map(f64::exp)).sum();
    let n_unbegun = untold.filter(|(first, _)| first.is_none()).count();
    let unbegun = match rest {
        Rest::Unlisted { logmass, each_at_most, .. } if n_unbegun > 0 => {
            (n_unbegun as f64 * each_at_most.exp()).min(logmass.exp())
        }
        _ => 0.0,
    };
    begun + unbegun
}
