"""How much does a reasoning model know about the answer at each step?

entrace lets a language model reason on questions with known answers, cuts each trace into steps, and estimates after every step the distribution
of the answer that the model would give.

    >>> import entrace
    >>> run = entrace.run("sprout", tasks="arith", limit=50)
    >>> run.verdict("arith").finding
    'supported'
    >>> run.prefixes.to_pandas()             # one row per step; polars, duckdb and pyarrow take run.prefixes as it is
    >>> run.plot.entropy()                   # a matplotlib figure

Measure:

- `run(model, tasks=…)`: a model reasons on benchmarks or on questions of your own
- `score(model, traces)`: traces that exist already
- `compare(runs)`: runs on the same questions side by side
- `open(path)`: a run folder, whoever measured it

Ask a model directly:

- `load(name)`: a `Model` with `belief`, `logprobs`, `generate`, `encode`, `decode`
- `Model(backend)`: the same of an engine in Python, `entrace.transformers.Backend(model, tokenizer)` or one of your own (`Backend`)

A model is a folder in Hugging Face layout, a .gguf file, `org/name` on the Hub, the address of a server (`http://host:port/v1#NAME`), `sprout` (a
model of a million weights that is part of entrace), or a backend. Keyword arguments are the flags of the program `entrace` under their
names. All logarithms are natural: entropies, log-probabilities and gains are in nats.
"""

from __future__ import annotations

from entrace._backend import Backend, Path, conformance
from entrace._call import compare, load, run, score
from entrace._compare import Comparison
from entrace._entrace import __version__
from entrace._errors import (
    DataError,
    Error,
    HubError,
    Interrupted,
    ModelError,
    RecordError,
    ServerError,
    UsageError,
)
from entrace._model import Completion, Curve, Logprobs, Model
from entrace._run import Run, open
from entrace._table import Table

__all__ = [
    "Backend",
    "Comparison",
    "Completion",
    "Curve",
    "DataError",
    "Error",
    "HubError",
    "Interrupted",
    "Logprobs",
    "Model",
    "ModelError",
    "Path",
    "RecordError",
    "Run",
    "ServerError",
    "Table",
    "UsageError",
    "__version__",
    "compare",
    "conformance",
    "load",
    "open",
    "run",
    "score",
]
