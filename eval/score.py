"""Score predictions: python eval/score.py FILE_OR_FOLDER... [--baseline RUN] [--table 2|3|4|5|8|9] [--json OUT]

Reads LLaMA-Factory's generated_predictions.jsonl (do_predict, vllm_infer), eval/predict.py's files and the authors'
{"label", "answer"} ones. Prints all metrics of each dataset with 95% intervals, domain and paper averages, whether a
run differs from --baseline, and the paper's tables with ours below. Exit code 0, or 2 if anything could not be used
(the rest is printed).
"""

import os
import signal
import sys
from pathlib import Path

from storm.files import write_json
from storm.options import Parser, describe, one_of, print_errors


def arguments() -> Parser:
    from eval.scoring.paper_tables import NUMBERS
    from eval.scoring.testsets import add_calibrate, add_inputs

    parser = Parser(prog="eval/score.py", description="Score predictions.")
    add_inputs(parser)
    add, numbers = parser.add_argument, "|".join(NUMBERS)
    add("--baseline", type=Path, metavar="RUN", help="test whether each run differs from this one")
    add("--table", type=one_of(NUMBERS), metavar=numbers, help="print a table of the paper with ours below")
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


def main(argv: list[str] | None = None) -> int:
    args = arguments().parse_args(argv)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads wait for each other, spinning: twice the CPU time
    from eval.scoring import conformal, flagged, printout, readings, votes
    from eval.scoring.calibrate import calibrate, unknown_training
    from eval.scoring.compare import compare_runs
    from eval.scoring.next_command import after_score
    from eval.scoring.runs import load
    from eval.scoring.scores import averages, score
    from eval.scoring.testsets import scales_and_test_files

    scales, tests, errors = scales_and_test_files(args.scale, args.data)
    runs, more_errors = load(args.paths, scales, tests, args.parser)
    errors += more_errors
    coverages, held_out = [], []
    if args.calibrate:
        coverages, held_out, more_errors = calibrate(args.calibrate, runs, scales, tests)
        errors += more_errors
    compared = {}
    if args.baseline:
        baseline, more_errors = load([args.baseline], scales, tests, args.parser)
        compared, unpaired = compare_runs(runs, baseline) if baseline else ({}, [])
        errors += more_errors + unpaired
    scores = [score(predictions) for predictions in runs]
    results = scores, averages(scores), compared, str(args.baseline)
    for text in printout.everything(*results, args.table) if scores else ():
        print(text)
    for text in filter(None, (conformal.printed(coverages), votes.printed(scores), readings.rules_table(runs))):
        print(f"\n{text}")
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
    if text := printout.note(runs):
        print(text)
    if text := unknown_training(held_out):
        print(text)
    if args.json:
        try:
            more = {"conformal": [row.to_json() for row in coverages], "errors": errors}
            write_json(args.json, printout.to_json(*results) | more)
        except OSError as error:
            errors.append(f"--json {describe(error)}")
    if scores:
        print(f"\n{after_score(args.paths, args.scale, args.data, args.calibrate)}")
    return print_errors(errors)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is not an error
    sys.exit(main())
