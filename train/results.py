"""The paper's tables with our results beside its numbers, as Markdown. A cell that nobody has measured stays empty."""

from collections.abc import Iterable
from pathlib import Path

from eval.inference.settings import DECODES
from eval.scoring.paper import AVERAGED, DOMAINS, OVER, SINGLE, TABLES
from eval.scoring.paper_tables import AVERAGE, paper_table, values_of_line, with_averages
from storm import provenance
from storm.files import read_json
from storm.prompts import STRATEGIES
from storm.text import Cell, number, printable
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
KINDS |= {"trained_with": dict, "predicted_with": dict, "unanswered": dict, "averages": list}
ASKED = ("direct", "generate")  # strategy and decoding of a model's row without a remark: see model_rows.py
OF_MODELS = tuple(f"_{strategy}_{decode}" for strategy in STRATEGIES for decode in DECODES)  # ends of their names
MODELS = "table2"  # where such rows stand: the paper's rows of models as they come do, too
WHOLE = 0.95  # of the paper's test rows: fewer are said to be; as eval/scoring/scores.py
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
    results, models = read_results(RUNS[table], folder), _models(folder) if table == MODELS else {}
    parts = [
        _demo(results, metric) if table == "demo" else _paper(table, results, models, metric)
        for metric in ("acc", "mae")
    ]
    return "\n\n".join([*parts, *notes(results), *notes(models)])


def _paper(table: str, results: dict[str, dict], models: dict[str, dict], metric: str) -> str:
    values = {run: _values(result, metric) for run, result in results.items()}
    ours = {line.name: with_averages(values_of_line(line, values), metric) for line in TABLES[table]}
    return paper_table(table, metric, ours | {name: cells(row, metric) for name, row in models.items()}, "markdown")


def _models(folder: Path) -> dict[str, dict]:
    """Name of a row -> the result of a model that no recipe trained, in the order of the names of files."""
    stems = sorted(path.stem for path in folder.glob("*.json") if path.stem.endswith(OF_MODELS))
    results = {stem: result for stem, result in read_results(stems, folder).items() if "averages" in result}
    lines, rows = {line.name for line in TABLES[MODELS]}, {}
    for stem, result in results.items():
        asked = result["strategy"], result["decode"]
        remarks = [value for value, usual in zip(asked, ASKED) if value != usual]
        remarks += ["as asked here"] * (result["name"] in lines)  # else it would stand in place of a recipe's row
        name = printable(result["name"]) + (f" ({', '.join(remarks)})" if remarks else "")
        rows[name if name not in rows else f"{name} [{stem}]"] = result
    return rows


def cells(result: dict, metric: str) -> dict[str, Cell]:
    """The row of a model: values with their intervals, by dataset, domain and "average". What is missing is empty."""
    whole = {score["dataset"]: score for score in result["scores"] if score["n"] == score["n_test"]}
    row = {name: number(score[metric], score["intervals"].get(metric)) for name, score in whole.items()}
    for average in result["averages"]:
        if whole.keys() >= {name for name in AVERAGED[average["average"]] if name in OVER[metric]}:
            column = average["average"] if average["average"] in DOMAINS else AVERAGE
            row[column] = number(average[metric], average[f"{metric}_interval"])
    return row


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
        if lost := result.get("unanswered"):
            listed = ", ".join(f"{name} {count:,}" for name, count in lost.items())
            notes.append(f"{run}: no answer, so unparsed; the same command asks for them again: {listed}.")
        scored = {score["dataset"] for score in result["scores"]}
        if "averages" in result and (gone := [name for name in OVER["mae"] if name not in scored]):
            notes.append(f"{run}: not asked for, so empty, as are averages over them: {', '.join(gone)}.")
        partial = [f"{s['dataset']} {s['n']:,} of {s['n_test']:,}" for s in result["scores"] if s["n"] != s["n_test"]]
        if partial:
            notes.append(f"{run}: not the whole test set, so not in the table: {', '.join(partial)}.")
        small = [
            f"{s['dataset']} {s['n_test']:,} of {s['n_paper']:,}"
            for s in result["scores"]
            if s.get("n_test") and s.get("n_paper") and s["n_test"] < WHOLE * s["n_paper"]
        ]
        if "averages" in result and small:
            notes.append(f"{run}: test sets smaller than the paper's: {', '.join(small)}.")
        if result.get("datasets"):
            notes.append(f"{run}: trained on {', '.join(result['datasets'])} only, which is not the paper's setting.")
    notes += [f"{', '.join(runs)}: scored with {changed}." for changed, runs in changes.items()]
    return ["\n".join(notes)] if notes else []
