"""One page about runs: python eval/report.py FILE_OR_FOLDER... --out report.html [--data FILE_OR_FOLDER...]

Scores with intervals (of the paper's datasets, beside the paper's), what differs between runs, confusion matrices,
errors by age, calibration, label distributions, when not to rate, and a gallery of rows, in one file that loads nothing
from the network.
Exit code 0, or 2 if anything could not be used: the page then says what, and shows the rest.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from storm.files import write_text
from storm.options import Parser, describe, print_errors
from storm.text import table

MEDIA = (Path("data/raw"), Path("data/demo"))
MOST = 300  # rows in the gallery
LIMIT = 5_000_000  # bytes of a page; above it, the gallery gets smaller


def arguments() -> Parser:
    from eval.scoring.inputs import add_calibrate, add_inputs

    parser = Parser(prog="eval/report.py", description="Show the results of one or several runs on one HTML page.")
    add_inputs(parser)
    add_calibrate(parser)
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="report.html", help="the page to write")
    text = f"the image root, or several (default: {' '.join(map(str, MEDIA))})"
    add("--media", type=Path, nargs="+", default=MEDIA, metavar="FOLDER", help=text)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    args, start = arguments().parse_args(argv), time.perf_counter()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads wait for each other, spinning: twice the CPU time
    from tqdm import tqdm

    from eval.report_page.page import add_cards, gather, render
    from eval.scoring import runs
    from eval.scoring.calibrate import calibrate, unknown_training
    from eval.scoring.inputs import Options, scales_and_test_files
    from eval.scoring.next_command import after_report

    scales, tests, errors = scales_and_test_files(args.scale, args.data)
    how = Options(keys=args.keys, by_position=args.by_position)
    predictions, unread = runs.load(tqdm(args.paths, "predictions", disable=None), scales, tests, how)
    errors = [*errors, *unread]
    if not predictions:
        return print_errors(errors or ["no predictions"])
    coverages, held_out = [], []
    if args.calibrate:
        coverages, held_out, unfit = calibrate(args.calibrate, predictions, scales, tests, how)
        errors = [*errors, *unfit]
    page = gather(predictions, scales, errors, coverages, unknown_training(held_out))
    for most in (MOST, MOST // 2, MOST // 4, 0):
        add_cards(page, predictions, most, args.media, scales)
        html = render(page)
        if len(html.encode()) <= LIMIT:
            break
    errors, size, seconds = page.errors, len(html.encode()) / 1e6, time.perf_counter() - start
    try:
        write_text(args.out, html)
        print(f"{args.out}: {size:.1f} MB, {page.rows:,} rows, {seconds:.0f} s\n")
        print(table([["", "run", "strategy", "decode", "datasets", "rows", "unparsed"], *page.summary]))
        for line in after_report(args.paths, args.scale):
            print(f"\n{line}")
    except OSError as error:
        errors = [*errors, f"--out {describe(error)}"]
    return print_errors(errors)


if __name__ == "__main__":
    sys.exit(main())
