"""The floor plan: a package imports only from floors below it, and no two packages import each other."""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter

import pytest

from eval.scoring.metrics import METRICS
from storm.datasets import DATASETS
from storm.families import FAMILIES
from storm.prompts import STRATEGIES
from tests.helpers.paths import ROOT

FLOORS = {"storm": 0, "data_prep": 1, "demo": 1, "eval": 2, "train": 3, "bench": 4}
# Within eval, a package imports only from those before it; the commands import all of them.
EVAL = ("eval.servers", "eval.inference", "eval.scoring", "eval.report_page", "eval.serving", "eval.app_page")
FILES = sorted(path for folder in FLOORS for path in (ROOT / folder).rglob("*.py"))


def module(path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def nodes(path) -> list[ast.AST]:
    """The imports and comparisons in a file, inside functions too."""
    kinds = (ast.Import, ast.ImportFrom, ast.Compare, ast.MatchValue)
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, kinds)]


def imports(path) -> Iterator[tuple[int, str]]:
    """(line, module) of each import in a file, inside functions too."""
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}, line {node.lineno}: write the whole name, not a relative import"
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)


def package(name: str) -> str:
    """The package that the floors are of; within eval, its subpackage."""
    parts = name.split(".")
    inner = ".".join(parts[:2])
    return inner if inner in EVAL else parts[0]


def test_every_package_is_on_a_floor():
    folders = {path.parent.name for path in ROOT.glob("*/*.py")} - {"tests", "docs"}
    assert folders == set(FLOORS), "a new package wants a floor here and in docs/extending.md"


@pytest.mark.parametrize("path", FILES, ids=module)
def test_no_import_goes_up_a_floor(path):
    top = module(path).split(".")[0]
    allowed = {name for name, floor in FLOORS.items() if floor < FLOORS[top]} | {top}
    wrong = [
        f"{path.relative_to(ROOT)}, line {line}: {name}"
        for line, name in imports(path)
        if name.split(".")[0] in FLOORS and name.split(".")[0] not in allowed
    ]
    # bench is the top floor: only its measurements take the tests' stand-ins.
    wrong += [
        f"{path}, line {line}: {name}" for line, name in imports(path) if name.startswith("tests") and top != "bench"
    ]
    assert wrong == [], "imports go down only"


def test_no_cycle_of_packages():
    graph: dict[str, set[str]] = {}
    for path in FILES:
        name = package(module(path))
        for _, imported in imports(path):
            other = package(imported)
            # The bare "eval" package holds the commands only, which nobody imports.
            if other.split(".")[0] in FLOORS and other != name:
                graph.setdefault(name, set()).add(other)
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise AssertionError(f"packages import each other: {' -> '.join(error.args[1])}") from None


def test_eval_packages_import_only_those_before_them():
    wrong = [
        f"{path.relative_to(ROOT)}, line {line}: {name}"
        for path in FILES
        if package(module(path)) in EVAL
        for line, name in imports(path)
        if package(name) in EVAL[EVAL.index(package(module(path))) + 1 :]
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "name", ["storm.datasets", "storm.rows", "storm.families", "storm.models", "storm.images", "storm.parse"]
)
def test_storm_is_light(name):
    code = f"import sys, {name}; print(*sorted(name.split('.')[0] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "storm" in loaded and not loaded & {
        "torch", "pandas", "numpy", "transformers", "PIL", "sklearn", "scipy", "data_prep", "eval", "train", "demo"
    }  # fmt: skip


# "text" is a common word, too: it counts where a strategy is named beside it.
NAMES = {*METRICS, *DATASETS, *FAMILIES, *STRATEGIES} - {"text"}


def compared(among: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    """(line, code) of each comparison, and each case of a match, with the name of a row."""
    for node in among:
        if isinstance(node, (ast.Compare, ast.MatchValue)):
            sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else [node.value]
            texts = {one.value for side in sides for one in (side, *getattr(side, "elts", ())) if hasattr(one, "value")}
            texts = {text for text in texts if isinstance(text, str)}
            if texts & NAMES or ("text" in texts and "strategy" in ast.unparse(node)):
                yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize("path", FILES, ids=module)
def test_nothing_compares_the_name_of_a_row(path):
    """A fifth strategy, a new metric ... works everywhere only if the code asks the row what is true of it."""
    wrong = [f"{path.relative_to(ROOT)}, line {line}: {code}" for line, code in compared(nodes(path))]
    assert wrong == [], "ask the row: STRATEGIES[name].coarse, METRICS[name].better ..."


@pytest.mark.parametrize(
    "code",
    [
        'metric.name == "acc"',
        'name in ("acc", "mae")',
        's != "direct"',
        'if strategy == "text": pass',
        'kind["model_type"] == "llava"',
        'match s.strategy:\n    case "cot":\n        pass',
    ],
)
def test_such_a_comparison_is_seen(code):
    assert list(compared(ast.walk(ast.parse(code))))
    assert not list(compared(ast.walk(ast.parse('kind == "text" or unit == "level"'))))


def test_recipes_hold_no_python():
    assert {path.suffix for path in (ROOT / "recipes").iterdir()} <= {".yaml", ".md", ".sh"}
