"""One page about runs: python eval/report.py FILE_OR_FOLDER... --out report.html [--data FILE_OR_FOLDER...]

Scores with intervals beside the paper's, what differs between runs, confusion matrices, errors by age, calibration,
label distributions and a gallery of examples, in one file that asks the network for nothing. --data: the test files
(default: what data_prep and the demo wrote); --media: where their images are; --scale: a scale of your own.
Exit code 0, or 2 if anything could not be used: the page then says what, and is made of the rest.
"""

import argparse
import base64
import hashlib
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from tqdm import tqdm

from storm.text import printable
from storm.scales import Scale
from storm.files import together
from eval.scoring import testsets, paper, scores
from eval.report_page import gallery
from eval.report_page.figures import labels, section
from eval.scoring.prediction_files import find
from eval.scoring.runs import Answers, load

HERE = Path(__file__).parent
MEDIA = [Path("data/raw"), Path("data/demo")]
LIMIT = 5_000_000  # bytes of a page; above it, the gallery is halved
BESIDE = tuple(line for line in paper.TABLES["table2"] if line.name.startswith("STORM"))  # Tables 2 and 3
COLUMNS = {"n": "n", "of": "of", "paper_n": "paper’s n", "acc": "ACC", "mae": "MAE", "mae_worst": "MAE worst"}
COLUMNS |= {"unparsed_rate": "unparsed", "off_by_one": "off by one", "cs5": "CS@5", "qwk": "QWK", "srcc": "SRCC"}
COLUMNS |= {"plcc": "PLCC", "coarse_acc": "coarse ACC", "consistent": "consistent", "ece": "ECE", "rps": "RPS"}
COLUMNS |= {"constant_acc": "same ACC", "constant_mae": "same MAE"}  # score -> head; report.html.j2 explains each
PACKAGES = ("storm-recipes", "numpy", "scipy", "scikit-learn", "matplotlib")
Run = dict[str, Answers]  # what one run, prompt and decoding said, by dataset


def visible(value: object) -> object:
    """Text as it goes into the page: controls, marks that turn its direction and half characters as their codes."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\u{ord(c):04x}" for c in value)


def of_paper(line: paper.Line, name: str) -> dict[str, dict]:
    """ACC and MAE of a line of Tables 2 and 3: of a dataset, a domain, or all ("paper"), and why they are unsure."""
    if name == "paper":
        return {"acc": {"value": line.acc_average}, "mae": {"value": line.mae_average}}
    cells, over = {}, paper.DOMAINS.get(name, (name,))
    for metric in ("acc", "mae"):
        names = tuple(d for d in over if metric == "mae" or d not in paper.YEARS)
        why = [paper.UNSURE.get(("table2", line.name, metric, dataset)) for dataset in names]
        value = paper.average(getattr(line, metric), names) if names else None
        cells[metric] = {"value": value, "unsure": "; ".join(filter(None, why))}
    return cells


def summary(scores: Sequence[dict], datasets: Iterable[str]) -> list[dict]:
    """The rows of the table of scores: of each dataset the runs', each with its number in "by", then the paper's."""
    rows = []
    for dataset in datasets:
        for score in (score for score in scores if score["dataset"] == dataset):
            cells = {key: {"value": score[key], "interval": score["intervals"].get(key)} for key in COLUMNS}
            rows.append({"dataset": dataset, "by": score["by"], "cells": cells})
        for line in BESIDE if dataset in paper.DATASETS else ():
            rows.append({"dataset": dataset, "by": line.name, "cells": of_paper(line, dataset)})
    return rows


def means(scores: Sequence[dict], resamples: Sequence[dict], numbers: Mapping[tuple, int]) -> list[dict]:
    """The rows of the table of averages: of each domain, and of all, the runs that have any of it and the paper's."""
    found = [
        (row["average"], numbers[row["run"], row["strategy"], row["decode"]], row)
        for row in scored.averages(scores, resamples)
    ]
    rows = []
    for name, datasets in [*paper.DOMAINS.items(), ("paper", paper.DATASETS)] if found else ():
        begun = [(by, row) for average, by, row in found if average == name and {*row["mae_missing"]} != {*datasets}]
        for by, row in begun:
            cells = {metric: {"value": row[metric], "interval": row[f"{metric}_interval"]} for metric in ("acc", "mae")}
            missing = list(dict.fromkeys([*row["acc_missing"], *row["mae_missing"]]))
            rows.append({"average": name, "by": by, "cells": cells, "missing": missing})
        for line in BESIDE if begun else ():
            rows.append({"average": name, "by": line.name, "cells": of_paper(line, name), "missing": []})
    return rows


def render(facts: dict) -> str:
    """The page. Everything in it is escaped but the pictures and our own style and script, which are Markup."""
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, finalize=visible, trim_blocks=True)
    environment.lstrip_blocks, environment.undefined = True, StrictUndefined
    style, script = ((HERE / f"report.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    own = {"style": Markup(style), "script": Markup(script), "hash": hash, "columns": COLUMNS, "sizes": gallery.SIZES}  # noqa: S704
    return environment.get_template("report.html.j2").render(own | facts)


def gathered(answers: Sequence[Answers], scales: Mapping[str, Scale], errors: list[str]) -> dict:
    """All facts of the page but its images."""
    runs: dict[tuple, Run] = {}
    for one in answers:
        runs.setdefault(one.key, {})[one.dataset] = one
    numbers = {key: number for number, key in enumerate(runs)}
    made = [scored.score(one) for one in tqdm(answers, "scores", disable=None)]
    scores, resamples = [score for score, _ in made], [found for _, found in made]
    for score in scores:
        score["by"] = numbers[score["run"], score["strategy"], score["decode"]]
    named = dict.fromkeys(one.dataset for one in answers)
    datasets = [name for name in paper.DATASETS if name in named] + [n for n in named if n not in paper.DATASETS]
    sections = []
    for name in tqdm(datasets, "figures", disable=None):
        of = {number: run[name] for number, run in enumerate(runs.values()) if name in run}
        own = {score["by"]: score for score in scores if score["dataset"] == name}
        sections.append(section(of, own, labels(of.values(), scales, errors)))
    facts = {"rows": summary(scores, datasets), "means": means(scores, resamples, numbers), "sections": sections}
    facts |= {"runs": list(runs), "datasets": datasets}
    files = sorted({(str(one.data), one.of) for one in answers if one.data})
    used = [key for key in COLUMNS if any(score[key] is not None for score in scores)]
    whole = all(score["of"] in (None, score["n"]) for score in scores)
    facts["shown_columns"] = [key for key in used if key != "of" or not whole]
    facts |= {"scores": scores, "data": files, "differences": gallery.differences(list(runs.values()), errors)}
    return facts


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="One page about runs.")
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER")
    parser.add_argument("--out", type=Path, required=True, metavar="report.html")
    parser.add_argument("--data", type=Path, nargs="+", metavar="FILE_OR_FOLDER", help="the test files")
    parser.add_argument("--media", type=Path, nargs="+", default=MEDIA, metavar="FOLDER", help="where images are")
    parser.add_argument("--scale", type=Path, metavar="SCALE.yaml", help="a scale of your own")
    args, start, errors = parser.parse_args(argv), time.perf_counter(), []
    files: list[Path] = []
    for path in args.paths:
        try:
            files += find(path)
        except OSError as error:
            errors.append(str(error))
    scales, tests = built.known(args.scale, args.data, errors)
    answers, wrong = load(tqdm(files, "predictions", disable=None), scales, tests)
    errors += wrong
    if not answers:
        others = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        print(f"error: {printable((errors or ['no predictions'])[0])}{others}", file=sys.stderr)
        return 2
    facts = gathered(answers, scales, errors)
    facts |= {"errors": errors, "made": datetime.now(UTC), "versions": {name: version(name) for name in PACKAGES}}
    for most in (gallery.MOST, gallery.MOST // 2, gallery.MOST // 4, 0):
        page = render(facts | gallery.shown(answers, facts["differences"], most, args.media, scales))
        if len(page.encode()) <= LIMIT:
            break
    try:
        with together() as open_:
            open_(args.out).write(page)
        rows, seconds = sum(len(one.label) for one in answers), time.perf_counter() - start
        print(f"{args.out}: {len(page.encode()) / 1e6:.1f} MB, {rows:,} rows, {seconds:.0f} s")
    except OSError as error:
        errors.append(f"--out: {error}")
    for error in errors:
        print(f"error: {printable(error)}", file=sys.stderr)
    return 2 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
