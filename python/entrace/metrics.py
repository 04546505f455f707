"""All numbers of a run: the fields of `metrics.json`, with types.

Entropies, log-probabilities and gains are in nats, and what is undefined is None. Curves stand on the grid `Metrics.depths`.
"""

# Written by python/generate.py from crates/report.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from entrace._typed import build

T = TypeVar("T")


@dataclass(frozen=True)
class MetricOptions:
    """How intervals are made, and what the test of the assumption asks."""

    seed: int
    """Seed of the bootstrap."""
    replicates: int
    """Bootstrap replicates."""
    level: float | None
    """Level of intervals, strictly between 0 and 1; anything else means 0.95."""
    threshold: float | None
    """What usable information has to exceed to be evidence, in nats."""
    alpha: float | None
    """Significance level of the trend test, in (0, 1)."""


@dataclass(frozen=True)
class OutcomeReason:
    """A reason for which traces were not measured."""

    outcome: str
    """`skipped` or `failed`."""
    reason: str | None
    """The reason; null where none was recorded."""
    traces: int
    """Traces that it befell."""


@dataclass(frozen=True)
class StopCount:
    """Completions that ended alike."""

    stop_reason: str
    """`stop`, `length` or `imported`."""
    traces: int
    """Traces."""


@dataclass(frozen=True)
class Counts:
    """Denominators."""

    questions_planned: int | None
    """Questions that the run set out to measure, from the manifest; null where it does not list the task."""
    questions: int
    """Questions with at least one trace row."""
    questions_measured: int
    """Questions with at least one measured trace."""
    bad_lines: int
    """Lines of the source that could not be read as questions, from the manifest."""
    traces: int
    """Trace rows."""
    measured: int
    """Traces of which all was measured."""
    skipped: int
    """Traces that could not be measured for a reason in the question."""
    failed: int
    """Traces at which measuring failed."""
    with_target: int
    """Measured traces whose question has a target."""
    correct: int
    """Measured traces whose stated answer is the target."""
    wrong: int
    """Measured traces whose stated answer is not, invalid answers included."""
    invalid: int
    """Measured traces that state no readable answer."""
    reasons: list[OutcomeReason]
    """Why traces were skipped or failed, the most frequent first."""
    stop_reasons: list[StopCount]
    """How the completions of measured traces ended."""


@dataclass(frozen=True)
class Quantity:
    """A number with its interval."""

    value: float | None
    """The number; null where it is undefined."""
    low: float | None
    """Lower end of the interval; null where there is none."""
    high: float | None
    """Upper end of the interval."""
    standard_error: float | None
    """Standard error over questions; null where there is none."""
    n_questions: int
    """Questions that took part."""
    n_traces: int
    """Traces that took part."""
    reason: str | None
    """Why value or interval is missing."""


@dataclass(frozen=True)
class Groups(Generic[T]):
    """The same quantity over all traces, over correct and over wrong ones. Invalid answers are wrong; traces of questions without a target are in `all` only."""

    all: T
    """All measured traces."""
    correct: T
    """Those whose stated answer is the target."""
    wrong: T
    """Those whose stated answer is not."""


@dataclass(frozen=True)
class Curve:
    """A quantity along the depth grid."""

    value: list[float | None]
    """The value at each depth; null where it is undefined."""
    low: list[float | None]
    """Lower ends of the pointwise intervals."""
    high: list[float | None]
    """Upper ends."""
    standard_error: list[float | None]
    """Standard errors over questions."""
    n_questions: int
    """Questions that took part (the most at any depth)."""
    n_traces: int
    """Traces that took part (the most at any depth)."""
    reason: str | None
    """Why values or intervals are missing (the first reason)."""


@dataclass(frozen=True)
class BeforeStatement:
    """Information before the answer is stated."""

    usable_information: Groups[Quantity]
    """I at the last prefix before the statement, nats."""
    information_gain: Quantity
    """G there, over the same traces."""
    share: Quantity
    """The share of I(1) that came before the statement."""
    steps: list[int]
    """Steps relative to the statement."""
    aligned: Curve
    """I at these steps."""


@dataclass(frozen=True)
class ByLength:
    """One kind of gain by length."""

    total: Quantity
    """At the end of the trace, nats."""
    per_step: Quantity
    """The same per step."""
    per_100_tokens: Quantity
    """The same per 100 tokens of the trace."""


@dataclass(frozen=True)
class LengthMetrics:
    """Usable and raw gains by length."""

    usable_information: ByLength
    """Of usable information I(1)."""
    information_gain: ByLength
    """Of the raw gain G(1), over the same traces."""


@dataclass(frozen=True)
class RolloutControl:
    """Rollouts under one control."""

    control: str
    """Its name."""
    usable_information: Curve
    """I(s)."""


@dataclass(frozen=True)
class RolloutMetrics:
    """What rollouts say."""

    n_questions: int
    """Questions with rollouts."""
    draws: tuple[int, int]
    """Fewest and most draws at a prefix."""
    usable_information: Groups[Curve]
    """I(s) of the rollouts."""
    overconfidence_cost: Groups[Curve]
    """I(s) − G(s) of the rollouts."""
    controls: list[RolloutControl]
    """I(s) of rollouts under each control."""
    depths: list[float | None]
    """The depths of the curves below."""
    distance: Curve
    """TV between the forced and the rolled out distribution."""
    distance_floor: Curve
    """TV that the draws alone would show."""
    agreement: Curve
    """Share of prefixes with the same leader."""


@dataclass(frozen=True)
class ControlMetrics:
    """Curves under a control."""

    control: str
    """`swapped` (another question's trace), `shuffled` (its own steps in random order) or `unstated` (the trace without the sentences that state its answer)."""
    entropy: Curve
    """H(s) under the control."""
    information_gain: Curve
    """G(s) under the control."""
    net_gain: Curve
    """G(s) of the traces themselves minus that under the control, paired by question."""
    usable_information: Curve
    """I(s) under the control, with a fit of its own."""


@dataclass(frozen=True)
class LockInMetrics:
    """When the answer stops changing, over a group of traces."""

    share: Quantity
    """Share of traces that lock in."""
    median_depth: float | None
    """Median relative depth of lock-in, over the traces that do; null where none does."""
    histogram: list[int]
    """Traces by depth of lock-in, in ten bins of equal width."""
    never: int
    """Traces that never lock in."""
    wasted_token_share: Quantity
    """Share of trace tokens that come after lock-in."""


@dataclass(frozen=True)
class DescentMetrics:
    """Whether and how far the entropy falls along traces."""

    total_drop: Groups[Quantity]
    """Mean of H_0 − H_K."""
    monotone_share: Groups[Quantity]
    """Share of traces whose entropy never rises by more than ε."""
    violations: Groups[Quantity]
    """Mean number of steps at which it does."""
    late_slope: Groups[Quantity]
    """Mean slope of H over the last third of the depth, nats per unit of depth."""
    accuracy_monotone: Quantity
    """Accuracy of monotone traces."""
    accuracy_not_monotone: Quantity
    """Accuracy of the others."""
    accuracy_difference: Quantity
    """Their difference."""


@dataclass(frozen=True)
class StatementMetrics:
    """When answers are stated."""

    share: Groups[Quantity]
    """Share of traces in which some step states the answer that the trace ends with."""
    at_once: Groups[Quantity]
    """Share of traces that state it in their first step."""
    depth: Groups[Quantity]
    """Mean relative depth of the stating step, over the traces that have one."""
    median_depth: float | None
    """Its median; null where no trace has one."""
    target_share: Groups[Quantity]
    """Share of traces with a target in which some step states the target, right or wrong as the trace may be."""
    leader_is_last_number: Curve
    """Share of prefixes whose most likely answer is the last number of the text; without values where answers are no numbers."""
    leader_is_last_number_before: Quantity
    """The same over the prefixes from the first step to the last before the statement; whole traces where they state nothing."""
    reason: str | None
    """Why there is nothing."""


@dataclass(frozen=True)
class CueMetrics:
    """One further cue against the first."""

    cue: str
    """The cue."""
    distance: Curve
    """Mean total variation between the answer distributions, in [0, 1]."""
    agreement: Curve
    """Share of prefixes with the same most likely answer."""


@dataclass(frozen=True)
class DuplicateMetrics:
    """Pairs of traces of one question."""

    n_pairs: int
    """Pairs."""
    n_identical: int
    """Pairs whose completions are identical."""
    expected: float | None
    """How many independent draws would be; null where the distribution they were drawn from is not known."""


@dataclass(frozen=True)
class StoppingMetrics:
    """Stopping in one task."""

    rule: str
    """The rule."""
    traces: int
    """Measured traces."""
    stopped: int
    """Those of them that the rule stopped."""
    gave_up: int
    """Those of them that it gave up."""
    decisions: int
    """Decisions taken."""
    kept_tokens: float | None
    """Mean tokens of a trace as it stands."""
    written_tokens: float | None
    """Mean tokens written for a trace."""
    asked_tokens: float | None
    """Mean tokens run for a trace to ask for belief."""
    whole_tokens: float | None
    """Mean tokens of whole traces where the rule was chosen; null where it was given by hand."""
    net_saved_tokens: float | None
    """`whole_tokens` less `written_tokens` and `asked_tokens`."""


@dataclass(frozen=True)
class Alphabet:
    """The set of answers that a bound assumes."""

    size: int
    """|A|"""
    source: str
    """What was counted."""


@dataclass(frozen=True)
class FanoMetrics:
    """Bounds and errors along the depth grid."""

    alphabet: Alphabet | None
    """The answers assumed; null where there are no traces with a target, or fewer than two answers."""
    mean_entropy: list[float | None]
    """Mean entropy over traces with a target, nats."""
    weak_bound: list[float | None]
    """Weak bound on the error; null where it is empty."""
    exact_bound: list[float | None]
    """Exact bound on the error."""
    expected_error: list[float | None]
    """Mean of 1 − probability of the leader."""
    forced_error: Curve
    """Share of prefixes whose leader is not the target."""
    slack: list[float | None]
    """Forced error − exact bound."""
    reason: str | None
    """Why there is nothing."""


@dataclass(frozen=True)
class NetInformation:
    """Net I(1) over one control."""

    control: str
    """`swapped`, `shuffled` or `unstated`."""
    usable_information: Quantity
    """I(1) under the control, with a fit of its own."""
    net: Quantity
    """I(1) minus that under the control, paired by question."""
    n_traces: int
    """Traces that took part and have the control."""
    n_without_control: int
    """Traces that took part and lack it."""


@dataclass(frozen=True)
class Trend:
    """The rise of I along depth."""

    depths: list[float | None]
    """The depths compared."""
    n_questions: int
    """Questions."""
    slope: float | None
    """Mean least-squares slope of the questions' contributions, in nats per trace."""
    p_value: float | None
    """One-sided p-value of no rise."""
    reason: str | None
    """Why there is none."""


@dataclass(frozen=True)
class DriftTest:
    """One mean that an honest estimator keeps at zero."""

    name: str
    """What drifts: `target`, `unreadable`, `leader`, `runner-up`, `ending in the target`, `ending in the leader`."""
    mean: float | None
    """The mean over questions."""
    interval: tuple[float | None, float | None]
    """Ends of its 95 % interval."""
    p_value: float | None
    """Two-sided p-value of zero."""
    holm_p: float | None
    """The same after Holm's adjustment."""
    n_questions: int
    """Questions that took part."""


@dataclass(frozen=True)
class CheckMetrics:
    """The outcome of the check."""

    broken: bool
    """Whether the estimator's beliefs cannot be what they claim."""
    p_value: float | None
    """Smallest adjusted p-value; null where nothing could be tested."""
    alpha: float | None
    """Significance level of the check."""
    draws: tuple[int, int] | None
    """Fewest and most draws at a prefix."""
    tests: list[DriftTest]
    """The means tested."""
    reason: str | None
    """Why nothing could be tested."""


@dataclass(frozen=True)
class VerdictMetrics:
    """The finding with what it rests on."""

    finding: str
    """The finding."""
    reasons: list[str]
    """Why, as fragments that fit after "because"."""
    readout: str
    """The estimator whose beliefs were read."""
    threshold: float | None
    """τ, nats."""
    alpha: float | None
    """α of the trend test."""
    usable_information: Quantity
    """I(1), usable information, nats."""
    before_statement: Quantity
    """I at the last prefix before the trace states its own answer, with a fit of its own."""
    net: list[NetInformation]
    """Net I(1) over each control; `swapped` decides."""
    trend: Trend
    """The rise of I along depth."""
    n_traces: int
    """Measured traces with a target, and for rollouts those that have some."""
    n_left_out: int
    """Those of them whose readouts are not all known."""
    questions_needed: int | None
    """Questions at which the assumption would probably be supported; null unless inconclusive for want of data."""
    gain: Quantity
    """G(1) of the same beliefs: the raw gain of log-probability, which over-confidence lowers."""
    net_gain: Quantity
    """Net G(1) over the swapped control."""
    estimator_check: CheckMetrics | None
    """The self-check of `rollout`; null where there are none."""


@dataclass(frozen=True)
class OutcomeShare:
    """How many traces came to one outcome."""

    outcome: str
    """One of the eight."""
    success: bool
    """Whether such traces end in the target."""
    traces: int
    """Traces."""
    share: Quantity
    """Their share, each question counting once."""


@dataclass(frozen=True)
class ProfileMetrics:
    """Profiles over a task."""

    outcomes: list[OutcomeShare]
    """Traces of each outcome, all eight; empty where no trace has one."""
    effective_answers_first: Groups[Quantity]
    """S_eff at the question alone, e^{H_0}."""
    effective_answers_last: Groups[Quantity]
    """S_eff at the end, e^{H_K}."""
    switches: Groups[Quantity]
    """Changes of the leading answer per trace."""
    returns: Groups[Quantity]
    """Those at which an earlier leader leads again."""
    path_length: Groups[Quantity]
    """ΣJ_k, the total variation that belief moves per trace."""
    directness: Groups[Quantity]
    """R_direct = TV(p_0, p_K)/ΣJ_k."""
    commitment_depth: Groups[Quantity]
    """Relative depth from which the leading answer stays."""
    reason: str | None
    """Why there are no outcomes."""


@dataclass(frozen=True)
class Calibration:
    """How far probabilities are from what happens."""

    n_traces: int
    """Traces judged."""
    brier: float | None
    """Brier score, 0 at best."""
    reliability: float | None
    """Distance of probabilities from the rates of their bins."""
    resolution: float | None
    """Distance of those rates from the base rate."""
    uncertainty: float | None
    """Variance of correctness: the Brier score of the base rate."""
    ece: float | None
    """Expected calibration error."""


@dataclass(frozen=True)
class SignalMetrics:
    """What one signal says about correctness."""

    signal: str
    """Name in the registry."""
    level: str
    """One of `token`, `step`, `answer`, `semantic`, `layer`, `hidden`, `attention` and `sequence`."""
    source: str
    """Where it is from."""
    negated: bool
    """Whether the score is the negative of the quantity that gives the name."""
    n_traces: int
    """Traces that have a score."""
    auroc: Quantity
    """Area under the ROC curve; its reason says why it is missing."""
    delong: tuple[float | None, float | None] | None
    """DeLong's interval; null where questions have several traces."""
    p_value: float | None
    """Two-sided p-value of an AUROC of 0.5; null without a standard error."""
    holm_p: float | None
    """The same after Holm's adjustment over the signals of the task."""
    average_precision: float | None
    """Average precision; chance is the share of correct traces."""
    aurc: float | None
    """Area under the risk-coverage curve, 0 at best."""
    aurc_excess: float | None
    """That area minus the oracle's."""
    prr: float | None
    """Prediction-rejection ratio: 1 is the oracle, 0 a random order."""
    probability: Calibration | None
    """The score taken as a probability; null for scores that claim to be none."""
    isotonic: Calibration | None
    """After an isotonic map, on the half of the questions that it was not fitted on."""
    platt: Calibration | None
    """After a logistic map, likewise."""
    absent: str | None
    """Why the signal has no score on any trace."""


@dataclass(frozen=True)
class CombinedMetrics:
    """What the signals say together."""

    signals: list[str]
    """Signals that take part."""
    auroc: Quantity
    """AUROC of the out-of-fold scores within folds."""
    baseline: str
    """The signal it is compared with."""
    difference: Quantity
    """AUROC minus that of the baseline on the same traces within the same folds."""
    p_value: float | None
    """Two-sided p-value of no difference."""
    calibration: Calibration | None
    """The out-of-fold probabilities."""
    lambdas: list[float | None]
    """Penalty chosen for each outer fold."""
    reason: str | None
    """Why there is none."""


@dataclass(frozen=True)
class PredictMetrics:
    """Prediction of correctness for one task."""

    n_traces: int
    """Traces with a known verdict."""
    n_correct: int
    """Those that are correct."""
    n_questions: int
    """Their questions."""
    signals: list[SignalMetrics]
    """Every signal of the registry, in its order."""
    combined: CombinedMetrics
    """The cheap signals together."""
    reason: str | None
    """Why nothing is predicted."""


@dataclass(frozen=True)
class Summary:
    """A sample in seven numbers."""

    n: int
    """Number of values."""
    mean: float | None
    """Their mean."""
    min: float | None
    """The smallest."""
    p05: float | None
    """5 % quantile."""
    median: float | None
    """Median."""
    p95: float | None
    """95 % quantile."""
    max: float | None
    """The largest."""


@dataclass(frozen=True)
class MassMetrics:
    """Mass summaries over prefixes."""

    n_prefixes: int
    """Prefixes of measured traces."""
    elicited: Summary | None
    """Share of raw probability on answers; null where the estimator does not see it."""
    residual: Summary | None
    """Unexplored probability; null without prefixes."""
    residual_first: float | None
    """Mean over questions of the unexplored probability before reasoning, at s = 0; null where nothing was enumerated."""
    residual_last: float | None
    """The same at the end, s = 1."""
    leader_open: float | None
    """Share of prefixes at which more was left unexplored than the most likely answer has, so that another may be more likely; null where nothing was enumerated."""
    entropy_width: Summary | None
    """Width of the entropy interval that the estimator vouches for, nats; null without prefixes."""


@dataclass(frozen=True)
class TokenMetrics:
    """Token statistics of measured traces."""

    prompt_tokens: Summary | None
    """Tokens of the prompt; null without measured traces."""
    trace_tokens: Summary | None
    """Tokens of the trace."""
    steps: Summary | None
    """Steps of the trace."""
    mean_trace_tokens: Groups[Quantity]
    """Mean number of trace tokens."""
    token_entropy: Groups[Quantity]
    """Mean token entropy in nats."""
    token_logprob: Groups[Quantity]
    """Mean token log-probability in nats."""


@dataclass(frozen=True)
class TaskMetrics:
    """The numbers of one task."""

    task: str
    """Name of the task."""
    estimator: str
    """The estimator of p_k; several are joined by `+`."""
    n_samples: int | None
    """Number of draws m at each prefix; null for estimators that do not sample."""
    replicates: int
    """Bootstrap replicates used."""
    counts: Counts
    """Questions and traces by what became of them."""
    accuracy: Quantity
    """Share of traces whose stated answer is the target, measured or not."""
    invalid_share: Quantity
    """Share of traces that state no readable answer, measured or not."""
    entropy: Groups[Curve]
    """H(s), the answer entropy."""
    entropy_lower: list[float | None]
    """Lower end of the entropy interval that the estimator vouches for, averaged like H(s)."""
    entropy_upper: list[float | None]
    """Upper end of that interval."""
    entropy_gap: Curve
    """H_wrong(s) − H_correct(s)."""
    information_gain: Groups[Curve]
    """G(s), the information gained about the target."""
    usable_information: Groups[Curve]
    """I(s), usable information: what the prefix adds to the best readout fitted on other questions."""
    overconfidence_cost: Groups[Curve]
    """I(s) − G(s): what log loss charges for over-confidence."""
    before_statement: BeforeStatement
    """I at the last prefix before the trace states its answer."""
    by_length: LengthMetrics
    """Gains at the end per step and per token."""
    rollouts: RolloutMetrics | None
    """Rollouts beside the estimator; null without any."""
    controls: list[ControlMetrics]
    """The same under each control."""
    separability: Curve
    """AUROC of −H(s) for correctness."""
    lock_in: Groups[LockInMetrics]
    """When the leading answer stops changing."""
    descent: DescentMetrics
    """Whether and how far the entropy falls along traces."""
    statement: StatementMetrics
    """When traces state their answer, and how far the forced readout copies."""
    cues: list[CueMetrics]
    """How far belief differs under further cues, for runs that have some."""
    duplicates: DuplicateMetrics | None
    """Traces of one question that are alike; null without two sampled traces of one."""
    stopping: StoppingMetrics | None
    """What a rule that stops traces did; null without one."""
    fano: FanoMetrics
    """Error bounds from the entropy against the error of the forced answer."""
    verdict: VerdictMetrics
    """Whether the stepwise informativeness assumption holds here."""
    profile: ProfileMetrics
    """How belief moved, and how traces came to their ends."""
    predict: PredictMetrics
    """How well signals tell correct from wrong traces."""
    mass: MassMetrics
    """How much probability the estimator saw."""
    tokens: TokenMetrics
    """Lengths, and entropy of single tokens."""


@dataclass(frozen=True)
class Tested:
    """A mean over questions that is tested against zero."""

    mean: Quantity
    """The mean with its interval."""
    p_value: float | None
    """Two-sided p-value of zero; null where it is undefined."""
    p_holm: float | None
    """The same, adjusted by Holm over the tests of the task."""


@dataclass(frozen=True)
class KindEffect:
    """The effect of one kind of change."""

    kind: str
    """The kind."""
    variant: str
    """Which of several changes of the kind; empty where there is one."""
    reading: str
    """`forced` or `rollout`."""
    off_policy: bool
    """Whether the model continued text that it did not write."""
    n_made: int
    """Changes that were made and read."""
    left_out: dict[str, int]
    """Those that were not, by reason."""
    target_change: Tested
    """q(target) − p(target)."""
    usable_change: Quantity
    """Change of usable information, nats."""
    tv: Quantity
    """Total variation."""
    kl_nats: Quantity
    """Smoothed KL(p‖q), nats."""
    leader_changes: Quantity
    """Share of changes after which another answer leads."""


@dataclass(frozen=True)
class StepImportance:
    """The importance of a task's steps."""

    variant: str
    """Empty for all draws; `counterfactual` for those whose step says something else."""
    n_steps: int
    """Steps with draws on both sides."""
    n_without: int
    """Steps without, as where no draw says anything else."""
    tv: Quantity
    """Mean r_k, total variation."""
    kl_nats: Quantity
    """Mean smoothed KL, nats."""
    per_headroom: Quantity
    """Mean r_k / H(p_{k−1}), per nat."""
    above_floor: Quantity
    """Share of steps whose r_k exceeds the noise floor."""
    by_chance: float | None
    """The share that chance gives at most."""
    mean_draws: float | None
    """Mean draws before and after a step."""


@dataclass(frozen=True)
class Place:
    """Steps of one group."""

    by: str
    """`depth`, `headroom` or `step`."""
    group: str
    """The group."""
    n_steps: int
    """Steps in it."""
    importance: Quantity
    """Mean r_k by rollouts, total variation."""
    above_floor: Quantity
    """Share of steps above the noise floor."""
    deleted: Quantity
    """Mean total variation where the step is left out, forced."""
    corrupted: Quantity
    """Mean total variation where it is made wrong, forced."""


@dataclass(frozen=True)
class Area:
    """An area over a curve."""

    kind: str
    """The kind of change."""
    variant: str
    """Its variant; empty where there is one."""
    reading: str
    """`forced` or `rollout`."""
    area: Tested
    """The area, with the test that it is zero."""


@dataclass(frozen=True)
class Cell:
    """One cell of the two by two."""

    steps_right: bool
    """Whether the steps before the last line are right."""
    line_right: bool
    """Whether the last line is."""
    accuracy: Quantity
    """Share of traces after which the target leads."""
    followed: Quantity
    """Share after which the conflicting answer leads; undefined where nothing conflicts."""
    undecided: Quantity
    """Share after which no answer leads, because too much was left unexplored: neither right nor followed."""
    conflicting_prob: Quantity
    """Mean probability of the conflicting answer."""
    accuracy_change: Tested
    """Accuracy less that of the unchanged trace."""


@dataclass(frozen=True)
class Faithfulness:
    """The summary of a task."""

    areas: list[Area]
    """Areas over curves."""
    cells: list[Cell]
    """The two by two of right and wrong steps and last lines: right and right first, then line, steps, both."""
    question_only: Quantity
    """Accuracy on the question alone, forced, over all traces."""
    question_only_undecided: Quantity
    """Share of these traces in which no answer leads on the question alone: they count as not right."""
    question_only_change: Tested
    """The same over traces whose answer is right, less their accuracy unchanged."""


@dataclass(frozen=True)
class TaskInterventions:
    """Interventions on the traces of one task."""

    task: str
    """Name of the task."""
    n_questions: int
    """Questions whose traces took part."""
    n_traces: int
    """Traces that took part."""
    effects: list[KindEffect]
    """What each kind of change did."""
    importance: list[StepImportance]
    """How much steps matter by rollouts: all draws, and those that say something else."""
    places: list[Place]
    """Importance and forced effects by depth, headroom and what steps say."""
    faithfulness: Faithfulness
    """Whether answers depend on the reasoning."""


@dataclass(frozen=True)
class InterventionMetrics:
    """All numbers about interventions on a run."""

    settings: dict[str, Any]
    """How they were measured."""
    tasks: list[TaskInterventions]
    """By task, in order of name."""


@dataclass(frozen=True)
class Metrics:
    """All numbers of a run."""

    metrics_version: str
    """Version of these fields."""
    unit: str
    """Unit of every entropy, log-probability and information gain: `nats`."""
    options: MetricOptions
    """How intervals were made."""
    run: dict[str, Any]
    """The run: model, tasks, settings; of absolute paths only the last part."""
    depths: list[float | None]
    """The grid of relative depths on which curves stand."""
    tasks: list[TaskMetrics]
    """The tasks, in the order of the manifest."""
    interventions: InterventionMetrics | None
    """What changes in the traces did; absent where none were measured."""


def parse(numbers: dict[str, Any]) -> Metrics:
    """The numbers of a `metrics.json` that was read as JSON. Fields that a later version added are left out."""
    return build(Metrics, numbers)
