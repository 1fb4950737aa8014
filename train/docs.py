"""The tables in README and docs that are written from rows of code: python -m train.docs [--check]

Each table stands between two lines of a page, `<!-- table: NAME -->` and `<!-- end -->`. Change the row that a table is
made from (storm/datasets.py, storm/prompts.py, a recipe's header ...), not the table.
"""

import ast
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from eval.scoring.metrics import METRICS
from eval.scoring.paper import SINGLE, TABLES
from storm.datasets import DATASETS, LABEL_RULES, DatasetFacts
from storm.families import FAMILIES
from storm.files import write_text
from storm.options import Parser
from storm.prompts import STRATEGIES, answer
from storm.scales import IQA, Scale
from storm.text import Cell
from storm.text import table as draw
from train.recipe import header

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/*.md", "recipes/README.md")
MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
LITE = {"train": "lite is train", "none": "no lite"}
LITE |= {part: f"lite is a {part} of train" for part in ("ninth", "quarter")}
# What `make demo` prints, and what others have measured with a recipe: stem -> (ACC, MAE).
OURS = {"demo": (0.812, 0.200)}


def datasets() -> str:
    rows = [
        (f"[{row.title}]({row.url})", f"`{row.name}`", row.domain, row.download, row.terms) for row in DATASETS.values()
    ]
    return _table(("dataset", "folder", "domain", "what to put there", "terms of use"), rows)


def splits() -> str:
    rows = [
        (
            *(f"`{row.name}`", f"`{row.scale.name}`", LABEL_RULES[row.label]),
            *(row.sizes.train, row.sizes.lite, row.sizes.test, _split_rule(row), row.difference),
        )
        for row in DATASETS.values()
    ]
    return _table(("dataset", "scale", "label", "train", "lite", "test", "split", "differs from the paper"), rows)


def _split_rule(row: DatasetFacts) -> str:
    if row.test is None:
        return f"the owner's; {LITE[row.lite]}"
    return f"test is 1 row in {row.test}{' of each class' if row.per_class else ''}; {LITE[row.lite]}"


def sources() -> str:
    """What each reader's docstring says: files, label, quirks, terms. To import the readers would take long."""
    parts = []
    for row in DATASETS.values():
        path = ROOT / "data_prep" / "sources" / f"{row.name}.py"
        if path.exists():
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            parts.append(f"### {row.title}\n\n```text\n{text}\n```")
    return "\n\n".join(parts)


def strategies() -> str:
    head = ("strategy", "row of Table 4", "coarse step", "answer for image quality 3", "suffix of its files")
    rows = []
    for row in STRATEGIES.values():
        facts = "yes" if row.coarse else "no", f"`{answer(IQA, row.name, 3)}`", row.suffix or "none"
        rows.append((f"`{row.name}`", row.paper, *facts))
    return _table(head, rows)


def scales() -> str:
    rows = [
        (f"`{scale.name}`", scale.title, f"{scale.lo} to {scale.hi}", scale.unit, len(scale.coarse), _users(scale))
        for scale in dict.fromkeys(row.scale for row in DATASETS.values())
    ]
    return _table(("scale", "what is rated", "labels", "unit", "coarse groups", "datasets"), rows)


def _users(scale: Scale) -> str:
    return ", ".join(f"`{row.name}`" for row in DATASETS.values() if row.scale is scale)


def metrics() -> str:
    rows = [(row.label, f"`{row.name}`", row.better, row.when, row.explained()) for row in METRICS.values()]
    return _table(("metric", "key in --json", "better", "when", "what it is"), rows)


def families() -> str:
    rows = []
    for row in FAMILIES.values():
        parts = (row.vision_type, row.text_type)
        kind = " with ".join([f"`{row.model_type}`", *(f"`{part}`" for part in parts if part)])
        keys = "".join(f", `{key}: {str(value).lower()}`" for key, value in row.keys.items())
        fa2 = f"no: {row.no_fa2}" if row.no_fa2 else "yes"
        rows.append((row.title, kind, f"`{row.template}`{keys}", fa2))
    return _table(("family", "`model_type` in `config.json`", "template", "`flash_attn: fa2`"), rows)


def recipes() -> str:
    rows = []
    for path in sorted((ROOT / "recipes").glob("*.yaml")):
        top = header(path)
        title = re.split(r" Paper[ ,]", top.title)[0]
        batch = f"{top.gpus} x {top.batch} x {top.accumulation}" if top.gpus else None
        numbers = *_paper(path.stem), *OURS.get(path.stem, (None, None))
        rows.append((f"`{path.stem}`", title, batch, top.parameters, *numbers))
    head = ("recipe", "what it is", "GPUs x batch x accumulation", "trained parameters")
    return _table((*head, "paper ACC", "paper MAE", "our ACC", "our MAE"), rows)


def _paper(stem: str) -> tuple[float | None, float | None]:
    """(ACC, MAE) of the row of the paper that a recipe reproduces: its average, or the mean of its one domain."""
    for line in (line for lines in TABLES.values() for line in lines):
        if line.run == stem:
            return line.acc_average, line.mae_average
        if line.run is None and stem in SINGLE.values():
            domain = next(name for name, run in SINGLE.items() if run == stem)
            return line.acc[domain], line.mae[domain]
    return None, None


def _table(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    return draw([head, *rows], "markdown")


# The name in a marker -> what stands there, as Markdown.
WRITERS: dict[str, Callable[[], str]] = {
    write.__name__: write for write in (datasets, splits, sources, strategies, scales, metrics, families, recipes)
}


def pages(root: Path = ROOT) -> list[Path]:
    return sorted(path for pattern in PAGES for path in root.glob(pattern))


def fresh(text: str) -> str:
    """A page with its tables as they must be. Raises ValueError for a table that nothing writes."""

    def drawn(match: re.Match) -> str:
        if match[2] not in WRITERS:
            raise ValueError(f"no table {match[2]!r}; there are {', '.join(WRITERS)}")
        return f"{match[1]}\n{WRITERS[match[2]]()}\n\n{match[3]}"

    return MARKED.sub(drawn, text)


def stale(root: Path = ROOT) -> dict[Path, str]:
    """The pages whose tables are out of date -> their text as it must be. Raises ValueError naming the page."""
    outdated = {}
    for path in pages(root):
        text = path.read_text(encoding="utf-8")
        try:
            new = fresh(text)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        if new != text:
            outdated[path] = new
    return outdated


def main(argv: list[str] | None = None) -> int:
    """Exit code 0, or 1 with --check if a page is out of date."""
    parser = Parser(prog="python -m train.docs", description="Write the tables in README and docs from rows of code.")
    parser.add_argument("--check", action="store_true", help="write nothing; print which pages are out of date")
    args = parser.parse_args(argv)
    changes = stale()
    for path, text in changes.items():
        if not args.check:
            write_text(path, text)
        print(f"{path.relative_to(ROOT)}: {'out of date; run: make docs' if args.check else 'written'}")
    return int(args.check and bool(changes))


if __name__ == "__main__":
    sys.exit(main())
