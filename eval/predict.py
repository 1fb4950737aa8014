"""Rate images: python eval/predict.py --model DIR_OR_NAME --data FILE.jsonl... --out FOLDER [--decode exact|generate]

exact: the probability of every valid answer, from which the best prediction for each metric follows; no answer is ever
unparsed. generate: greedy text, the paper's protocol. Writes <out>/<file's name>.jsonl as it goes, a row an image: id,
dataset, scale, strategy, image, label, predict and, if exact, probs, coarse, entropy, mass (of all valid answers
together), median and mean. An image that cannot be read is a row with an error. Stop it whenever you like: the same
command goes on. Under torchrun the processes share the rows. What the libraries print is in <out>/output.log.
Exit code 0, 2 if something was wrong, 130 after Ctrl-C.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from eval.inference.run import FileResult, predict
from eval.inference.settings import DECODES, Settings
from storm.options import Parser, one_of, positive, print_errors
from storm.text import table


def arguments() -> Parser:
    parser = Parser(prog="eval/predict.py", description="Rate images with a trained model.")
    add = parser.add_argument
    add("--model", required=True, metavar="DIR_OR_NAME", help="a model folder, or a model of the Hugging Face hub")
    add("--adapter", metavar="DIR", help="folder with a LoRA adapter of that model")
    add("--data", required=True, nargs="+", type=Path, metavar="FILE.jsonl", help="test files (python -m data_prep)")
    add("--out", required=True, type=Path, metavar="FOLDER", help="folder of the predictions")
    add("--media", type=Path, default=Settings.media, metavar="FOLDER", help="the image root (default: %(default)s)")
    text = "exact: probabilities of all valid answers; generate: greedy text (default: %(default)s)"
    add("--decode", type=one_of(DECODES), default=Settings.decode, metavar="|".join(DECODES), help=text)
    add("--bf16", action="store_true", help="cast the weights to bfloat16 (bf16_full_eval in our recipes)")
    text = "rows at once; out of memory halves them (default: auto, 32 on a GPU, 8 without)"
    add("--batch-size", type=_size, default=Settings.batch_size, metavar="auto|N", help=text)
    add("--limit", type=positive, metavar="N", help="the first N rows of each file")
    add("--scale", type=Path, metavar="SCALE.yaml", help="a scale of your own (python -m data_prep own)")
    for name, text in (
        ("image_max_pixels", "most pixels of an image, as in training"),
        ("cutoff_len", "most tokens of a prompt, as in training"),
        ("max_new_tokens", "most tokens of a generated answer"),
    ):
        option, default = f"--{name.replace('_', '-')}", getattr(Settings, name)
        add(option, type=positive, default=default, metavar="N", help=f"{text} (default: %(default)s, our recipes')")
    return parser


def _size(text: str) -> int:
    return 0 if text == "auto" else positive(text)


def settings_of(args: argparse.Namespace) -> Settings:
    return Settings(**vars(args) | {"data": tuple(args.data)})


def report(settings: Settings, results: list[FileResult]) -> int:
    """Print what was done with each file, and the next command. Returns the exit code."""
    if not any(file.written for file in results):
        print(f"{settings.out}: every row was finished already; the model was not loaded")
    rows = [["file", "rows", "finished before", "answered", "unreadable", "images/s"]]
    for file in results:
        rate = round(file.written / file.seconds, 2) if file.written else None
        rows.append([file.name, file.rows, file.before, file.written - file.errors, file.errors, rate])
    print(table(rows))
    print(f"\npython eval/score.py {settings.out}" + (f" --scale {settings.scale}" if settings.scale else ""))
    return 2 if any(file.errors for file in results) else 0


def main(argv: Sequence[str] | None = None) -> int:
    settings = settings_of(arguments().parse_args(argv))
    try:
        results = predict(settings)
        return report(settings, results) if results else 0  # only the first process has something to report
    except (ValueError, OSError) as error:
        return print_errors([error])
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
