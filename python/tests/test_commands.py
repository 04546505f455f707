"""Commands as functions: what is measured, which arguments are taken, how they fail and are interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

import entrace
from entrace import _entrace

ROWS = [
    {"question": "Mia has 3 pens and buys 4. How many has she?", "target": "7", "trace": "She has 3.\nShe buys 4.\nThat is 7."},
    {"question": "Tom has 9 nuts and eats 2. How many has he?", "target": "7", "trace": "He has 9.\nHe eats 2.\nThat leaves 7."},
]


def test_a_run_has_its_verdict_and_tables(run):
    assert run.is_complete
    assert run.tasks == ["arith"]
    assert run.verdict("arith").finding in ("supported", "not_supported", "inconclusive")
    assert "informativeness" in run.sentence()
    assert len(run.traces) == 24
    assert run.manifest["settings"]["model"]["name"] == "sprout@rl"
    assert run.manifest["command"][:2] == ["entrace", "run"]
    assert (run.path / "report.html").exists()


def test_the_same_call_resumes_and_other_settings_are_refused(run):
    again = entrace.run("sprout", tasks="arith", limit=24, output_path=run.path, rollouts="0")
    assert again.path == run.path
    with pytest.raises(entrace.RecordError) as raised:
        entrace.run("sprout", tasks="arith", limit=24, output_path=run.path, rollouts="0", seed=5)
    error = raised.value
    assert (error.kind, error.item) == ("set-up", str(run.path))
    assert "seed" in str(error)
    assert error.hint == "choose another output_path, or replace that run with overwrite"
    assert "--" not in str(error)


def test_rows_are_scored_from_memory(tmp_path):
    scored = entrace.score("sprout", ROWS, output_path=tmp_path / "run", rollouts="0", controls="none")
    assert list(scored.traces["target"]) == ["7", "7"]
    assert list(scored.traces["stop_reason"]) == ["imported", "imported"]
    again = entrace.score("sprout", ROWS, output_path=tmp_path / "run", rollouts="0", controls="none")
    assert again.metrics.tasks == scored.metrics.tasks


def test_flags_are_those_of_the_program(tmp_path):
    argv = _entrace.command_line(
        "run",
        [],
        {"tasks": ["a.jsonl", "b.jsonl"], "limit": 3, "overwrite": True, "quiet": False, "template_vars": {"enable_thinking": False}},
    )
    assert argv[2:] == ["--tasks=a.jsonl", "--tasks=b.jsonl", "--limit=3", "--overwrite", "--template-vars=enable_thinking=false"]
    assert _entrace.command_line("score", [], {"map": {"trace": "completion"}, "seed": None})[2:] == ["--map=trace=completion"]
    names = {flag["name"] for flag in _entrace.flags("run")}
    assert {"tasks", "estimator", "batch_size", "max_new_tokens", "threads"} <= names
    assert "help" not in names


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"limt": 3}, "run() has no argument 'limt'; did you mean 'limit'?"),
        ({"nothing_like_it": 3}, "help(entrace.run)"),
        ({"overwrite": 3}, "overwrite: expected True or False, found int"),
        ({"limit": [1, 2]}, "limit: expected one value, found list"),
        ({"limit": True}, "limit: expected a value, found bool"),
    ],
)
def test_a_wrong_keyword_is_a_type_error(keywords, said):
    with pytest.raises(TypeError, match=".") as raised:
        entrace.run("sprout", **keywords)
    assert said in str(raised.value)


def test_errors_say_where_they_come_from(tmp_path):
    with pytest.raises(entrace.UsageError) as raised:
        entrace.run("sprout", estimator="guess")
    assert "'guess'" in str(raised.value) and "enumerate" in str(raised.value)
    with pytest.raises(entrace.Error) as raised:
        entrace.run(tmp_path / "nowhere", tasks="arith")
    assert isinstance(raised.value, entrace.HubError)
    (tmp_path / "empty").mkdir()
    with pytest.raises(entrace.ModelError) as raised:
        entrace.load(tmp_path / "empty")
    assert raised.value.item == str(tmp_path / "empty")
    with pytest.raises(entrace.DataError) as raised:
        entrace.run("sprout", tasks=tmp_path / "no.jsonl")
    assert raised.value.item == str(tmp_path / "no.jsonl")
    with pytest.raises(entrace.RecordError) as raised:
        entrace.open(tmp_path)
    assert raised.value.item == str(tmp_path)
    with pytest.raises(TypeError, match="expected a name, a path or a backend"):
        entrace.run(3)
    with pytest.raises(TypeError, match="expected a path, a list of dictionaries or a data frame"):
        entrace.score("sprout", 3)


def test_runs_are_compared(tmp_path):
    folders = [
        entrace.run(f"sprout@{stage}", limit=12, output_path=tmp_path / stage, rollouts="0") for stage in ("init", "rl")
    ]
    compared = entrace.compare(folders)
    assert len(compared.stages) == 2
    accuracy = next(q for q in compared.tasks[0].quantities if q.quantity == "accuracy")
    assert accuracy.stages[1].value > accuracy.stages[0].value
    assert accuracy.changes[0].difference.value > 0
    with pytest.raises(entrace.UsageError):
        entrace.compare([folders[0]])


INTERRUPTED = textwrap.dedent(
    """
    import os, signal, sys, threading, time
    import entrace
    from entrace import _entrace

    folder = sys.argv[1]
    # A shell that runs the tests in the background has its programs ignore this signal.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt():
        while not os.path.exists(os.path.join(folder, "parts", "00000")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    try:
        entrace.run("sprout", limit=100, batch_size=2, output_path=folder, rollouts="0")
    except entrace.Interrupted as interrupted:
        assert isinstance(interrupted, KeyboardInterrupt)
        assert "resumes" in str(interrupted)
        part = entrace.open(folder)
        assert not part.is_complete
        print(len(part.traces))
    """
)


@pytest.mark.skipif(os.name == "nt", reason="signals of this kind are of Unix")
def test_an_interrupted_run_is_kept_and_resumed(tmp_path):
    folder = tmp_path / "run"
    script = [sys.executable, "-c", INTERRUPTED, str(folder)]
    ended = subprocess.run(script, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert 2 <= int(ended.stdout) < 100
    finished = entrace.run("sprout", limit=100, batch_size=8, output_path=folder, rollouts="0")
    assert len(finished.traces) == 100


def test_the_interpreter_is_free_meanwhile(tmp_path):
    ticks = []
    done = threading.Event()

    def tick():
        while not done.wait(0.005):
            ticks.append(1)

    thread = threading.Thread(target=tick)
    thread.start()
    entrace.run("sprout", limit=40, output_path=tmp_path / "run", rollouts="0")
    done.set()
    thread.join()
    assert len(ticks) > 10


def test_notes_are_lines_of_the_log(tmp_path, caplog):
    with caplog.at_level("INFO", logger="entrace"):
        entrace.run(tasks="arith", limit=4, output_path=tmp_path / "a", rollouts="0")
        entrace.run(tasks="arith", limit=4, output_path=tmp_path / "b", rollouts="0", quiet=True)
    assert [record.getMessage() for record in caplog.records if "--model" in record.getMessage()] == [
        "no --model: sprout, the small model that comes with entrace"
    ]


def test_the_program_comes_along(tmp_path):
    def program(*arguments):
        return subprocess.run([sys.executable, "-m", "entrace", *arguments], capture_output=True, text=True, timeout=120)

    assert program("--version").stdout == f"entrace {entrace.__version__}\n"
    assert program("run", "--limt").returncode == 2
    listed = program("ls", "tasks")
    assert listed.returncode == 0 and "arith" in listed.stdout


def test_help_reads_well():
    assert "did the model" not in entrace.run.__doc__
    assert "`batch_size` (value): Questions measured together" in entrace.run.__doc__
    assert "`requests` (value)" in entrace.score.__doc__
    for name in entrace.__all__:
        assert getattr(entrace, name).__doc__ or name == "__version__", name


def test_generated_parts_are_of_this_report():
    script = os.path.join(os.path.dirname(__file__), "..", "generate.py")
    if not os.path.exists(os.path.join(os.path.dirname(script), "..", "crates")):
        pytest.skip("the sources are not here")
    checked = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
