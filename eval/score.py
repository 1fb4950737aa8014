"""Score predictions: python eval/score.py FILE_OR_FOLDER... [--baseline RUN] [--table 2|3|4|5] [--json OUT]

Reads LLaMA-Factory's generated_predictions.jsonl (do_predict, vllm_infer), eval/predict.py's files and the authors'
{"label", "answer"} ones. Prints all metrics of each dataset with 95% intervals, domain and paper averages, whether a
run differs from --baseline, and the paper's tables with ours below. --calibrate: predictions of rows that were not
trained on, to which the temperature is fitted. Exit code 0, or 2 if anything could not be used (the rest is printed).
"""

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from storm.text import aligned, printable
from storm.files import together
from eval.scoring import testsets
from eval.scoring.paper_tables import TABLES, beside, cell
from eval.scoring.calibrate import calibrated
from eval.scoring.compare import compare
from eval.inference.posterior import diagram
from eval.scoring.runs import load
from eval.scoring.scores import averages, score

FACTS = {"run": "run", "dataset": "dataset", "strategy": "prompt", "decode": "decode"}
COLUMNS = (  # of three tables
    {"n": "n", "of": "test rows", "paper_n": "paper's n", "people": "subjects"}
    | {"acc": "ACC", "mae": "MAE", "mae_worst": "MAE worst", "unparsed": "unparsed"},
    {"off_by_one": "off by one", "cs5": "CS@5", "qwk": "QWK", "srcc": "SRCC", "plcc": "PLCC"},
    {"coarse_acc": "coarse ACC", "consistent": "consistent", "constant_acc": "same ACC", "constant_mae": "same MAE"}
    | {"temperature": "temperature", "ece": "ECE", "rps": "RPS"},
)
LEGEND = """\
In brackets: 95% intervals by the bootstrap, which draws subjects (people; in the demo photographs) where the test
file names them, else rows. MAE: parsed answers only, in levels, or years for an age dataset, which has no ACC. MAE
worst: an unparsed answer counts as the largest possible error. off by one, CS@5: at most one level, or five years,
off. QWK: quadratic weighted kappa. SRCC, PLCC: rank and linear correlation with the right rating (no logistic fit).
coarse ACC: right coarse group. consistent: of the answers with both parts, those whose coarse group contains the
rating. same: the best answer that is always the same."""
LEGEND_EXACT = """\
exact: not the paper's protocol. Each metric has the best decision for it, from one distribution: ACC its mode, MAE its
median, SRCC and PLCC its mean; consistent by construction. ECE: calibration error of the mode's probability in 15 bins,
RPS: ranked probability score; 0 is best for both."""
LEGEND_BASELINE = """\
difference: the run less the baseline, on the rows that both answered, paired; of MAE, those of which both answers could
be parsed. p: of the bootstrap; Holm: corrected for the number of datasets. "cannot tell": p is .05 or more."""


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="eval/score.py", description="Score predictions.")
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER", help="predictions, or folders of them")
    parser.add_argument("--baseline", type=Path, metavar="RUN", help="does a run differ from this one?")
    parser.add_argument("--table", choices=TABLES, help="print a table of the paper with ours below")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the scores there too")
    parser.add_argument("--calibrate", type=Path, metavar="PREDICTIONS", help="fit the temperature to these")
    parser.add_argument("--data", nargs="+", type=Path, metavar="FILE_OR_FOLDER", help=DATA_HELP)
    parser.add_argument("--scale", type=Path, metavar="SCALE.yaml", help="of your own (python -m data_prep csv)")
    return parser


DATA_HELP = f"test files as built (default: those in {' and '.join(map(str, built.PLACES))}, and beside --scale)"


def tables(scores: Sequence[dict]) -> str:
    """All scores as aligned text, a line a dataset; what does not apply is left empty, or out."""
    facts = [key for key in FACTS if key != "run" or len({score["run"] for score in scores}) > 1]
    parts = []
    for columns in COLUMNS:
        shown = [key for key in columns if any(score[key] is not None for score in scores)]
        head = [*(FACTS[key] for key in facts), *(columns[key] for key in shown)]
        lines = [
            [*(s[key] for key in facts), *(cell(s[key], s["intervals"].get(key)) for key in shown)] for s in scores
        ]
        parts.append(aligned([head, *lines]))
    return "\n\n".join(parts)


def average_table(rows: Sequence[dict]) -> str:
    """Domain and paper averages, then what is missing for those that cannot be."""
    lines, missing = [["run", "average", "ACC", "MAE"]], []
    for row in rows:
        shown = [cell(row[metric], row[f"{metric}_interval"]) for metric in ("acc", "mae")]
        lines.append([f"{row['run']} {row['strategy']} {row['decode']}", row["average"], *shown])
        for metric in ("acc", "mae"):
            if row[f"{metric}_missing"]:
                what = f"no {metric.upper()} of {row['average']}: {', '.join(row[f'{metric}_missing'])} missing"
                missing.append(what)
    return "\n".join([aligned(lines), *missing])


def comparison_table(rows: Sequence[dict]) -> str:
    lines = [["dataset", "n", "", "run", "baseline", "difference", "p", "Holm", "so the run is"]]
    for row in rows:
        difference = cell(row["difference"], row["interval"])
        numbers = [row["metric"].upper(), row["ours"], row["base"], difference, row["p"], row["holm"], row["better"]]
        lines.append([row["dataset"], row["n"], *numbers])
    return aligned(lines)


def main(argv: list[str] | None = None) -> int:
    args, errors = arguments().parse_args(argv), []
    scales, tests = built.known(args.scale, args.data, errors)
    runs, wrong = load(args.paths, scales, tests)
    errors += wrong
    if args.calibrate:
        held_out, wrong = load([args.calibrate], scales)
        errors += wrong or calibrated(runs, held_out)
    base, wrong = load([args.baseline], scales, tests) if args.baseline else ([], [])
    errors += wrong
    scored = [score(answers) for answers in runs]
    scores, resamples = [one for one, _ in scored], [some for _, some in scored]
    means, compared = averages(scores, resamples), []
    if scores:
        print(tables(scores))
        if means:
            print("\n" + average_table(means))
    of = {key: [answers for answers in runs if answers.key == key] for key in dict.fromkeys(a.key for a in runs)}
    for key, answered in of.items() if base else ():
        rows, wrong = compare(answered, base)
        errors += wrong
        facts = dict(zip(("run", "strategy", "decode"), key)) | {"baseline": str(args.baseline)}
        compared += [row | facts for row in rows]
        if rows:
            print(f"\n{printable(' '.join(key))} against {args.baseline}\n{comparison_table(rows)}")
    if args.table and scores:
        print("\n" + beside(args.table, scores, means))
    if scores:
        print("\n" + LEGEND)
        print(
            *[LEGEND_EXACT] * any(s["decode"] == "exact" for s in scores), *[LEGEND_BASELINE] * bool(compared), sep="\n"
        )
    for one in scores:
        if one["decode"] == "exact":
            print(f"\nreliability, {one['dataset']} ({printable(one['file'])})\n{diagram(one['reliability'])}")
        if example := one["first_unparsed"]:
            print(f"first unparsed answer: {printable(one['file'])}, line {example['line']}: {example['predict']!r}")
    if args.json:
        try:
            with together() as open_:
                made = {"scores": scores, "averages": means, "comparisons": compared, "errors": errors}
                open_(args.json).write(json.dumps(made, indent=2, allow_nan=False) + "\n")
        except OSError as error:
            errors.append(f"--json: {error}")
    for error in errors:
        print(f"error: {printable(error)}", file=sys.stderr)
    return 2 if errors else 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no fault
    sys.exit(main())
