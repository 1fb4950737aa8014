"""Rate images: python eval/predict.py --model DIR_OR_NAME --data FILE.jsonl... --out FOLDER [--decode exact|generate]

exact: the probability of every valid answer, from which the best answer for each metric follows; no answer is ever
unparsed. generate: greedy text, the paper's protocol. Writes <out>/<file's name>.jsonl as it goes, a row an image: id,
dataset, image, label, predict and, if exact, probs, coarse, entropy, mass (of all valid answers together), median and
mean. Stop it whenever you like: the same command goes on. Under torchrun the processes share the rows.
Exit code 0, 2 if something was wrong, 130 after Ctrl-C.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from importlib.metadata import version
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from storm.text import aligned, printable
from storm.custom_scale import load as load_scale
from storm.scales import Scale
from storm.datasets import SCALES
from eval.inference import progress
from storm.rows import Task, tasks
from train.launch import Stopped
from storm.files import only_one
from storm.provenance import file_hash
from storm.provenance import rows as rows_of

if TYPE_CHECKING:
    from eval.inference.rater import Rater

EXCEPT = "not the rows in these files, which the model was trained on (for score.py --calibrate)"
AUTO = {"cuda": 32, "cpu": 8}  # rows at once; out of memory halves it


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="eval/predict.py", description="Rate images with a trained model.")
    parser.add_argument("--model", required=True, metavar="DIR_OR_NAME")
    parser.add_argument("--adapter", metavar="DIR", help="LoRA adapter of that model")
    parser.add_argument("--data", required=True, nargs="+", type=Path, metavar="FILE.jsonl", help="built test files")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--media", type=Path, default=Path("data/raw"), metavar="FOLDER", help="of the images")
    parser.add_argument("--decode", choices=("exact", "generate"), default="exact")
    parser.add_argument("--batch-size", type=_size, default=0, metavar="auto|N")
    parser.add_argument("--limit", type=_size, metavar="N", help="the first N rows of each file")
    parser.add_argument("--except", dest="but", nargs="+", default=[], type=Path, metavar="FILE.jsonl", help=EXCEPT)
    parser.add_argument("--scale", type=Path, metavar="SCALE.yaml", help="a scale of your own (data_prep csv)")
    parser.add_argument("--image-max-pixels", type=int, default=1003520, help="as in training (default: our recipes')")
    parser.add_argument("--cutoff-len", type=int, default=2048, help="as in training (default: our recipes')")
    parser.add_argument("--max-new-tokens", type=int, default=96, help="of a generated answer")
    return parser


def _size(text: str) -> int:
    if text == "auto":
        return 0
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count}: one row or more")
    return count


def blocks(
    file: Path, scales: dict[str, Scale], limit: int | None, size: int, but: Collection[tuple[str, str]] = ()
) -> Iterator[list[Task]]:
    """Rows in blocks of one scale and strategy, `size` at most. The same ones whoever asks.

    but: (dataset, id) of rows to leave out. limit: how many of the others.
    """
    asked = islice((task for task in tasks(file, scales) if (task.dataset, task.id) not in but), limit)
    for _, same in groupby(asked, key=lambda task: (task.scale.name, task.strategy)):
        while block := list(islice(same, size)):
            yield block


def predict_file(
    rater: "Rater", file: Path, done: set[str], args: argparse.Namespace, scales: dict, but: Collection = ()
) -> Counter:
    """Answer what this process has to of a file, block by block; how many rows were answered, and had errors."""
    rank, world = _rank()
    alone = world == 1 and not progress.parts(args.out, file.stem)
    path = args.out / (f"{file.stem}.jsonl" if alone else f"{file.stem}.{rank}.part")
    count, total = Counter(), None if but else min(rows_of(file), args.limit or sys.maxsize)
    with tqdm(total=total, desc=file.stem, unit="image", disable=rank > 0) as bar:
        for number, block in enumerate(blocks(file, scales, args.limit, args.batch_size, but)):
            if number % world == rank and any(task.id not in done for task in block):
                # A block cut short by a kill is asked whole again, so that its batch, and so its file, is the same.
                rows = [row for row in rater.rate(block) if row["id"] not in done]
                progress.append(path, rows)
                count.update(answered=len(rows), errors=sum("error" in row for row in rows))
            bar.update(len(block))
    return count


def _rank() -> tuple[int, int]:
    """(this process's number, how many there are), as torchrun says."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def _wait_for_all() -> None:
    if _rank()[1] > 1:
        import torch.distributed

        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo")
        torch.distributed.barrier()


def run(args: argparse.Namespace) -> int:
    """Returns the exit code. Raises ValueError in one line for what stands in the way of all of it."""
    scales = dict(SCALES)
    if args.scale:
        own = load_scale(args.scale).scale
        scales[own.name] = own
    names = [file.stem for file in args.data]
    if len(set(names)) < len(names):
        raise ValueError(f"--data: two files of one name would write one {names[0]}.jsonl: use two --out")
    for file in args.data:  # a fault in the last row must not show after hours
        for _ in tasks(file, scales):
            pass
    but = {(task.dataset, task.id) for file in args.but for task in tasks(file, scales)}
    rank, world = _rank()
    with only_one(args.out) if rank == 0 else nullcontext():
        return answer_all(args, scales, but)


def answer_all(args: argparse.Namespace, scales: dict[str, Scale], but: Collection) -> int:
    """Answer what is left, once nobody else writes to the folder. Returns the exit code."""
    rank, world = _rank()
    if rank == 0:
        progress.claim(args.out, origin(args))
        for file in args.data:
            progress.forget_errors(args.out, file.stem)
    _wait_for_all()
    done = {file: progress.finished(args.out, file.stem) for file in args.data}
    _wait_for_all()  # nobody writes while another one reads

    import torch

    from eval.inference.model import load
    from eval.inference.rater import Rater

    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if torch.cuda.is_available() else "cpu"
    args.batch_size = args.batch_size or AUTO[torch.device(device).type]
    loaded = load(args.model, args.adapter, args.image_max_pixels, args.cutoff_len, torch.device(device))
    rater = Rater(loaded, args.decode, args.max_new_tokens, args.media)
    lines, begin, errors = [["file", "rows", "finished before", "answered", "unreadable", "images/s"]], 0.0, 0
    for file in args.data:
        begin = time.perf_counter()
        count = predict_file(rater, file, done[file], args, scales, but)
        rate = count["answered"] / (time.perf_counter() - begin)
        _wait_for_all()
        if rank == 0:
            # Whatever --limit is: an earlier run may have answered more.
            progress.merge(args.out, file.stem, (task.id for task in tasks(file, scales)))
        errors += count["errors"]
        lines.append([file.stem, rows_of(file), len(done[file]), count["answered"], count["errors"], round(rate, 2)])
    if rank == 0:
        print(aligned(lines))
        print(f"\npython eval/score.py {args.out}" + (f" --scale {args.scale}" if args.scale else ""))
    return 2 if errors else 0


def origin(args: argparse.Namespace) -> dict:
    """What an output folder is of: another value of any of these would be another result."""
    return {
        "model": progress.fingerprint(args.model),
        "adapter": progress.fingerprint(args.adapter) if args.adapter else None,
        "decode": args.decode,
        "image_max_pixels": args.image_max_pixels,
        "cutoff_len": args.cutoff_len,
        "max_new_tokens": args.max_new_tokens if args.decode == "generate" else None,
        "versions": {name: version(name) for name in ("llamafactory", "transformers", "torch")},
        "data": {file.stem: file_hash(file) for file in args.data},
        "except": [file_hash(file) for file in args.but] or None,
    }


def main(argv: Sequence[str] | None = None) -> int:
    try:
        return run(arguments().parse_args(argv))
    except (ValueError, OSError, Stopped) as error:
        print(f"error: {printable(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
