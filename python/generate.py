"""Makes the typed parts of the package of the Rust code that they describe.

    python3 python/generate.py [--check]

`entrace/metrics.py` has a dataclass for each struct of `metrics.json` (crate report), `entrace/_compare.py` those of `compare.json`. With
`--check` nothing is written, and the exit code is 1 where a file is not as it would be.
"""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "crates/report/src"
PACKAGE = Path(__file__).resolve().parent / "entrace"

PRIMITIVES = {
    "String": "str",
    "Arc<str>": "str",
    "bool": "bool",
    "f64": "float | None",
    "i64": "int",
    "u32": "int",
    "u64": "int",
    "usize": "int",
    "Manifest": "dict[str, Any]",
    "InterventionSettings": "dict[str, Any]",
    "Value": "Any",
}

STRUCT = re.compile(
    r"(?P<doc>(?:^/// ?[^\n]*\n)*)^#\[derive\([^)]*Serialize[^)]*\)\]\n(?:^#\[[^\n]*\]\n)*^pub struct (?P<name>\w+)(?P<generic><T>)? \{\n(?P<body>.*?)^\}",
    re.MULTILINE | re.DOTALL,
)
ENUM = re.compile(r"^#\[derive\([^)]*Serialize[^)]*\)\]\n(?:^#\[.*\]\n)*^pub enum (?P<name>\w+)", re.MULTILINE)
FIELD = re.compile(r"^    pub (?P<name>\w+): (?P<type>.+),$")


def split(arguments: str) -> list[str]:
    """The arguments of a type, at the commas that are not within one."""
    parts, depth, last = [], 0, 0
    for at, letter in enumerate(arguments):
        depth += (letter in "<([") - (letter in ">)]")
        if letter == "," and depth == 0:
            parts.append(arguments[last:at])
            last = at + 1
    return [part.strip() for part in [*parts, arguments[last:]] if part.strip()]


def python_type(rust: str, enums: set[str], known: set[str]) -> str:
    rust = rust.strip()
    if rust in PRIMITIVES:
        return PRIMITIVES[rust]
    if rust in enums:
        return "str"
    if rust == "T":
        return "T"
    if match := re.fullmatch(r"\[(.+); *\w+\]", rust):
        return f"list[{python_type(match[1], enums, known)}]"
    if match := re.fullmatch(r"\((.+)\)", rust):
        return f"tuple[{', '.join(python_type(part, enums, known) for part in split(match[1]))}]"
    if match := re.fullmatch(r"([\w:]+)<(.+)>", rust):
        outer = match[1].split("::")[-1]
        inner = [python_type(part, enums, known) for part in split(match[2])]
        if outer == "Option":
            return inner[0] if inner[0].endswith("| None") else f"{inner[0]} | None"
        if outer in ("Vec", "Box"):
            return f"list[{inner[0]}]" if outer == "Vec" else inner[0]
        if outer == "BTreeMap":
            return f"dict[{', '.join(inner)}]"
        return f"{outer}[{', '.join(inner)}]"
    name = rust.split("::")[-1]
    if name not in known:
        raise SystemExit(f"no Python type for {rust}")
    return name


def docstring(lines: list[str], indent: str) -> str:
    text = " ".join(line.strip() for line in lines).replace("\\", "\\\\").replace('"""', "'''")
    return f'{indent}"""{text}"""\n' if text else ""


def structs(files: list[Path]) -> tuple[dict[str, re.Match[str]], set[str]]:
    found, enums = {}, set()
    for file in files:
        text = file.read_text(encoding="utf-8").split("\n#[cfg(test)]\nmod tests")[0]
        enums.update(match["name"] for match in ENUM.finditer(text))
        found.update({match["name"]: match for match in STRUCT.finditer(text)})
    return found, enums


def module(
    head: str, root: str, found: dict[str, re.Match[str]], imported: set[str], enums: set[str], tail: str
) -> str:
    done: list[str] = []
    classes: list[str] = []

    def add(name: str) -> None:
        if name in done or name not in found:
            return
        done.append(name)
        match = found[name]
        doc, fields = [], []
        for line in match["body"].splitlines():
            if line.strip().startswith("///"):
                doc.append(line.strip()[3:])
            elif field := FIELD.match(line):
                for used in re.findall(r"\w+", field["type"]):
                    add(used)
                kind = python_type(field["type"], enums, set(found) | imported)
                # A word of the language gets an underscore, which `_typed` takes away again.
                name_here = field["name"] + ("_" if keyword.iskeyword(field["name"]) else "")
                fields.append(f"    {name_here}: {kind}\n{docstring(doc, '    ')}")
                doc = []
        generic = "(Generic[T])" if match["generic"] else ""
        own = docstring([line[3:] for line in match["doc"].splitlines()], "    ")
        classes.append(f"\n\n@dataclass(frozen=True)\nclass {name}{generic}:\n{own}\n{''.join(fields)}".rstrip("\n") + "\n")

    add(root)
    return head + "".join(classes) + tail


METRICS_HEAD = '''"""All numbers of a run: the fields of `metrics.json`, with types.

Entropies, log-probabilities and gains are in nats, and what is undefined is None. Curves stand on the grid `Metrics.depths`.
"""

# Written by python/generate.py from crates/report.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from entrace._typed import build

T = TypeVar("T")
'''

METRICS_TAIL = '''

def parse(numbers: dict[str, Any]) -> Metrics:
    """The numbers of a `metrics.json` that was read as JSON. Fields that a later version added are left out."""
    return build(Metrics, numbers)
'''

COMPARE_HEAD = '''"""Runs side by side: the fields of `compare.json`, with types."""

# Written by python/generate.py from crates/report.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from entrace._typed import build
from entrace.metrics import MetricOptions, Quantity
'''

COMPARE_TAIL = '''

def parse(found: dict[str, Any]) -> Comparison:
    """What a `compare.json` says that was read as JSON. Fields that a later version added are left out."""
    return build(Comparison, found)
'''


def pages() -> dict[Path, str]:
    of_metrics = [REPORT / "metrics.rs", *sorted((REPORT / "metrics").rglob("*.rs"))]
    of_metrics += [REPORT / "interventions.rs", *sorted((REPORT / "interventions").rglob("*.rs"))]
    found, enums = structs([file for file in of_metrics if file.name != "tests.rs"])
    compared, more_enums = structs([REPORT / "compare.rs", *sorted((REPORT / "compare").glob("*.rs"))])
    all_enums = enums | more_enums
    return {
        PACKAGE / "metrics.py": module(METRICS_HEAD, "Metrics", found, set(), enums, METRICS_TAIL),
        PACKAGE / "_compare.py": module(COMPARE_HEAD, "Comparison", compared, set(found), all_enums, COMPARE_TAIL),
    }


def main() -> int:
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path.relative_to(ROOT)}: is not of these structs; run python3 python/generate.py")
        return 1 if stale else 0
    for path in stale:
        path.write_text(pages()[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
