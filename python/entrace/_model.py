"""A model that is asked directly: beliefs along a trace, log-probabilities, completions."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from entrace import _entrace
from entrace._progress import Reporter


@dataclass(frozen=True, eq=False)
class Curve:
    """Belief about the answer along one trace, at K + 1 prefixes: before any reasoning, and after each of its K steps.

    Entropies, log-probabilities and gains are in nats; what is undefined is NaN.
    """

    n_tokens: NDArray[np.uint32]
    """Tokens of the trace in each prefix, `[K + 1]`, from 0."""
    depth: NDArray[np.float64]
    """Relative depth k/K, `[K + 1]`, from 0 to 1."""
    entropy: NDArray[np.float64]
    """Entropy of the answer, `[K + 1]`."""
    entropy_lower: NDArray[np.float64]
    """Lower end of the interval that the estimator vouches for, `[K + 1]`."""
    entropy_upper: NDArray[np.float64]
    """Upper end of it, `[K + 1]`."""
    answers: list[str]
    """The A answers that belief was found on, by their largest probability; options by their labels."""
    probabilities: NDArray[np.float64]
    """Probability of each answer at each prefix, `[K + 1, A]`; 0 where an answer was not found."""
    residual: NDArray[np.float64]
    """Probability of answers that were not explored, `[K + 1]`."""
    leaders: list[str]
    """The most likely answer at each prefix, K + 1 of them."""
    target: str | None
    """The true answer in canonical form, where one was given."""
    target_logprob: NDArray[np.float64]
    """Log-probability of the target, `[K + 1]`; NaN without one."""
    information_gain: NDArray[np.float64]
    """What the prefix has gained of it, `[K + 1]`: the same less that before any reasoning."""
    steps: list[str]
    """The text of each step, K of them."""
    estimator: str
    """How belief was read: `choices`, `enumerate`, `sample` or `rollout`."""
    prompt: str
    """The prompt as text, special tokens spelled out."""

    def __len__(self) -> int:
        return len(self.depth)

    def plot(self, ax: Any = None) -> Any:
        """Draws entropy against depth with its interval; returns the axes. Needs matplotlib."""
        from entrace import _plot

        return _plot.curve(self, ax)


@dataclass(frozen=True, eq=False)
class Logprobs:
    """Log-probability and entropy of every token of a text, in nats."""

    token_ids: NDArray[np.uint32]
    """Tokens, `[T]`."""
    logprobs: NDArray[np.float64]
    """Log-probability of each given those before it, `[T]`; NaN for the first."""
    entropies: NDArray[np.float64]
    """Entropy of the distribution that each was drawn from, `[T]`; NaN for the first."""


@dataclass(frozen=True, eq=False)
class Completion:
    """What a model wrote after a prompt."""

    text: str
    """Its text."""
    token_ids: NDArray[np.uint32]
    """Its tokens, `[T]`; the one that ended the turn is not among them."""
    logprobs: NDArray[np.float64]
    """Log-probability of each token in nats, `[T]`, of the raw distribution."""
    entropies: NDArray[np.float64]
    """Entropy of that distribution in nats, `[T]`."""
    stop_reason: str
    """`stop` (end of turn or a stop string) or `length`."""



def named_model(model: Any) -> tuple[list[str], tuple[str, Any] | None]:
    """Names of a model as flags have them, and the engine that one of them stands for."""
    if isinstance(model, Model):
        model = model._source
    if model is None:
        return [], None
    if isinstance(model, (str, os.PathLike)):
        return [os.fspath(model)], None
    if isinstance(model, (list, tuple)):
        return [os.fspath(name) for name in model], None
    if hasattr(model, "score") or hasattr(model, "generate"):
        name = str(getattr(model, "name", type(model).__name__))
        return [name], (name, model)
    raise TypeError(f"model: expected a name, a path or a backend, found {type(model).__name__}; entrace.Backend says what a backend has")


class Model:
    """An opened model.

    Args:
        model: a folder, a .gguf file, `org/name` on the Hub, an address, `sprout`, or a backend (`entrace.Backend`).
        **flags: how it is opened: `dtype`, `device`, `base`, `base_url`, `tokenizer`, `header`, `wait_for_server`.

    Raises:
        entrace.ModelError: where there is no such model, or its files are damaged.
    """

    def __init__(self, model: Any, **flags: Any):
        names, engine = named_model(model)
        self._source = model._source if isinstance(model, Model) else model
        argv = _entrace.command_line("score", [], {"model": names, **flags})
        with Reporter() as reporter:
            self._model = _entrace.Model(argv, engine, reporter)

    @property
    def info(self) -> dict[str, Any]:
        """What identifies it: name, architecture, n_parameters, dtype, device, context_length, vocab_size, n_layers, hashes, stop_tokens."""
        return self._model.info()

    def __repr__(self) -> str:
        info = self.info
        size = f", {info['n_parameters'] / 1e6:.1f} M parameters" if info["n_parameters"] else ""
        return f"<entrace.Model {info['name']}: {info['architecture']}{size}, {info['dtype']} on {info['device']}>"

    def encode(self, text: str, *, special: bool = False) -> NDArray[np.uint32]:
        """Tokens of a text, `[T]`.

        With `special`, of a prompt: special tokens are recognised, and the token that begins a text is put in front where the model's own
        tokenizer does so. Else of text that follows others.
        """
        return self._model.encode(text, special)

    def decode(self, token_ids: ArrayLike) -> str:
        """Text of tokens; special tokens have none."""
        return self._model.decode(_ids(token_ids))

    def logprobs(self, text: str | ArrayLike) -> Logprobs:
        """Log-probability and entropy of every token of a text, which is read as a prompt is, or of tokens `[T]`."""
        token_ids = self.encode(text, special=True) if isinstance(text, str) else np.asarray(_ids(text), dtype=np.uint32)
        with Reporter(quiet=True) as reporter:
            logprobs, entropies = self._model.logprobs(token_ids.tolist(), reporter)
        return Logprobs(token_ids, logprobs, entropies)

    def generate(
        self,
        prompts: str | Sequence[Any],
        *,
        n: int = 1,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        max_new_tokens: int = 512,
        stop: str | Sequence[str] = (),
        seed: int = 0,
    ) -> list[Completion] | list[list[Completion]]:
        """Writes completions.

        Args:
            prompts: a prompt, or several. A text is taken as it stands; a list of messages, dictionaries with `role` and `content`, goes through
                the chat template.
            n: completions of each prompt. Each draws from a random stream of its own.
            temperature: 0 is greedy.
            top_p: only the likeliest tokens that reach this mass together are drawn; 1 for all.
            top_k: only so many of the likeliest tokens are drawn; 0 for all.
            max_new_tokens: most tokens of a completion.
            stop: strings that end one.
            seed: of the random streams.

        Returns:
            The completions of a single prompt, n of them; of several prompts a list of such lists.
        """
        is_one = isinstance(prompts, str) or (len(prompts) > 0 and isinstance(prompts[0], dict))
        askings = [_asking(prompt) for prompt in ([prompts] if is_one else prompts)]
        stops = [stop] if isinstance(stop, str) else list(stop)
        sampling = (float(temperature), float(top_p), int(top_k), int(max_new_tokens), stops)
        with Reporter(quiet=True) as reporter:
            drawn = self._model.generate(askings, n, seed, sampling, reporter)
        found = [[Completion(**completion) for completion in of_prompt] for of_prompt in drawn]
        return found[0] if is_one else found

    def belief(
        self,
        question: str | Sequence[dict[str, str]],
        trace: str | Sequence[str],
        *,
        choices: Sequence[str] | None = None,
        target: Any = None,
        **flags: Any,
    ) -> Curve:
        """What the model believes about the answer at each step of a trace.

        Args:
            question: the question, which is asked as `entrace.run` asks it; or a conversation as a list of messages.
            trace: the reasoning as a text, which is cut into steps, or as a list of steps.
            choices: options, for multiple choice.
            target: the true answer; of options a letter, a text, or an index from 0.
            **flags: how belief is measured, as the flags of `entrace score` say: `estimator`, `cue`, `segment`, `max_steps`, `samples`,
                `epsilon`, `max_nodes`, …

        Returns:
            The curve along the K + 1 prefixes.

        Raises:
            entrace.DataError: where the trace cannot be measured.
        """
        row: dict[str, Any] = {"question" if isinstance(question, str) else "prompt": question}
        row["trace" if isinstance(trace, str) else "steps"] = trace if isinstance(trace, str) else list(trace)
        row.update({name: value for name, value in (("choices", choices), ("target", target)) if value is not None})
        argv = _entrace.command_line("score", [], flags)
        with Reporter(quiet=True) as reporter:
            found = self._model.belief(argv, json.dumps(row, ensure_ascii=False, default=_plain) + "\n", reporter)
        return _curve(found)


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else list(value)


def _ids(token_ids: ArrayLike) -> list[int]:
    return np.asarray(token_ids).astype(np.int64).ravel().tolist()


def _asking(prompt: Any) -> Any:
    if isinstance(prompt, str):
        return prompt
    return [(str(message["role"]), str(message["content"])) for message in prompt]


def _curve(found: dict[str, Any]) -> Curve:
    numbers = found["steps"]
    place = {int(step): index for index, step in enumerate(numbers)}
    largest: dict[str, float] = {}
    for _, answer, prob in found["answers"]:
        largest[answer] = max(prob, largest.get(answer, 0.0))
    answers = sorted(largest, key=lambda answer: -largest[answer])
    column = {answer: index for index, answer in enumerate(answers)}
    probabilities = np.zeros((len(numbers), len(answers)))
    for step, answer, prob in found["answers"]:
        probabilities[place[step], column[answer]] = prob
    steps = ["" for _ in range(len(numbers) - 1)]
    for step, text in found["tokens"]:
        if 1 <= step <= len(steps):
            steps[step - 1] += text
    return Curve(
        n_tokens=found["n_tokens"],
        depth=found["depth"],
        entropy=found["entropy"],
        entropy_lower=found["entropy_lower"],
        entropy_upper=found["entropy_upper"],
        answers=answers,
        probabilities=probabilities,
        residual=found["residual_mass"],
        leaders=found["leaders"],
        target=found["target"],
        target_logprob=found["target_logprob"],
        information_gain=found["information_gain"],
        steps=steps,
        estimator=found["estimator"] or "",
        prompt=found["prompt"],
    )
