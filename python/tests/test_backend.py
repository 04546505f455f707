"""Engines written in Python: one of a few lines, and transformers against the decoder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import entrace

SPROUT = Path(__file__).resolve().parents[2] / "models/sprout"
QUESTION = "Mia has 3 pens and buys 4. How many has she?"
TRACE = "She has 3 pens. She buys 4. That makes 3 + 4 = 7."
TEXTS = ["Q: 2 + 3?\nA:", " 5", "It is 12.\nThat is all"]


class Letters:
    """Letters by what precedes them: a table of logits, drawn from the last two tokens."""

    ALPHABET = "".join(chr(code) for code in range(32, 127)) + "\n"
    context_length = 256
    vocab_size = len(ALPHABET) + 1
    stop_tokens = [len(ALPHABET)]
    name = "letters"

    def encode(self, text, special):
        return [self.ALPHABET.index(letter) for letter in text]

    def decode(self, ids):
        return "".join(self.ALPHABET[i] for i in ids if i < len(self.ALPHABET))

    def logits(self, tokens):
        seed = [int(token) for token in tokens[-2:]]
        return np.random.default_rng(seed).normal(scale=2.0, size=self.vocab_size)

    def score(self, paths):
        return [np.array([self.logits(path.tokens[: row + 1]) for row in path.rows]).reshape(-1, self.vocab_size) for path in paths]


class Writers(Letters):
    """The same, writing by itself."""

    name = "writers"

    def generate(self, contexts):
        paths = [list(context) for context in contexts]
        while True:
            rows, tokens = yield np.array([self.logits(path) for path in paths])
            paths = [paths[row] + [token] for row, token in zip(rows, tokens)]


@pytest.mark.parametrize("engine", [Letters, Writers])
def test_an_engine_of_a_few_lines_keeps_its_promises(engine):
    assert isinstance(Writers(), entrace.Backend)
    entrace.conformance(engine(), TEXTS, nats=1e-5, n_draws=1500)


def test_two_ways_to_write_are_one():
    drawn = [
        entrace.Model(engine()).generate(["Q: a\nA:", "b"], n=3, temperature=0.8, max_new_tokens=20, stop="\n", seed=4)
        for engine in (Letters, Writers)
    ]
    texts = [[completion.text for of_prompt in of_engine for completion in of_prompt] for of_engine in drawn]
    assert texts[0] == texts[1]


def test_an_engine_is_measured_like_a_model(tmp_path):
    rows = [{"id": str(i), "question": f"{i} + 1?", "target": str(i + 1), "choices": [str(i), str(i + 1)]} for i in range(3)]
    run = entrace.run(Letters(), tasks=rows, output_path=tmp_path / "run", max_new_tokens=24, rollouts="0", batch_size=2)
    assert run.manifest["settings"]["model"]["name"] == "letters"
    assert list(run.traces["outcome"]) == ["measured"] * 3
    curve = entrace.Model(Letters()).belief("2 + 3?", "So.\nIt is 5.", choices=["4", "5"], target="5")
    assert curve.estimator == "choices" and curve.probabilities.sum(axis=1) == pytest.approx(1)


def test_what_an_engine_lacks_or_gets_wrong_is_said():
    class Nothing:
        score = None

    class Short(Letters):
        def score(self, paths):
            return [np.zeros((1, 3)) for _ in paths]

    class Broken(Letters):
        def score(self, paths):
            raise RuntimeError("out of memory")

    class Forgetful(Letters):
        def decode(self, ids):
            return "x"

    class Infinite(Letters):
        def logits(self, tokens):
            return np.full(self.vocab_size, np.nan)

    with pytest.raises(entrace.ModelError, match="no encode, nor a tokenizer_folder"):
        entrace.Model(Nothing())
    with pytest.raises(entrace.ModelError, match='encode and decode make "x" of "a b"'):
        entrace.Model(Forgetful())
    with pytest.raises(entrace.ModelError, match=r"score gave logits of shape \[1, 3\]; expected \[2, 97\]"):
        entrace.Model(Short()).logprobs("abc")
    with pytest.raises(entrace.ModelError, match="not finite"):
        entrace.Model(Infinite()).logprobs("abc")
    with pytest.raises(entrace.ModelError, match="out of memory") as raised:
        entrace.Model(Broken()).logprobs("abc")
    assert isinstance(raised.value.__cause__, RuntimeError)
    with pytest.raises(AssertionError):
        entrace.conformance(Inconsistent(), TEXTS, nats=1e-5)


class Inconsistent(Letters):
    """Other numbers for a fork than for its whole path."""

    def score(self, paths):
        return [logits + (len(path.context) > 0) * np.arange(self.vocab_size) for logits, path in zip(super().score(paths), paths)]


def of_transformers():
    torch = pytest.importorskip("torch", reason="torch is not installed (ENTRACE_PYTHON_TORCH)")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed (ENTRACE_PYTHON_TORCH)")
    from entrace.transformers import Backend

    torch.manual_seed(0)
    return transformers, Backend


def sprout_folder(folder):
    """The last stage of sprout in Hugging Face layout."""
    if not SPROUT.is_dir():
        pytest.skip("models/sprout is not here")
    folder.mkdir()
    for file in SPROUT.glob("*.json"):
        shutil.copy(file, folder)
    shutil.copy(SPROUT / "rl.safetensors", folder / "model.safetensors")
    return folder


def random_model(transformers, kind, folder):
    """A tiny model of an architecture with sprout's tokenizer, saved."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    sizes = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8)
    extra = {"gemma2": {"sliding_window": 16, "query_pre_attn_scalar": 8}, "mistral": {"sliding_window": 24}, "gpt2": {}}.get(kind, {})
    if kind == "gpt2":
        sizes = dict(n_embd=32, n_layer=2, n_head=4)
    if kind == "mamba":
        sizes = dict(hidden_size=32, num_hidden_layers=2, state_size=8)
    ends = dict(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    config = transformers.AutoConfig.for_model(
        kind, vocab_size=len(tokenizer), max_position_embeddings=256, initializer_range=0.3, **sizes, **extra, **ends
    )
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager" if kind == "gemma2" else None)
    return model.eval(), tokenizer


def assert_same_beliefs(ours, theirs):
    for keywords in ({"target": "7"}, {"choices": ["6", "7", "8"], "target": "7"}):
        a = ours.belief(QUESTION, TRACE, segment="sentence", **keywords)
        b = theirs.belief(QUESTION, TRACE, segment="sentence", **keywords)
        assert a.prompt == b.prompt and a.n_tokens.tolist() == b.n_tokens.tolist()
        assert a.entropy == pytest.approx(b.entropy, abs=1e-4)
        assert a.target_logprob == pytest.approx(b.target_logprob, abs=1e-4)
        assert dict(zip(a.answers, a.probabilities[-1])) == pytest.approx(dict(zip(b.answers, b.probabilities[-1])), abs=1e-4)


def test_sprout_in_transformers_is_the_decoders(tmp_path):
    transformers, Backend = of_transformers()
    import torch

    folder = sprout_folder(tmp_path / "sprout")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    backend = Backend(model, transformers.AutoTokenizer.from_pretrained(folder))
    ours, theirs = entrace.load(folder), entrace.Model(backend)
    assert theirs.info["stop_tokens"] == ours.info["stop_tokens"]
    assert theirs.info["n_parameters"] == ours.info["n_parameters"]
    assert_same_beliefs(ours, theirs)
    a, b = ours.logprobs(TRACE), theirs.logprobs(TRACE)
    assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4, nan_ok=True)
    assert a.entropies == pytest.approx(b.entropies, abs=1e-4, nan_ok=True)
    prompt = "Q: " + QUESTION + "\nA:"
    assert [c.text for c in ours.generate([prompt, "Q: "], max_new_tokens=30) for c in c] == [
        c.text for c in theirs.generate([prompt, "Q: "], max_new_tokens=30) for c in c
    ]
    entrace.conformance(backend, TEXTS, n_draws=300)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "mistral", "gemma2"])
def test_families_agree_with_the_decoder(tmp_path, kind):
    transformers, Backend = of_transformers()
    folder = sprout_folder(tmp_path / "sprout")
    model, tokenizer = random_model(transformers, kind, folder)
    model.save_pretrained(tmp_path / kind)
    for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(folder / file, tmp_path / kind)
    assert_same_beliefs(entrace.load(tmp_path / kind), entrace.Model(Backend(model, tokenizer)))


@pytest.mark.parametrize("kind", ["gpt2", "mamba"])
def test_what_the_decoder_lacks_is_measured(tmp_path, kind):
    transformers, Backend = of_transformers()
    import torch

    model, tokenizer = random_model(transformers, kind, sprout_folder(tmp_path / "sprout"))
    backend = Backend(model, tokenizer, context_length=128)
    if kind == "mamba":
        # It runs every path as a whole, and the checks of every engine would take minutes.
        ids = entrace.Model(backend).encode(TRACE)
        logits = model(input_ids=torch.tensor(ids.astype("int64"))[None]).logits[0].log_softmax(-1)
        expected = logits[torch.arange(len(ids) - 1), ids[1:].astype("int64")].detach().numpy()
        assert entrace.Model(backend).logprobs(ids).logprobs[1:] == pytest.approx(expected, abs=1e-4)
    else:
        entrace.conformance(backend, TEXTS, n_draws=200)
    run = entrace.run(backend, tasks="arith", limit=2, max_new_tokens=8, output_path=tmp_path / "run", rollouts="0")
    assert run.manifest["settings"]["model"]["architecture"] == kind


def test_weights_are_identified_by_their_values(tmp_path):
    transformers, Backend = of_transformers()
    import torch

    model, tokenizer = random_model(transformers, "gpt2", sprout_folder(tmp_path / "sprout"))
    model.train()
    backend = Backend(model, tokenizer)
    asked = entrace.Model(backend)
    before, hash_before = asked.logprobs(TRACE), backend.model_hash
    assert model.training
    with torch.no_grad():
        model.transformer.ln_f.weight.mul_(2.0)
    after = asked.logprobs(TRACE)
    assert backend.model_hash != hash_before
    assert not np.allclose(before.logprobs[1:], after.logprobs[1:])
    assert Backend(model, tokenizer, model_hash="step 7").model_hash == "step 7"
