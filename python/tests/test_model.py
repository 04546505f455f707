"""A model that is asked directly."""

from __future__ import annotations

import numpy as np
import pytest

import entrace

QUESTION = "Mia has 3 pens and buys 4. How many has she?"
TRACE = "She has 3 pens. She buys 4. That makes 3 + 4 = 7."


def test_belief_is_a_curve(sprout):
    curve = sprout.belief(QUESTION, TRACE, target="7", segment="sentence")
    n = len(curve)
    assert n == 4 and len(curve.steps) == 3
    assert "".join(curve.steps) == TRACE
    assert curve.probabilities.shape == (n, len(curve.answers))
    assert curve.entropy.shape == curve.depth.shape == curve.n_tokens.shape == (n,)
    assert curve.depth.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert (curve.entropy_lower <= curve.entropy + 1e-9).all() and (curve.entropy <= curve.entropy_upper + 1e-9).all()
    assert (curve.probabilities.sum(axis=1) <= 1 + 1e-9).all()
    assert curve.information_gain == pytest.approx(curve.target_logprob - curve.target_logprob[0])
    assert curve.target == "7" and curve.estimator == "enumerate"


def test_belief_is_that_of_score(sprout, tmp_path):
    row = {"question": QUESTION, "trace": TRACE, "target": "7"}
    scored = entrace.score("sprout", [row], output_path=tmp_path / "run", controls="none", rollouts="0")
    curve = sprout.belief(QUESTION, TRACE, target="7")
    assert curve.entropy.tolist() == scored.prefixes["answer_entropy"].tolist()
    assert curve.target_logprob.tolist() == scored.prefixes["target_logprob"].tolist()


def test_options_are_scored_by_their_labels(sprout):
    curve = sprout.belief(QUESTION, ["She has 3.\n", "That is 7."], choices=["6", "7", "8"], target="7")
    assert curve.estimator == "choices" and curve.target == "B"
    assert sorted(curve.answers) == ["A", "B", "C"]
    assert curve.probabilities.sum(axis=1) == pytest.approx(1)
    assert len(curve.steps) == 2


def test_without_a_target_nothing_is_gained(sprout):
    curve = sprout.belief(QUESTION, TRACE)
    assert curve.target is None and np.isnan(curve.information_gain).all()


def test_a_trace_that_cannot_be_measured_says_why(sprout):
    with pytest.raises(entrace.DataError, match="could not be measured"):
        sprout.belief(QUESTION, "word " * 4000)
    with pytest.raises(TypeError, match="did you mean 'estimator'"):
        sprout.belief(QUESTION, TRACE, estimater="choices")


def test_logprobs_are_of_every_token(sprout):
    found = sprout.logprobs(TRACE)
    assert found.token_ids.shape == found.logprobs.shape == found.entropies.shape
    assert np.isnan(found.logprobs[0]) and (found.logprobs[1:] <= 0).all()
    again = sprout.logprobs(found.token_ids)
    assert again.logprobs[1:].tolist() == found.logprobs[1:].tolist()


def test_text_comes_back_from_its_tokens(sprout):
    ids = sprout.encode(TRACE)
    assert ids.dtype == np.uint32 and sprout.decode(ids) == TRACE


def test_completions_depend_on_their_stream_alone(sprout):
    prompt = "Q: " + QUESTION + "\nA:"
    greedy = sprout.generate(prompt, max_new_tokens=12)
    assert len(greedy) == 1 and len(greedy[0].token_ids) <= 12
    assert greedy[0].logprobs.shape == greedy[0].token_ids.shape
    several = sprout.generate([prompt, prompt], n=3, temperature=1.0, max_new_tokens=8, seed=1)
    assert [len(of_prompt) for of_prompt in several] == [3, 3]
    alone = sprout.generate([prompt], n=2, temperature=1.0, max_new_tokens=8, seed=1)
    assert [c.text for c in alone[0]] == [c.text for c in several[0][:2]]
    stopped = sprout.generate(prompt, max_new_tokens=40, stop=".")[0]
    assert "." not in stopped.text


def test_a_model_says_what_it_is(sprout):
    info = sprout.info
    assert info["name"] == "sprout@rl" and info["vocab_size"] > 0 and len(info["model_hash"]) >= 16
    assert "sprout@rl" in repr(sprout)
    assert entrace.load(sprout).info == info
