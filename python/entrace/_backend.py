"""The protocol of an engine written in Python, and the checks that every engine passes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from entrace import _entrace


class Path(NamedTuple):
    """A branch of a token tree: tokens whose logits are wanted.

    The whole path is `context` followed by `ids`. An engine that keeps what it has run finds it again by its tokens: the context of a path is
    a kept path of an earlier call or of the same one, or the beginning of one.
    """

    context: NDArray[np.int64]
    """Tokens before the branch, `[c]`."""
    ids: NDArray[np.int64]
    """Tokens of the branch, `[n]`; there may be none."""
    rows: NDArray[np.int64]
    """Places in the whole path after which logits are wanted, rising, `[m]`; there may be none."""
    keep: bool
    """Whether later paths may continue this one."""

    @property
    def tokens(self) -> NDArray[np.int64]:
        """The whole path, `[c + n]`."""
        return np.concatenate([self.context, self.ids])


@runtime_checkable
class Backend(Protocol):
    """An engine that entrace measures: a forward pass and a tokenizer.

    Needed are the attributes and methods below; of `score` and `generate` one will do. An engine without `score` can only be measured by
    rollouts (`estimator="rollout"`); one without `generate` writes step by step through `score`. `entrace.conformance(backend)` checks that it
    keeps its promises. Optional attributes:

    - `name`: a name for reports (default: that of the class)
    - `stop_tokens`: tokens that end the model's turn
    - `model_hash`: what identifies the weights in the record, such as a hash of them or a name with a step. A run is resumed only with the
      same; without it, whoever resumes vouches for the weights
    - `n_parameters`, `architecture`, `dtype`, `device`, `n_layers`: for the record; the number of parameters also decides how many rollouts
      are usual
    - `tokenizer_folder`: a folder with `tokenizer.json` and what belongs to it (`tokenizer_config.json`, `generation_config.json`); text is then
      handled as that of models from files, with their chat template, and `encode` and `decode` are not needed
    - `chat(messages)`: the prompt as text for a list of `(role, content)`; without it questions are asked as plain text
    - `reset()`: is called where a new tree begins. What was kept of earlier ones must be dropped here if the weights may have changed
    """

    context_length: int
    """Most tokens of a path."""
    vocab_size: int
    """Number of logits, V."""

    def encode(self, text: str, special: bool) -> Sequence[int]:
        """Tokens of a text.

        With `special`, of a prompt: special tokens in it are recognised, and the token that begins a text is put in front. Else of text that
        follows others, in which nothing becomes a special token.
        """
        ...

    def decode(self, ids: list[int]) -> str:
        """Text of tokens that follow others; special tokens have none."""
        ...

    def score(self, paths: list[Path]) -> Sequence[Any]:
        """Logits of paths: for each an array `[m, V]`, raw and in float32, whose row i is of the token after `path.tokens[path.rows[i]]`.

        A path sees itself alone, whatever else is in the call.
        """
        ...

    def generate(self, contexts: list[NDArray[np.int64]]) -> Generator[Any, tuple[NDArray[np.int64], NDArray[np.int64]], None]:
        """Logits of the tokens that follow contexts, step by step.

        A generator: it yields logits `[n, V]` of the n sequences that are live, at first of all contexts, and is sent `(rows, tokens)`: the
        places, in what it yielded, of the sequences that go on, and the token that each goes on with. Tokens are drawn by entrace.
        """
        ...


def conformance(
    backend: Any,
    texts: Sequence[str] = ("The answer is 7.", " 7", "Let us see.\nIt is 12"),
    *,
    nats: float = 1e-4,
    n_draws: int = 4000,
    longest_context: int = 512,
) -> None:
    """Checks that a backend keeps the promises of the protocol.

    Results are compared with the same engine's own results got another way: a fork with its whole path, completions with their scores, draws with
    the distribution. `texts` are what its vocabulary can spell, and the first serves as a prompt; `nats` is the largest difference of two
    log-probabilities that should be equal. The end of the context is tried if it is no longer than `longest_context`.

    Raises:
        AssertionError: with what is not as it should be.
    """
    _entrace.conformance(backend, list(texts), nats, n_draws, longest_context)
