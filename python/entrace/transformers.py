"""Any causal language model of transformers as an engine: architectures that the local decoder lacks, and models in training.

    >>> backend = entrace.transformers.Backend(model, tokenizer)
    >>> run = entrace.run(backend, tasks="svamp", limit=100)
    >>> entrace.Model(backend).belief("What is 2 + 3?", "2 and 3 make 5.", target="5").entropy

What a tree has run is kept as keys and values, and a branch runs its own tokens only: a trace of T tokens with K cues of m tokens costs T + K·m
tokens. Models without such a cache (state space models, hybrids) run every path as a whole.
"""

from __future__ import annotations

import hashlib
import inspect
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from entrace._backend import Path

try:
    import torch
    from transformers import DynamicCache
except ImportError as error:
    raise ImportError("entrace.transformers needs torch and transformers: pip install 'entrace[transformers]'") from error


#: Kinds of layers whose keys and values belong to single tokens.
ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}


@dataclass(eq=False)
class _Run:
    """Tokens that were run: a whole path, with keys and values of what follows its parent, per layer `[1, heads, n, head size]`."""

    tokens: NDArray[np.int64]
    parent: _Run | None
    n_of_parent: int
    layers: list[tuple[torch.Tensor, torch.Tensor]]

    def first(self, n: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Keys and values of the first `n` tokens."""
        if self.parent is None:
            return [(keys[:, :, :n], values[:, :, :n]) for keys, values in self.layers]
        before = self.parent.first(min(n, self.n_of_parent))
        if n <= self.n_of_parent:
            return before
        own = [(keys[:, :, : n - self.n_of_parent], values[:, :, : n - self.n_of_parent]) for keys, values in self.layers]
        return [tuple(torch.cat(both, dim=2) for both in zip(*pair)) for pair in zip(before, own)]

    @property
    def n_held(self) -> int:
        """Tokens whose keys and values it holds itself."""
        return len(self.tokens) - self.n_of_parent


class Backend:
    """A causal language model of transformers, in evaluation mode while it is asked.

    Args:
        model: a `PreTrainedModel` with a language modelling head, on any device and in any type. It is not copied: in a training loop the
            weights are those of the moment.
        tokenizer: its tokenizer. Of a fast one the files are read as those of any model, chat template included.
        name: the name in reports (default: that of the configuration).
        model_hash: what identifies the weights in the record (default: a SHA-256 over the parameters, anew whenever the model is opened).
        cache_tokens: most tokens whose keys and values are kept.
        context_length: most tokens of a path (default: by the configuration).
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str | None = None,
        model_hash: str | None = None,
        cache_tokens: int = 8192,
        context_length: int | None = None,
    ):
        self.model, self.tokenizer = model, tokenizer
        config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
        self.name = name or getattr(model, "name_or_path", "") or type(model).__name__
        self.architecture = getattr(config, "model_type", "") or type(model).__name__
        self.vocab_size = int(model.get_output_embeddings().weight.shape[0])
        self.context_length = int(context_length or getattr(config, "max_position_embeddings", None) or 4096)
        self.n_layers = getattr(config, "num_hidden_layers", None)
        self.n_parameters = sum(parameter.numel() for parameter in model.parameters())
        self._model_hash, self._cache_tokens = model_hash, cache_tokens
        # States that sum up what they have read cannot be cut back to a beginning.
        kinds = set(getattr(config, "layer_types", None) or [])
        self._keeps = not getattr(model, "_is_stateful", False) and kinds <= ATTENTION
        # transformers 5 calls it `cache`.
        parameters = inspect.signature(model.forward).parameters
        self._cache_name = "cache" if "cache" in parameters else "past_key_values"
        self._runs: list[_Run] = []
        self._files: tempfile.TemporaryDirectory[str] | None = None
        generation = getattr(model, "generation_config", None)
        ends = getattr(generation, "eos_token_id", None) or getattr(tokenizer, "eos_token_id", None)
        self.stop_tokens = [] if ends is None else [int(end) for end in (ends if isinstance(ends, (list, tuple)) else [ends])]
        if getattr(tokenizer, "is_fast", False):
            self._files = tempfile.TemporaryDirectory(prefix="entrace-tokenizer-")
            tokenizer.save_pretrained(self._files.name)
            model.config.save_pretrained(self._files.name)
            if generation is not None:
                generation.save_pretrained(self._files.name)

    @property
    def tokenizer_folder(self) -> str | None:
        """The files of a fast tokenizer."""
        return self._files.name if self._files is not None and (FilePath(self._files.name) / "tokenizer.json").exists() else None

    @property
    def dtype(self) -> str:
        """Type of the weights, such as `f32`."""
        return {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}.get(self.model.dtype, str(self.model.dtype))

    @property
    def device(self) -> str:
        """Where the model runs."""
        return str(self.model.device)

    @property
    def model_hash(self) -> str:
        """What identifies the weights: what was given, or a SHA-256 over names, shapes and values of all parameters."""
        if self._model_hash is not None:
            return self._model_hash
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().contiguous().cpu().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def encode(self, text: str, special: bool) -> list[int]:
        """Tokens of a text, for slow tokenizers."""
        options = {} if special else {"split_special_tokens": True}
        return self.tokenizer.encode(text, add_special_tokens=special, **options)

    def decode(self, ids: list[int]) -> str:
        """Text of tokens, for slow tokenizers."""
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def reset(self) -> None:
        """Drops what was kept, since the weights may be others."""
        self._runs.clear()

    @torch.inference_mode()
    def score(self, paths: list[Path]) -> list[NDArray[np.float32]]:
        """Logits `[m, V]` of each path, float32."""
        with _evaluating(self.model):
            return [self._score(path) if not _is_begun(path, paths[at + 1 :]) else self._nothing() for at, path in enumerate(paths)]

    def _nothing(self) -> NDArray[np.float32]:
        return np.empty((0, self.vocab_size), dtype=np.float32)

    def _score(self, path: Path) -> NDArray[np.float32]:
        tokens, rows = path.tokens, path.rows
        if not self._keeps:
            return self._logits(self.model(self._ids(tokens), use_cache=False).logits[0, torch.from_numpy(rows)])
        # What comes before the first row that is wanted need not be run where it is kept.
        first = int(rows[0]) if len(rows) else len(tokens)
        kept, n_kept = self._longest(tokens, first)
        if n_kept == len(tokens):
            return self._nothing()
        logits, cache = self._forward(tokens[n_kept:], kept, n_kept, rows - n_kept)
        if path.keep:
            self._keep(tokens, cache, kept, n_kept)
        return logits

    def _longest(self, tokens: NDArray[np.int64], most: int) -> tuple[_Run | None, int]:
        """What was run that begins as the tokens do, and how many they have in common, at most `most`."""
        best, n_best = None, 0
        for run in reversed(self._runs):
            n = min(len(run.tokens), most)
            if n <= n_best:
                continue
            differ = np.flatnonzero(run.tokens[:n] != tokens[:n])
            n_same = int(differ[0]) if len(differ) else n
            if n_same > n_best:
                best, n_best = run, n_same
        if best is not None:
            # The latest used are at the end, and stay longest.
            self._runs.remove(best)
            self._runs.append(best)
        return best, n_best

    def _forward(
        self, new: NDArray[np.int64], kept: _Run | None, n_kept: int, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], DynamicCache]:
        """Runs tokens after those that are kept."""
        cache = DynamicCache()
        if kept is not None and n_kept:
            for layer, (keys, values) in enumerate(kept.first(n_kept)):
                # Views: what is run next is put behind a copy of them.
                cache.update(keys, values, layer)
        positions = torch.arange(n_kept, n_kept + len(new), device=self.model.device)
        wanted = torch.from_numpy(rows).to(self.model.device) if len(rows) else 1
        options: dict[str, Any] = {"logits_to_keep": wanted}
        options[self._cache_name] = cache
        found = self.model(self._ids(new), use_cache=True, position_ids=positions[None], **options)
        logits = self._logits(found.logits[0]) if len(rows) else self._nothing()
        return logits, cache

    def _keep(self, tokens: NDArray[np.int64], cache: DynamicCache, parent: _Run | None, n_of_parent: int) -> None:
        """Remembers a path that was run; a short addition to another one without what they have in common."""
        layers = _layers(cache)
        if any(keys.shape[2] != len(tokens) for keys, _ in layers):
            # A layer that forgets, as some windows do: what it has is no beginning.
            return
        while parent is not None and n_of_parent <= parent.n_of_parent:
            parent = parent.parent
        if parent is None or 2 * n_of_parent < len(tokens):
            parent, n_of_parent = None, 0
        else:
            layers = [(keys[:, :, n_of_parent:].clone(), values[:, :, n_of_parent:].clone()) for keys, values in layers]
        self._runs.append(_Run(tokens, parent, n_of_parent, layers))
        while len(self._runs) > 1 and sum(run.n_held for run in self._runs) > self._cache_tokens:
            self._runs.pop(0)

    def _ids(self, tokens: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(tokens))[None].to(self.model.device)

    @staticmethod
    def _logits(logits: torch.Tensor) -> NDArray[np.float32]:
        return logits.float().cpu().numpy()

    def generate(
        self, contexts: list[NDArray[np.int64]]
    ) -> Generator[NDArray[np.float32], tuple[NDArray[np.int64], NDArray[np.int64]], None]:
        """Logits step by step. Contexts are run one by one, equal beginnings once; then all sequences take their steps together."""
        if not self._keeps:
            yield from self._rerun(contexts)
            return
        with torch.inference_mode(), _evaluating(self.model):
            runs, first, places = [], [], {}
            for number, context in enumerate(contexts):
                if (same := places.setdefault(context.tobytes(), number)) != number:
                    runs.append(runs[same])
                    first.append(first[same])
                    continue
                ends = np.array([len(context) - 1])
                kept, n_kept = self._longest(context, len(context) - 1)
                logits, cache = self._forward(context[n_kept:], kept, n_kept, ends - n_kept)
                self._keep(context, cache, kept, n_kept)
                runs.append(_layers(cache))
                first.append(logits[0])
            lengths = torch.tensor([len(context) for context in contexts], device=self.model.device)
            cache, mask = _side_by_side(runs, lengths)
            logits = np.stack(first)
        while True:
            rows, tokens = yield logits
            with torch.inference_mode(), _evaluating(self.model):
                if len(rows) < len(lengths):
                    live = torch.from_numpy(rows).to(self.model.device)
                    cache.batch_select_indices(live)
                    mask, lengths = mask[live], lengths[live]
                mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
                found = self.model(
                    torch.from_numpy(tokens)[:, None].to(self.model.device),
                    attention_mask=mask,
                    position_ids=lengths[:, None],
                    use_cache=True,
                    **{self._cache_name: cache},
                )
                lengths = lengths + 1
                logits = self._logits(found.logits[:, -1])

    def _rerun(self, contexts: list[NDArray[np.int64]]) -> Generator[Any, Any, None]:
        """The same without a cache."""
        paths = list(contexts)
        while True:
            with torch.inference_mode(), _evaluating(self.model):
                logits = [self._logits(self.model(self._ids(path), use_cache=False).logits[0, -1:]) for path in paths]
            rows, tokens = yield np.concatenate(logits)
            paths = [np.append(paths[row], token) for row, token in zip(rows, tokens)]


def _is_begun(path: Path, later: list[Path]) -> bool:
    """Whether nothing is asked of a path, and the next one goes on from its end: both are one run then."""
    tokens = path.tokens
    return len(path.rows) == 0 and bool(later) and np.array_equal(later[0].context, tokens)


class _evaluating:
    """Evaluation mode within, whatever mode the model was in."""

    def __init__(self, model: Any):
        self._model, self._training = model, model.training

    def __enter__(self) -> None:
        if self._training:
            self._model.eval()

    def __exit__(self, *_: object) -> None:
        if self._training:
            self._model.train()


def _layers(cache: DynamicCache) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Keys and values of each layer."""
    if hasattr(cache, "layers"):
        return [(layer.keys, layer.values) for layer in cache.layers]
    return list(zip(cache.key_cache, cache.value_cache))


def _side_by_side(
    runs: list[list[tuple[torch.Tensor, torch.Tensor]]], lengths: torch.Tensor
) -> tuple[DynamicCache, torch.Tensor]:
    """Sequences of different lengths as a batch, with what lacks of the longest in front, and the mask that hides it."""
    longest = int(lengths.max())

    def padded(states: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(states, (0, 0, longest - states.shape[2], 0))

    cache = DynamicCache()
    for layer in range(len(runs[0])):
        keys = torch.cat([padded(run[layer][0]) for run in runs])
        values = torch.cat([padded(run[layer][1]) for run in runs])
        cache.update(keys, values, layer)
    places = torch.arange(longest, device=lengths.device)
    return cache, (places[None] >= longest - lengths[:, None]).long()
