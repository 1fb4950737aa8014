"""What a half-done extension lacks, by name: docs/extending.md is the list for people, this is the same list as code.

Each `lacks_*` returns a line for each thing that is missing, with the file and what to add to it.
"""

import ast
import re
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path

import pytest

from data_prep.registry import dataset_info
from eval.scoring.metrics import METRICS
from eval.scoring.paper import DOMAINS
from storm.datasets import DATASETS, SCALES
from storm.families import FAMILIES
from storm.files import read_json
from storm.prompts import STRATEGIES, answers
from tests.helpers import stand_ins
from tests.helpers.paths import ROOT

READER_TESTS = "tests/data_prep/sources"
METRIC_TESTS = "tests/eval/scoring/test_metrics.py"
MODEL_TESTS = "tests/helpers/tiny_models.py"


def text(path: str) -> str:
    """A file, or all Python files of a folder."""
    files = sorted((ROOT / path).glob("*.py")) if (ROOT / path).is_dir() else [ROOT / path]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def in_table(page: str, cell: str) -> bool:
    """Whether a table on a page has a cell that is this text, as code."""
    return bool(re.search(rf"^\|(.*\|)? *`{re.escape(cell)}` *\|", text(page), re.MULTILINE))


def strings(path: str) -> set[str]:
    """All texts in quotes in a Python file, or in those of a folder."""
    nodes = ast.walk(ast.parse(text(path)))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def lacks_dataset(name: str) -> list[str]:
    row = DATASETS[name]
    lines = [
        f"storm/datasets.py: {name} has no {key}" for key in ("title", "terms", "download") if not getattr(row, key)
    ]
    if not row.url.startswith("http"):
        lines.append(f"storm/datasets.py: {name} has no url of its owner's page")
    if row.domain not in DOMAINS:
        lines.append(f"storm/datasets.py: {name} has domain {row.domain!r}; write one of {', '.join(DOMAINS)}")
    if not row.low < row.high:
        lines.append(f"storm/datasets.py: {name} has ratings from {row.low} to {row.high}; write (lowest, highest)")
    reader = ROOT / "data_prep/sources" / f"{name}.py"
    if not reader.exists():
        lines.append(f"data_prep/sources/{name}.py: no such reader; copy the module of the most similar dataset")
    elif not {"read"} <= {node.name for node in ast.parse(text(str(reader))).body if isinstance(node, ast.FunctionDef)}:
        lines.append(f"data_prep/sources/{name}.py: no function read(files)")
    elif not ast.get_docstring(ast.parse(text(str(reader)))):
        lines.append(f"data_prep/sources/{name}.py: no docstring that says what to download, and where to put it")
    if name not in {source.__name__ for source in stand_ins.SOURCES}:
        lines.append(f"tests/helpers/stand_ins.py: no function {name} in SOURCES, which writes files as the owner does")
    if not re.search(rf"\b{name}\.read\b|def test_{name}_", text(READER_TESTS)):
        lines.append(f"{READER_TESTS}/: no test that calls {name}.read on a few rows in the owner's format")
    if not in_table("docs/datasets.md", name):
        lines.append(f"docs/datasets.md: no row for {name}; run: make docs")
    if f"storm_{name}_test" not in read_json(ROOT / "dataset_info.json"):
        lines.append(f"dataset_info.json: no storm_{name}_test; run: python -m data_prep registry")
    return lines


def lacks_strategy(name: str) -> list[str]:
    lines, row = [], STRATEGIES[name]
    for scale in dict.fromkeys(SCALES.values()):
        same = [other for other in STRATEGIES if other != name and answers(scale, other).keys() & answers(scale, name)]
        if same:  # predictions of other tools do not say their strategy
            lines.append(f"storm/prompts.py: {name} and {same[0]} have the same answers on {scale.name}; choose others")
    if not (ROOT / f"recipes/demo{row.suffix}.yaml").exists():
        lines.append(f"recipes/demo{row.suffix}.yaml: no such recipe; copy recipes/demo_num.yaml and change its names")
    if not in_table("docs/extending.md", name):
        lines.append(f"docs/extending.md: no row for {name}; run: make docs")
    if f"demo_train{row.suffix}" not in read_json(ROOT / "dataset_info.json"):
        lines.append(f"dataset_info.json: no demo_train{row.suffix}; run: python -m data_prep registry")
    return lines


def lacks_metric(name: str) -> list[str]:
    lines, row = [], METRICS[name]
    if not row.label:
        lines.append(f"eval/scoring/metrics.py: {name} has no label, the head of its column")
    if len(row.legend.split()) < 3:
        lines.append(f"eval/scoring/metrics.py: {name} has no legend, which says what it is")
    if row.better not in ("higher", "lower"):
        lines.append(f"eval/scoring/metrics.py: {name} is better {row.better!r}; write higher or lower")
    if name not in strings(METRIC_TESTS):
        lines.append(f'{METRIC_TESTS}: no reference for "{name}": scikit-learn, SciPy, dlordinal or plain arithmetic')
    if not in_table("docs/scoring.md", name):
        lines.append(f"docs/scoring.md: no row for {name}; run: make docs")
    return lines


def host_templates() -> str:
    """The file of LLaMA-Factory that registers its templates, read and not imported, which takes 9 s."""
    [path] = [file for file in distribution("llamafactory").files if str(file).endswith("data/template.py")]
    return path.locate().read_text(encoding="utf-8")


def lacks_family(name: str) -> list[str]:
    lines, template = [], FAMILIES[name].template
    if f'name="{template}"' not in host_templates():
        lines.append(f"storm/families.py: LLaMA-Factory has no template {template!r}, which {name} names")
    if name not in strings(MODEL_TESTS):
        lines.append(f'{MODEL_TESTS}: no tiny model "{name}" in TINY')
    if not re.search(rf"^\| {re.escape(FAMILIES[name].title)} +\|", text("docs/models.md"), re.MULTILINE):
        lines.append(f"docs/models.md: no row for {name}; run: make docs")
    return lines


def lacks_recipe(stem: str) -> list[str]:
    row = re.search(rf"^\| `{stem}` +\|", text("recipes/README.md"), re.MULTILINE)
    return [] if row else [f"recipes/README.md: no row for {stem}; run: make docs"]


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_has_all_its_parts(name):
    assert not (lines := lacks_dataset(name)), "\n".join(lines)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_has_all_its_parts(name):
    assert not (lines := lacks_strategy(name)), "\n".join(lines)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_has_all_its_parts(name):
    assert not (lines := lacks_metric(name)), "\n".join(lines)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_has_all_its_parts(name):
    assert not (lines := lacks_family(name)), "\n".join(lines)


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_recipe_has_a_row(path):
    assert not (lines := lacks_recipe(path.stem)), "\n".join(lines)


def test_the_registry_is_that_of_the_rows():
    assert read_json(ROOT / "dataset_info.json") == dataset_info(), "run: python -m data_prep registry"


def test_nothing_is_left_of_a_removed_row():
    readers = {path.stem for path in (ROOT / "data_prep/sources").glob("*.py")} - {"__init__"}
    assert readers == set(DATASETS), "storm/datasets.py: a reader without a row, or a row without a reader"
    assert {source.__name__ for source in stand_ins.SOURCES} == set(DATASETS), "tests/helpers/stand_ins.py, SOURCES"


# The tests above can fail: a row alone lacks every other part.


def files(lines: list[str]) -> set[str]:
    return {line.partition(":")[0] for line in lines}


def test_a_row_of_a_dataset_alone_is_half_done(monkeypatch):
    row = replace(DATASETS["hci"], name="poker", title="", url="", terms="", download="", domain="XYZ", ratings=(5, 5))
    monkeypatch.setitem(DATASETS, "poker", row)
    assert sum(line.startswith("storm/datasets.py: ") for line in lacks_dataset("poker")) == 6
    monkeypatch.setitem(DATASETS, "poker", replace(DATASETS["hci"], name="poker"))
    parts = {"data_prep/sources/poker.py", "tests/helpers/stand_ins.py", f"{READER_TESTS}/", "docs/datasets.md"}
    assert files(lacks_dataset("poker")) == parts | {"dataset_info.json"}


def test_a_row_of_a_strategy_alone_is_half_done(monkeypatch):
    monkeypatch.setitem(STRATEGIES, "emoji", replace(STRATEGIES["num"], name="emoji", suffix="_emoji"))
    lines = lacks_strategy("emoji")
    parts = {"recipes/demo_emoji.yaml", "docs/extending.md", "dataset_info.json"}
    assert files(lines) == parts | {"storm/prompts.py"} and "emoji and num have the same answers" in lines[0]


def test_a_row_of_a_metric_alone_is_half_done(monkeypatch):
    row = replace(METRICS["acc"], name="luck", label="", legend="", better="")
    monkeypatch.setitem(METRICS, "luck", row)
    lines = lacks_metric("luck")
    assert files(lines) == {"eval/scoring/metrics.py", METRIC_TESTS, "docs/scoring.md"} and len(lines) == 5


def test_a_row_of_a_family_alone_is_half_done(monkeypatch):
    monkeypatch.setitem(FAMILIES, "qwen9_vl", replace(FAMILIES["qwen2_vl"], title="Qwen9", template="q9"))
    assert files(lacks_family("qwen9_vl")) == {MODEL_TESTS, "docs/models.md", "storm/families.py"}


def test_a_recipe_without_a_row_is_named():
    assert files(lacks_recipe("storm_moon")) == {"recipes/README.md"}


def test_every_file_that_the_checklist_names_is_on_the_page():
    page = text("docs/extending.md")
    for path in ("storm/datasets.py", "storm/prompts.py", "eval/scoring/metrics.py", "storm/families.py"):
        assert path in page
    for path in (READER_TESTS, METRIC_TESTS, MODEL_TESTS, "tests/helpers/stand_ins.py", "data_prep/sources/"):
        assert path in page
    assert Path(__file__).name in page
