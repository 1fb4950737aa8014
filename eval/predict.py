"""Rate images: python eval/predict.py --model DIR_OR_NAME --data FILE.jsonl... --out FOLDER [--decode exact|generate]
or, without any rating: python eval/predict.py --model DIR_OR_NAME --images FOLDER --scale SCALE.yaml --out RATINGS.csv

exact: the probability of every valid answer, from which the best prediction for each metric follows; no answer is ever
unparsed. generate: greedy text, the paper's protocol. --data writes <out>/<file's name>.jsonl as it goes, a row an
image: id, dataset, scale, strategy, image, label, predict and, if exact, probs, coarse, entropy, mass (of all valid
answers together), median and mean. An image that cannot be read is a row with an error. --images keeps such rows in
<out>.rows/ and at the end makes one table of them (inference/rating_table.py). Stop it whenever you like: the same
command goes on. Under torchrun the processes share the rows. What the libraries print is in output.log beside the rows.
With --server URL --served-model NAME, servers answer in place of --model (docs/servers.md).
Exit code 0, 2 if something was wrong, 130 after Ctrl-C.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from eval.inference import rating_table
from eval.inference.rating_table import ORDERS
from eval.inference.ratings import DOUBT, LITTLE, Rating
from eval.inference.run import FileResult, predict, rank_and_world
from eval.inference.settings import DECODES, Settings, scale_called, trained_upright
from eval.servers.arguments import add_options, servers_of, urls
from eval.servers.counts import counts_table
from storm.files import refuse_irregular
from storm.options import Parser, one_of, positive, print_errors
from storm.prompts import STRATEGIES, strategy_of
from storm.scales import Scale, coarse_of
from storm.text import command_line, printable, table

WITH_MODEL = ("adapter", "bf16", "batch_size", "cutoff_len", "workers")  # options that do not go with --server
ONLY_IMAGES = ("strategy", "sort", "sheet")  # options that go with --images
FIRST = 3  # names that the last table shows of each level


def arguments() -> Parser:
    parser = Parser(prog="eval/predict.py", description="Rate images with a trained model.")
    add = parser.add_argument
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--model", metavar="DIR_OR_NAME", help="a model folder, or a model of the Hugging Face hub")
    text = "servers that answer instead of a model here, by commas: http://127.0.0.1:8000 (docs/servers.md)"
    who.add_argument("--server", type=urls, metavar="URL[,URL]", help=text)
    add("--adapter", metavar="DIR", help="folder with a LoRA adapter of that model")
    source = parser.add_mutually_exclusive_group(required=True)
    text = "test files (python -m data_prep)"
    source.add_argument("--data", nargs="+", type=Path, default=(), metavar="FILE.jsonl", help=text)
    text = 'images without ratings: a folder, a glob in quotes ("photos/*.jpg"), or a list (csv, txt, xlsx, jsonl ...)'
    source.add_argument("--images", nargs="+", metavar="IMAGES", help=text)
    text = "folder of the predictions; with --images, the table: .csv, .xlsx, .parquet or .jsonl"
    add("--out", required=True, type=Path, metavar="PATH", help=text)
    text = f"the image root (default: {Settings.media}; of a list of images, its folder)"
    add("--media", type=Path, metavar="FOLDER", help=text)
    text = "exact: probabilities of all valid answers; generate: greedy text (default: %(default)s)"
    add("--decode", type=one_of(DECODES), default=Settings.decode, metavar="|".join(DECODES), help=text)
    text = "turn images as their EXIF data say; --images does so if the training rows are copies of data_prep --resize"
    add("--upright", action="store_true", help=text)
    add("--bf16", action="store_true", help="cast the weights to bfloat16 (bf16_full_eval in our recipes)")
    text = "rows at once (default: auto, rows of 16,384 tokens on a GPU, 8,192 without); out of memory halves them"
    add("--batch-size", type=_size, default=Settings.batch_size, metavar="auto|N", help=text)
    text = "processes that read images ahead of the model (default: auto, the cores beside a GPU, 0 without)"
    add("--workers", type=_workers, default=Settings.workers, metavar="auto|N", help=text)
    add("--limit", type=positive, metavar="N", help="the first N rows of each file, or the first N images")
    text = "a scale of your own (python -m data_prep own); with --images also a dataset or scale of the paper (spaq)"
    add("--scale", type=Path, metavar="SCALE.yaml", help=text)
    text = f"prompt strategy of --images, as in training: {', '.join(STRATEGIES)} (default: {strategy_of('').name})"
    add("--strategy", type=one_of(STRATEGIES), metavar="NAME", help=text)
    text = "order of the table of --images: highest value first, or by name (default: by name; of a list, its order)"
    add("--sort", type=one_of(ORDERS), metavar="|".join(ORDERS), help=text)
    add("--sheet", type=Path, metavar="SHEET.html", help="contact sheet of --images: thumbnails with their ratings")
    for name, text in (
        ("image_max_pixels", "most pixels of an image, as in training"),
        ("cutoff_len", "most tokens of a prompt, as in training"),
        ("max_new_tokens", "most tokens of a generated answer"),
    ):
        option, default = f"--{name.replace('_', '-')}", getattr(Settings, name)
        add(option, type=positive, default=default, metavar="N", help=f"{text} (default: %(default)s, our recipes')")
    add_options(parser)
    return parser


def _workers(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) > 256:
        raise argparse.ArgumentTypeError(f"{text!r}: auto, or a number from 0 to 256")
    return int(text)


def _size(text: str) -> int:
    return 0 if text == "auto" else positive(text)


def settings_of(args: argparse.Namespace) -> Settings:
    known = {field.name: getattr(args, field.name) for field in fields(Settings) if field.name != "servers"}
    known |= {"data": tuple(args.data), "media": args.media or Settings.media, "model": args.model or ""}
    if given := [name for name in WITH_MODEL if args.server and getattr(args, name) != getattr(Settings, name)]:
        raise ValueError(f"--{given[0].replace('_', '-')} goes with --model: a server has its own; leave it out")
    return Settings(**known, servers=servers_of(args, args.decode))


def report(settings: Settings, results: list[FileResult]) -> int:
    """Print what was done with each file, and the next command. Returns the exit code."""
    if not any(file.written for file in results):
        print(f"{settings.out}: every row was finished already; {_nobody(settings)}")
    errors = "errors" if settings.servers else "unreadable"
    rows = [["file", "rows", "finished before", "answered", errors, "images/s"]]
    for file in results:
        rate = round(file.written / file.seconds, 2) if file.written else None
        rows.append([file.name, file.rows, file.before, file.written - file.errors, file.errors, rate])
    print(table(rows))
    _print_counts(settings, results)
    scale = ["--scale", settings.scale] if settings.scale else []
    print(f"\n{command_line(['python', 'eval/score.py', settings.out, *scale])}")
    return 2 if any(file.errors for file in results) else 0


def _nobody(settings: Settings) -> str:
    return "no server was asked" if settings.servers else "the model was not loaded"


def _print_counts(settings: Settings, results: Sequence[FileResult]) -> None:
    rows = settings.servers and counts_table({file.name: file.counts for file in results}, settings.servers.price)
    if rows:
        print(f"\n{table(rows)}")


def rate_images(args: argparse.Namespace) -> int:
    """Rate images that have no rating, and write their table and sheet. Returns the exit code.

    Raises ValueError or OSError in one line for what stands in the way.
    """
    from eval.inference import unrated

    _check_images(args)
    scale, strategy = scale_called(str(args.scale)), args.strategy or strategy_of("").name
    images = unrated.unrated(args.images[0], args.media)
    rows = args.out.with_name(f"{args.out.name}.rows")
    if args.out.exists() and not rows.exists():
        raise ValueError(f"{args.out}: not written by this command (no {rows}); move it away, or name another --out")
    if rank_and_world()[0] == 0:
        for note in images.notes:
            print(printable(note), file=sys.stderr)
    settings = replace(settings_of(args), out=rows, upright=args.upright or trained_upright(str(args.scale)))
    results = unrated.rate(settings, images, scale, strategy)
    if not results:  # only the first process has something to report
        return 0
    [result] = results
    ratings = rating_table.ratings_of(rows / f"{unrated.NAME}.jsonl", images.images, scale, strategy, args.sort or "")
    rating_table.write(args.out, ratings, scale)
    warning = _mass_warning(ratings, args.scale, strategy)
    report_ratings(settings, args.out, ratings, result, scale)
    if args.sheet:
        from eval.report_page import sheet

        orders = {"value": "highest value first", "image": "in the order of their names"}
        order = orders.get(args.sort, "in the order of the list" if images.source.is_file() else orders["image"])
        sheet.write(args.sheet, sheet.sheet_of(ratings, scale, images.root, order, warning))
        print(args.sheet)
    if warning:
        print(f"warning: {printable(warning)}", file=sys.stderr)
    return 2 if any(row.error for row in ratings) else 0


def _check_images(args: argparse.Namespace) -> None:
    """Raises ValueError or OSError for options that cannot go together, before anything else is done."""
    if len(args.images) > 1:
        raise ValueError(f"--images: {len(args.images)} names; quote the pattern, or name one folder, glob or list")
    if args.decode != Settings.decode:
        raise ValueError(f"--decode {args.decode} gives no probabilities, which --images needs; leave it out")
    if not args.scale:
        raise ValueError("--images needs --scale: a SCALE.yaml, or a dataset or scale of the paper such as spaq")
    rating_table.kind_of(args.out)
    if args.sheet and args.sheet.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--sheet {args.sheet}: the name must end with .html")
    for path in filter(None, (args.out, args.sheet)):
        refuse_irregular(path)


def _mass_warning(ratings: Sequence[Rating], scale: Path, strategy: str) -> str:
    mass = rating_table.median_mass(ratings)
    if mass is None or mass >= LITTLE:
        return ""
    asked = f"--scale {scale}, --strategy {strategy}"
    size = f"{mass:.2g}" if mass else "less than 0.000001"
    return f"{DOUBT} ({asked}): the median mass of all valid answers is {size}"


def report_ratings(settings: Settings, out: Path, ratings: Sequence[Rating], result: FileResult, scale: Scale) -> None:
    """Print what was done, how many images each level has (of what is counted, each coarse group), and the path."""
    if not result.written:
        print(f"{out}: every image that is asked for was rated already; {_nobody(settings)}")
    unreadable = [row for row in ratings if row.error]
    rate = round(result.written / result.seconds, 2) if result.written else None
    counts = [result.rows, len(ratings) - result.written, result.written - result.errors, len(unreadable)]
    head = ["images", "rated before", "rated now", "unreadable", "left (--limit)", "images/s"]
    print(table([head, [*counts, result.rows - len(ratings), rate]]))
    _print_counts(settings, [result])
    groups = scale.coarse if scale.counted else scale.fine
    names: dict[str, list[str]] = {group.word: [] for group in groups}
    for row in ratings:
        if row.label is not None:
            group = coarse_of(scale, row.label) if scale.counted else scale.fine[row.label - scale.lo]
            names[group.word].append(row.image)
    names |= {"unreadable": [row.image for row in unreadable]} if unreadable else {}
    rows = [[name, len(images), ", ".join(images[:FIRST])] for name, images in names.items()]
    print(f"\n{table([['level', 'images', 'first'], *rows])}\n\n{out}")
    if left_out := result.before + result.written - len(ratings):
        print(f"images rated before that are no longer there, left out of the table: {left_out:,}")


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments().parse_args(argv)
    try:
        if args.images:
            return rate_images(args)
        if given := [name for name in ONLY_IMAGES if getattr(args, name)]:
            raise ValueError(f"--{given[0]} goes with --images")
        settings = settings_of(args)
        results = predict(settings)
        return report(settings, results) if results else 0  # only the first process has something to report
    except (ValueError, OSError) as error:
        return print_errors([error])
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
