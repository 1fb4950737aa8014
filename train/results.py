"""The paper's tables with our results beside its numbers, as Markdown. A cell that nobody has measured stays empty."""

from collections.abc import Iterable
from pathlib import Path

from eval.scoring.paper import SINGLE, TABLES
from eval.scoring.paper_tables import paper_table, values_of_line, with_averages
from storm import provenance
from storm.files import read_json
from storm.prompts import STRATEGIES
from storm.text import table as draw
from train.plan import RESULTS

DEMO = {f"demo{row.suffix}": row.paper for row in STRATEGIES.values()}
# What `sweep.py TABLE` runs. Single (Table 5) is five runs, one a domain.
RUNS = {
    table: tuple(dict.fromkeys(run for line in lines for run in ([line.run] if line.run else SINGLE.values())))
    for table, lines in TABLES.items()
}
RUNS |= {"all": tuple(dict.fromkeys(run for runs in RUNS.values() for run in runs)), "demo": tuple(DEMO)}
# Types of the keys of a result and of its scores; an earlier version called n_test "of", and left keys out.
KINDS = {"settings": list, "datasets": list, "recipe": dict, "data": dict, "versions": dict}
KINDS |= {"trained_with": dict, "predicted_with": dict}
SCORE = {"dataset": str, "n": int, "n_test": int, "unparsed": int, "acc": float | int | None, "mae": float | int | None}


def read_results(runs: Iterable[str], folder: Path = RESULTS) -> dict[str, dict]:
    """Run -> what results/<run>.json holds, if it is there. Raises ValueError naming a file that is damaged."""
    results = {}
    for run in runs:
        path = folder / f"{run}.json"
        try:
            result = read_json(path)
            scores = [score | {"n_test": score.get("n_test", score.get("of"))} for score in result["scores"]]
            whole = all(isinstance(score[key], kind) for score in scores for key, kind in SCORE.items())
            if not whole or not all(isinstance(result.get(key, kind()), kind) for key, kind in KINDS.items()):
                raise TypeError
            results[run] = result | {"scores": scores}
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{path}: not a results file; mv {path} {path}.old and run the sweep again") from None
    return results


def markdown(table: str, folder: Path = RESULTS) -> str:
    """One of RUNS' tables (all: each of them), paper and ours. Raises ValueError as read_results does."""
    if table == "all":
        return "\n\n".join(markdown(name, folder) for name in TABLES)
    results = read_results(RUNS[table], folder)
    parts = [_demo(results, metric) if table == "demo" else _paper(table, results, metric) for metric in ("acc", "mae")]
    return "\n\n".join([*parts, *notes(results)])


def _paper(table: str, results: dict[str, dict], metric: str) -> str:
    values = {run: _values(result, metric) for run, result in results.items()}
    ours = {line.name: with_averages(values_of_line(line, values), metric) for line in TABLES[table]}
    return paper_table(table, metric, ours, "markdown")


def _demo(results: dict[str, dict], metric: str) -> str:
    rows = [[f"{name}, ours", _values(results.get(run), metric).get("demo")] for run, name in DEMO.items()]
    return draw([[metric.upper(), "demo"], *rows], "markdown")


def _values(result: dict | None, metric: str) -> dict[str, float | None]:
    """Dataset -> number. Scores of a part of a test set (max_samples) are not a cell of a table."""
    scores = result["scores"] if result else []
    return {score["dataset"]: score[metric] for score in scores if score["n"] == score["n_test"]}


def notes(results: dict[str, dict]) -> list[str]:
    """What a reader must know of a row beside its numbers."""
    notes, now, changes = [], provenance.tools(), {}
    for run, result in results.items():
        if result.get("settings"):
            notes.append(f"{run}: with {' '.join(result['settings'])}.")
        if result.get("by_hand"):
            notes.append(f"{run}: trained by hand: its settings are not known.")
        if "commit" in result and (changed := provenance.other_tools(result, now)):
            changes.setdefault(changed, []).append(run)
        if "trained_with" in result:
            notes.append(f"{run}: trained with {provenance.other_tools(result['trained_with'], result)}.")
        if old := result.get("predicted_with"):
            notes.append(f"{run}: {', '.join(old)} predicted with another commit or other versions.")
        unparsed = {score["dataset"]: score["unparsed"] for score in result["scores"] if score["unparsed"]}
        if unparsed:
            listed = ", ".join(f"{name} {count:,}" for name, count in unparsed.items())
            notes.append(f"{run}: unparsed answers (wrong for ACC, left out of MAE): {listed}.")
        partial = [f"{s['dataset']} {s['n']:,} of {s['n_test']:,}" for s in result["scores"] if s["n"] != s["n_test"]]
        if partial:
            notes.append(f"{run}: not the whole test set, so not in the table: {', '.join(partial)}.")
        if result.get("datasets"):
            notes.append(f"{run}: trained on {', '.join(result['datasets'])} only, which is not the paper's setting.")
    notes += [f"{', '.join(runs)}: scored with {changed}." for changed, runs in changes.items()]
    return ["\n".join(notes)] if notes else []
