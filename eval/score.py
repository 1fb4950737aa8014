"""Score predictions: python eval/score.py FILE_OR_FOLDER... [--baseline RUN] [--table 2|3|4|5|8|9] [--json OUT]
[--latex | --markdown] [--csv OUT.csv]

Reads the predictions of this repository, LLaMA-Factory, ms-swift, VLMEvalKit, lmms-eval, OpenAI Batch and others
(docs/scoring.md). Prints all metrics of each dataset with 95% intervals, domain and paper averages, whether a run
differs from --baseline, and the paper's tables with ours below. Several runs also stand in one table, with the best of
each column; --latex and --markdown print only that. Exit code 0, or 2 if anything could not be used (the rest is
printed).
"""

import os
import signal
import sys
from argparse import Namespace
from pathlib import Path

from storm.files import write_json
from storm.options import Parser, describe, one_of, print_errors


def arguments() -> Parser:
    from eval.scoring.inputs import add_calibrate, add_inputs
    from eval.scoring.paper_tables import NUMBERS

    parser = Parser(prog="eval/score.py", description="Score predictions.")
    add_inputs(parser)
    add, numbers = parser.add_argument, "|".join(NUMBERS)
    add("--baseline", type=Path, metavar="RUN", help="test whether each run differs from this one")
    add("--table", type=one_of(NUMBERS), metavar=numbers, help="print a table of the paper with ours below")
    only = parser.add_mutually_exclusive_group()
    text = "print only the table of runs, "
    only.add_argument("--latex", action="store_true", help=f"{text}as LaTeX (booktabs)")
    only.add_argument("--markdown", action="store_true", help=f"{text}as Markdown")
    text = "write all metrics to this csv file, a row for each run, dataset and metric"
    add("--csv", type=Path, metavar="OUT.csv", help=text)
    add("--json", type=Path, metavar="OUT", help="write the scores to this file, too")
    text = "write how each text was read to this csv file"
    add("--readings", type=Path, metavar="FILE.csv", help=text)
    add(
        "--readings-only", type=one_of(("irregular",)), metavar="irregular", help="of these only what is not as trained"
    )
    text = "which texts are read: strict (all that say one rating), exact (only those written as trained)"
    add("--parser", type=one_of(("strict", "exact")), default="strict", metavar="strict|exact", help=text)
    add_calibrate(parser)
    text = "write the rows to this csv file, those first whose label the model finds least likely (exact predictions)"
    add("--flag-labels", type=Path, metavar="FILE.csv", help=text)
    return parser


def refuse_inputs(parser: Parser, args: Namespace) -> None:
    """Exits if a file that is read would be written."""
    given = [*args.paths, *(args.data or []), *filter(None, (args.scale, args.baseline, args.calibrate))]
    read = {os.path.realpath(path) for path in given}
    for name in ("readings", "csv", "flag_labels", "json"):
        path = getattr(args, name)
        if path and os.path.realpath(path) in read:
            parser.error(f"--{name.replace('_', '-')} {path}: is read, and would be lost; name another file")


def main(argv: list[str] | None = None) -> int:
    parser = arguments()
    args = parser.parse_args(argv)
    alone = args.latex or args.markdown  # only the table of runs is printed
    if alone and (args.baseline or args.table):
        parser.error("--latex and --markdown print only the table of runs: leave out --baseline and --table")
    if args.readings_only and not args.readings:
        parser.error("--readings-only is of --readings FILE.csv")
    refuse_inputs(parser, args)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads wait for each other, spinning: twice the CPU time
    from eval.scoring import conformal, flagged, printout, readings, run_table_text, votes
    from eval.scoring.calibrate import calibrate, unknown_training
    from eval.scoring.compare import compare_runs
    from eval.scoring.inputs import Options, scales_and_test_files
    from eval.scoring.many_runs import run_table
    from eval.scoring.next_command import after_score
    from eval.scoring.runs import load
    from eval.scoring.scores import averages, score_all

    scales, tests, errors = scales_and_test_files(args.scale, args.data)
    how = Options(args.parser, args.keys, args.by_position)
    runs, more_errors = load(args.paths, scales, tests, how)
    errors += more_errors
    if args.keys and runs and not any("--keys" in predictions.form for predictions in runs):
        errors.append(f"--keys: no row has the keys {', '.join(args.keys.values())}; the usual names were taken")
    coverages, held_out = [], []
    if args.calibrate:
        coverages, held_out, more_errors = calibrate(args.calibrate, runs, scales, tests, how)
        errors += more_errors
    compared = {}
    if args.baseline:
        baseline, more_errors = load([args.baseline], scales, tests, how)
        compared, unpaired = compare_runs(runs, baseline) if baseline else ({}, [])
        errors += more_errors + unpaired
    scores = score_all(runs)
    results = scores, averages(scores), compared, str(args.baseline)
    side_by_side = run_table(runs, scores, results[1])
    for text in printout.everything(*results, args.table) if scores and not alone else ():
        print(text)
    if scores and alone:
        print((run_table_text.latex if args.latex else run_table_text.markdown)(side_by_side))
    elif len({predictions.key for predictions in runs}) > 1:
        print(f"\nall runs\n{run_table_text.text(side_by_side)}")
    for text in filter(None, (conformal.printed(coverages), votes.printed(scores))) if not alone else ():
        print(f"\n{text}")
    beside = sys.stderr if alone else sys.stdout  # how files and answers were read is always said
    for text in filter(None, (printout.files_table(runs), readings.rules_table(runs))):
        print(f"\n{text}", file=beside)
    if args.flag_labels:
        try:
            errors += flagged.write(args.flag_labels, runs, coverages)
        except (OSError, ValueError) as error:
            errors.append(f"--flag-labels {describe(error)}")
    if args.readings:
        try:
            readings.write(args.readings, runs, bool(args.readings_only))
        except OSError as error:
            errors.append(f"--readings {describe(error)}")
    for text in filter(None, (printout.note(runs), unknown_training(held_out))):
        print(text, file=beside)
    if args.csv:
        try:
            run_table_text.write_csv(args.csv, scores, side_by_side)
        except OSError as error:
            errors.append(f"--csv {describe(error)}")
    if args.json:
        try:
            more = {"runs": side_by_side.to_json(), "conformal": [row.to_json() for row in coverages]}
            write_json(args.json, printout.to_json(*results) | more | {"errors": errors})
        except OSError as error:
            errors.append(f"--json {describe(error)}")
    if scores and not alone:
        print(f"\n{after_score(args.paths, args.scale, args.data, args.calibrate, how)}")
    return print_errors(errors)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is not an error
    sys.exit(main())
