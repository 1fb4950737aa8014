"""The paper's tables with our results beside its numbers, as Markdown. A cell that nobody has measured stays empty."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from eval.scoring.paper import DATASETS, DOMAINS, SINGLE, TABLES, YEARS, Line, average, averages, printed
from storm import provenance
from train.plan import RESULTS

DEMO = {"demo_direct": "w/o CoT", "demo_num": "Only Num.", "demo_text": "Only Text", "demo": "Num. + Text"}
# What `sweep.py TABLE` runs. Single (Table 5) is five runs, one a domain.
RUNS = {
    table: tuple(dict.fromkeys(run for line in lines for run in ([line.run] if line.run else SINGLE.values())))
    for table, lines in TABLES.items()
}
RUNS |= {"all": tuple(dict.fromkeys(run for runs in RUNS.values() for run in runs)), "demo": tuple(DEMO)}
Cells = dict[str, float | None]


def read_results(runs: Iterable[str], folder: Path = RESULTS) -> dict[str, dict]:
    """Run -> what results/<run>.json holds, for those there are. Raises ValueError naming a file that is damaged."""
    found = {}
    for run in runs:
        path = folder / f"{run}.json"
        try:
            found[run] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except ValueError:
            found[run] = None
        if not _whole(found[run]):
            raise ValueError(f"{path}: not a results file; mv {path} {path}.old and run the sweep again")
    return found


def _whole(result: object) -> bool:
    """Whether there is all in it that a table shows."""
    if not isinstance(result, dict) or not isinstance(result.get("scores"), list):
        return False
    kinds = {"dataset": str, "n": int, "of": int, "unparsed": int, "acc": float | int | None, "mae": float | int | None}
    return all(
        isinstance(score, dict) and kinds.keys() <= score.keys() and all(isinstance(score[k], kinds[k]) for k in kinds)
        for score in result["scores"]
    ) and all(
        isinstance(result.get(key, kind()), kind)
        for kind, keys in ((list, ("settings", "datasets")), (dict, ("recipe", "data", "versions", "trained_with")))
        for key in keys
    )


def markdown(table: str, folder: Path = RESULTS) -> str:
    """One of RUNS' tables (all: each of them), paper and ours. Raises ValueError as read_results does."""
    if table == "all":
        return "\n\n".join(markdown(name, folder) for name in TABLES)
    results = read_results(RUNS[table], folder)
    if table == "demo":
        lines = [Line(name, run, {}, {}, None, None) for run, name in DEMO.items()]
        parts = _by_dataset(table, lines, results, ("demo",))
    elif table == "table5":
        parts = _by_domain(TABLES[table], results)
    else:
        parts = _by_dataset(table, TABLES[table], results, DATASETS)
    return "\n\n".join([*parts, *_notes(results)])


def _by_dataset(table: str, lines: Sequence[Line], results: dict[str, dict], datasets: tuple[str, ...]) -> list[str]:
    """A table of ACC and one of MAE, a column a dataset."""
    parts = []
    for metric in ("acc", "mae"):
        columns = [name for name in datasets if metric == "mae" or name not in YEARS]
        rows = []
        for line in lines:
            ours = _cells(results.get(line.run), metric)
            mean = averages(_cells(results.get(line.run), "acc"), _cells(results.get(line.run), "mae"))[metric == "mae"]
            if getattr(line, metric):
                cells = [printed(table, line, metric, name) for name in columns]
                rows.append([f"{line.name}, paper", *cells, getattr(line, f"{metric}_average")])
            rows.append([f"{line.name}, ours", *(ours.get(name) for name in columns), mean])
        head = [metric.upper(), *columns, "average"]
        cut = len(head) - (len(datasets) == 1)  # the average of one is itself
        parts.append(_markdown(head[:cut], [row[:cut] for row in rows]))
    return parts


def _by_domain(lines: Sequence[Line], results: dict[str, dict]) -> list[str]:
    """Table 5: plain means over the datasets of a domain; Single's come from five runs."""
    parts = []
    for metric in ("acc", "mae"):
        rows = []
        for line in lines:
            # Single is five models: each domain's numbers are those of the model that was trained on it.
            runs = SINGLE if line.run is None else dict.fromkeys(DOMAINS, line.run)
            cells = {run: _cells(results.get(run), metric) for run in runs.values()}
            own = {name: cells[runs[domain]].get(name) for domain, names in DOMAINS.items() for name in names}
            of = {domain: _in(metric, names) for domain, names in DOMAINS.items()}
            ours = [average(own, names) for names in of.values()]
            mean = average(own, tuple(name for names in of.values() for name in names))
            printed = getattr(line, metric)
            rows.append([f"{line.name}, paper", *(printed.get(d) for d in DOMAINS), getattr(line, f"{metric}_average")])
            rows.append([f"{line.name}, ours", *ours, mean])
        parts.append(_markdown([metric.upper(), *DOMAINS, "average"], rows))
    return parts


def _in(metric: str, datasets: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in datasets if metric == "mae" or name not in YEARS)


def _cells(result: dict | None, metric: str) -> Cells:
    """Dataset -> number. Scores of a part of a test set (max_samples) are no cell of a table."""
    scores = result["scores"] if result else []
    return {score["dataset"]: score[metric] for score in scores if score["n"] == score["of"]}


def _notes(results: dict[str, dict]) -> list[str]:
    """What a reader must know of a row beside its numbers."""
    notes, now, changes = [], origin.tools(), {}
    for run, result in results.items():
        if result.get("settings"):
            notes.append(f"{run}: with {' '.join(result['settings'])}.")
        if result.get("by_hand"):
            notes.append(f"{run}: trained by hand: its settings are not known.")
        if "commit" in result and (changed := origin.other_tools(result, now)):
            changes.setdefault(changed, []).append(run)
        if "trained_with" in result:
            notes.append(f"{run}: trained with {origin.other_tools(result['trained_with'], result)}.")
        if old := result.get("predicted_with"):
            notes.append(f"{run}: {', '.join(old)} predicted with another commit or other versions.")
        unparsed = {score["dataset"]: score["unparsed"] for score in result["scores"] if score["unparsed"]}
        if unparsed:
            listed = ", ".join(f"{name} {count:,}" for name, count in unparsed.items())
            notes.append(f"{run}: unparsed answers (wrong for ACC, left out of MAE): {listed}.")
        partial = [f"{s['dataset']} {s['n']:,} of {s['of']:,}" for s in result["scores"] if s["n"] != s["of"]]
        if partial:
            notes.append(f"{run}: not the whole test set, so not in the table: {', '.join(partial)}.")
        if result.get("datasets"):
            notes.append(f"{run}: trained on {', '.join(result['datasets'])} only, which is not the paper's setting.")
    notes += [f"{', '.join(runs)}: scored with {changed}." for changed, runs in changes.items()]
    return ["\n".join(notes)] if notes else []


def _markdown(head: list[str], rows: list[list]) -> str:
    cells = [head, ["---", *["---:"] * (len(head) - 1)]]
    cells += [[_cell(value) for value in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def _cell(value: str | float | None) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:.3f}"
