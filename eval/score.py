"""Score predictions: python eval/score.py FILE_OR_FOLDER... [--baseline RUN] [--table 2|3|4|5|8|9] [--json OUT]

Reads LLaMA-Factory's generated_predictions.jsonl (do_predict, vllm_infer), eval/predict.py's files and the authors'
{"label", "answer"} ones. Prints all metrics of each dataset with 95% intervals, domain and paper averages, whether a
run differs from --baseline, and the paper's tables with ours below. Exit code 0, or 2 if anything could not be used
(the rest is printed).
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from storm.options import Parser, describe, one_of, print_errors
from storm.text import number, printable, table

if TYPE_CHECKING:
    from eval.scoring.compare import Comparison
    from eval.scoring.runs import Predictions
    from eval.scoring.scores import Average, Score

KEYS = ("run", "dataset", "strategy", "decode")  # attributes of a Score that head every line
SIZES = ("n", "n_test", "n_paper", "subjects", "unparsed", "temperature")
BESIDE_SIZES, IN_A_TABLE = 3, 5  # how many metrics stand beside the sizes, and in each table below
LEGEND = """\
n: predictions. n_test: rows of the test file. n_paper: rows of the paper's test set. unparsed: texts without a rating.
In brackets: 95% intervals by the bootstrap, which draws subjects (people or patients; in the demo, photographs) where
the test file names them, else rows."""
LEGEND_EXACT = """\
exact: not the paper's protocol. Each metric has the best decision for it, from one distribution: ACC its mode, MAE its
median, SRCC and PLCC its mean."""
LEGEND_BASELINE = """\
difference: the run less the baseline, paired, on the rows that both predict; of MAE, on those that both parsed.
p: by the bootstrap. Holm: p corrected for the number of datasets. "cannot tell": p is .05 or more."""


def arguments() -> argparse.ArgumentParser:
    from eval.scoring.paper_tables import NUMBERS
    from eval.scoring.testsets import PLACES

    places = f"built test files (default: those in {' and '.join(map(str, PLACES))}, and beside --scale)"
    fit = "fit a temperature to these predictions of rows that the model was not trained on, and apply it"
    parser = Parser(prog="eval/score.py", description="Score predictions.")
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER", help="predictions, or folders of them")
    parser.add_argument("--baseline", type=Path, metavar="RUN", help="test whether each run differs from this one")
    parser.add_argument(
        "--table", type=one_of(NUMBERS), metavar="|".join(NUMBERS), help="print a table of the paper with ours below"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the scores to this file, too")
    parser.add_argument("--calibrate", type=Path, metavar="PREDICTIONS", help=fit)
    parser.add_argument("--data", nargs="+", type=Path, metavar="FILE_OR_FOLDER", help=places)
    parser.add_argument(
        "--scale", type=Path, metavar="SCALE.yaml", help="a scale of your own (python -m data_prep csv)"
    )
    return parser


def score_tables(scores: Sequence["Score"]) -> str:
    """All scores as text, a line a dataset. A metric that no dataset has is left out."""
    from eval.scoring.metrics import METRICS

    keys = [key for key in KEYS if key != "run" or len({score.run for score in scores}) > 1]
    sizes = [key for key in SIZES if any(getattr(score, key) is not None for score in scores)]
    metrics = shown(scores)
    parts = [(sizes, metrics[:BESIDE_SIZES])]
    parts += [([], metrics[i : i + IN_A_TABLE]) for i in range(BESIDE_SIZES, len(metrics), IN_A_TABLE)]
    texts = []
    for facts, names in parts:
        rows = [[*keys, *facts, *(METRICS[name].label for name in names)]]
        for score in scores:
            cells = [number(score.values[name], score.intervals.get(name)) for name in names]
            rows.append([*(getattr(score, key) for key in (*keys, *facts)), *cells])
        texts.append(table(rows))
    return "\n\n".join(texts)


def shown(scores: Sequence["Score"]) -> list[str]:
    """The metrics that any of the scores has."""
    from eval.scoring.metrics import METRICS

    return [name for name in METRICS if any(score.values[name] is not None for score in scores)]


def average_table(averages: Sequence["Average"], scores: Sequence["Score"]) -> str:
    """Domain and paper averages, then what is missing for the others. Of a run with one dataset, none."""
    datasets = {key: {score.dataset for score in scores if score.key == key} for key in (a.key for a in averages)}
    rows, missing = [["run", "average", "ACC", "MAE"]], []
    for average in averages:
        if len(datasets[average.key]) < 2:
            continue
        if any(value is not None for value in average.values.values()):
            cells = [number(value, average.intervals[metric]) for metric, value in average.values.items()]
            rows.append([" ".join(average.key), average.name, *cells])
        for metric, names in average.missing.items():
            if names:
                missing.append(f"no {metric.upper()} of {average.name}: {', '.join(names)} missing")
    return "\n".join([table(rows)] * (len(rows) > 1) + missing)


def comparison_table(lines: Sequence["Comparison"]) -> str:
    rows = [["dataset", "n", "metric", "run", "baseline", "difference", "p", "Holm", "so the run is"]]
    for line in lines:
        cells = [line.ours, line.base, number(line.difference, line.interval), line.p, line.holm, line.better]
        rows.append([line.dataset, line.n, line.metric.upper(), *cells])
    return table(rows)


def side_by_side(number_of_table: str, scores: Sequence["Score"], averages: Sequence["Average"]) -> str:
    """A table of the paper, for each of its metrics, with a line for each of our runs below."""
    from eval.scoring.paper_tables import AVERAGE, NUMBERS, paper_table

    name, metrics = NUMBERS[number_of_table]
    texts = []
    for metric in metrics:
        ours: dict[str, dict] = {}
        for score in scores:
            cells = ours.setdefault(f"ours: {' '.join(score.key)}", {})
            cells[score.dataset] = number(score.values[metric], score.intervals.get(metric))
        for average in averages:
            column = AVERAGE if average.name == "paper" else average.name
            cell = number(average.values[metric], average.intervals[metric])
            ours[f"ours: {' '.join(average.key)}"][column] = cell
        texts.append(paper_table(name, metric, ours))
    return "\n\n".join(texts)


def legends(scores: Sequence["Score"], compared: bool) -> str:
    """What the columns mean: of the metrics, those that are printed."""
    from eval.scoring.metrics import METRICS

    parts = [LEGEND, *(fill(f"{METRICS[name].label}: {METRICS[name].legend}", 119) for name in shown(scores))]
    parts += [LEGEND_EXACT] * any(score.decode == "exact" for score in scores) + [LEGEND_BASELINE] * compared
    return "\n".join(parts)


def details(score: "Score") -> str:
    """The reliability diagram and the first unparsed text of a dataset, or "" if it has neither."""
    from eval.inference.posterior import diagram

    parts, file = [], printable(score.file)
    if score.reliability is not None:
        parts.append(f"\nreliability, {printable(score.dataset)} ({file})\n{diagram(score.reliability)}")
    if first := score.first_unparsed:
        parts.append(f"first unparsed prediction: {file}, line {first['line']}: {first['predict']!r}")
    return "\n".join(parts)


def note(runs: Sequence["Predictions"]) -> str:
    """What was not checked: rows that have no ids and no test file may be in another order, or there twice."""
    files = [str(predictions.path) for predictions in runs if predictions.id is None]
    if not files:
        return ""
    more = f" and {len(files) - 1:,} more" if len(files) > 1 else ""
    what = f"{files[0]}{more}: no ids and no test file (--data), so positions and reruns were not checked"
    return f"note: {printable(what)}"


def compare_runs(runs: Sequence["Predictions"], baseline: Sequence["Predictions"]) -> tuple[dict, list[str]]:
    """The comparisons of each run with the baseline, by its key, and a line for each that cannot be made."""
    from eval.scoring.compare import compare

    compared, errors = {}, []
    for key in dict.fromkeys(predictions.key for predictions in runs):
        lines, wrong = compare([predictions for predictions in runs if predictions.key == key], baseline)
        errors += wrong
        if lines:
            compared[key] = lines
    return compared, errors


def to_json(scores: Sequence["Score"], averages: Sequence["Average"], compared: dict, baseline: Path | None) -> dict:
    comparisons = [
        vars(line) | dict(zip(("run", "strategy", "decode"), key)) | {"baseline": str(baseline)}
        for key, lines in compared.items()
        for line in lines
    ]
    rows = [[row.to_json() for row in part] for part in (scores, averages)]
    return {"scores": rows[0], "averages": rows[1], "comparisons": comparisons}


def print_all(args: argparse.Namespace, scores: Sequence["Score"], averages: Sequence["Average"], compared: dict):
    print(score_tables(scores))
    if means := average_table(averages, scores):
        print("\n" + means)
    for key, lines in compared.items():
        print(f"\n{printable(' '.join(key))} against {printable(args.baseline)}\n{comparison_table(lines)}")
    if args.table:
        print("\n" + side_by_side(args.table, scores, averages))
    print("\n" + legends(scores, bool(compared)))
    for text in map(details, scores):
        if text:
            print(text)


def main(argv: list[str] | None = None) -> int:
    args = arguments().parse_args(argv)
    from eval.scoring.calibrate import calibrated
    from eval.scoring.runs import load
    from eval.scoring.scores import averages, score
    from eval.scoring.testsets import known
    from storm.files import write_json

    scales, tests, errors = known(args.scale, args.data)
    runs, wrong = load(args.paths, scales, tests)
    errors += wrong
    if args.calibrate:
        held_out, wrong = load([args.calibrate], scales)
        errors += wrong or calibrated(runs, held_out)
    compared = {}
    if args.baseline:
        baseline, wrong = load([args.baseline], scales, tests)
        compared, unpaired = compare_runs(runs, baseline) if baseline else ({}, [])
        errors += wrong + unpaired
    scores = [score(predictions) for predictions in runs]
    means = averages(scores)
    if scores:
        print_all(args, scores, means, compared)
    if text := note(runs):
        print(text)
    if args.json:
        try:
            write_json(args.json, to_json(scores, means, compared, args.baseline) | {"errors": errors})
        except OSError as error:
            errors.append(f"--json {describe(error)}")
    return print_errors(errors)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is not an error
    sys.exit(main())
