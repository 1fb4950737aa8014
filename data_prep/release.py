"""The authors' data release: python -m data_prep release FILE.jsonl [...] [--raw data/raw] [--out data/storm]

Keeps their split: rows of a file go where the file's name says (train, lite or test; --part says it otherwise).
Rows may have query, response and image_path; query, response and images; or messages and images (ms-swift). Which
dataset a row is of, its image path tells; the label is read from the response. Nothing is guessed: what does not say
its dataset or its label stands in quarantine/.
"""

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from data_prep.build import Built
from data_prep.files import Files, folded
from data_prep.images import check
from data_prep.options import add_options
from data_prep.parse import parse
from data_prep.questions import STRATEGIES
from data_prep.scales import SCALES
from data_prep.source import Drop
from data_prep.split import Rated, Split
from data_prep.write import summary, table, write, write_summary

# Words in image paths that tell the dataset, beside its own name: the owners' folder names.
ALIASES = {
    "livechallenge": "challengedb",
    "cdb": "challengedb",
    "koniq10k": "koniq",
    "aesthetic": "aesthetics",
    "aes": "aesthetics",
    "cacd2000": "cacd",
    "utkface": "utk",
    "utkfaceinthewild": "utk",
    "deepdrid": "deepdr",
    "aptos2019": "aptos",
    "historicalcolor": "hci",
    "decadedatabase": "hci",
} | {name: name for name in SCALES}


def dataset_of(image: str) -> str | None:
    """The dataset that one folder of the path names, or None if none or several do."""
    found = set()
    for part in image.replace("\\", "/").split("/")[:-1]:
        words = [re.sub(r"[^a-z0-9]", "", folded(part)), *re.split(r"[^a-z0-9]+", folded(part))]
        found |= {ALIASES[word] for word in words if word in ALIASES}
    return found.pop() if len(found) == 1 else None


def part_of(path: Path) -> str:
    """train, lite or test, from the file's name. Raises ValueError if it says none or more than one."""
    said = {part for part in ("train", "lite", "test") if part in path.stem.lower()}
    if "lite" in said:
        said -= {"train"}
    if "123k" in path.stem:  # the lite sets have 123,179 rows (Tables 6 and 7)
        said = {"lite"}
    if len(said) != 1:
        raise ValueError(f"{path}: is it train, lite or test? Say --part")
    return said.pop()


def text_and_image(row: dict) -> tuple[str, str]:
    """(response, image path) of a row in any of the release's forms. Raises ValueError saying what is missing."""
    image = row.get("image_path") or row.get("images") or row.get("image")
    while isinstance(image, (list, dict)):
        if not image or (isinstance(image, list) and len(image) > 1):
            raise ValueError(f"{len(image)} images, not one")
        image = image[0] if isinstance(image, list) else image.get("path")
    answer = row.get("response")
    if answer is None and isinstance(row.get("messages"), list):
        answers = [m.get("content") for m in row["messages"] if isinstance(m, dict) and m.get("role") == "assistant"]
        answer = answers[0] if len(answers) == 1 else None
    if not isinstance(image, str) or not isinstance(answer, str):
        missing = "an image" if isinstance(answer, str) else "a response"
        raise ValueError(f"no row with {missing} (keys: {', '.join(map(str, row))})")
    return answer, image


def label_of(dataset: str, text: str) -> int | None:
    """The label that a response states in one of the four strategies; None if none, or they disagree."""
    ratings = {r.label for strategy in STRATEGIES if (r := parse(SCALES[dataset], strategy, text))}
    return ratings.pop() if len(ratings) == 1 else None


def rows(path: Path, raw: Path, folders: dict[str, Files | None]) -> Iterator[tuple[str, Rated] | Drop]:
    """(dataset, row) for each line that says both, a Drop for each that does not. `folders` is filled as needed."""
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            where = f"{path.name}, line {number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("not an object")
                text, image = text_and_image(row)
            except ValueError as error:
                yield Drop(where, "", "rule", str(error))
                continue
            name = dataset_of(image)
            label = label_of(name, text) if name else None
            if name is None or label is None:
                what = "no one dataset in the path" if name is None else f"no label of {name} in {text[:60]!r}"
                yield Drop(where, image, "rule", what)
                continue
            if name not in folders:
                folders[name] = Files(raw / name) if (raw / name).is_dir() else None
            ends = image.replace("\\", "/").split("/")
            files = folders[name]
            found = files and files.find(*("/".join(ends[i:]) for i in range(len(ends))))
            if not found:
                yield Drop(where, image, "missing", f"no such image below {raw / name}")
            else:
                yield name, Rated(found.rpartition(".")[0], f"{name}/{found}", label, float(label), "", "")


def main(argv: list[str]) -> int:
    """Exit code 0; 1 if a file could not be read or no row of it could be used."""
    parser = argparse.ArgumentParser(prog="python -m data_prep release", description="Read the authors' data release.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.jsonl")
    parser.add_argument(
        "--part", choices=("train", "lite", "test"), help="what the files hold, if their names do not say"
    )
    parser.add_argument("--raw", type=Path, default=Path("data/raw"), help="holds a folder for each dataset")
    parser.add_argument("--out", type=Path, default=Path("data/storm"))
    add_options(parser)
    args = parser.parse_args(argv)
    try:
        parts, drops = read(args.files, args.part, args.raw)
        if not parts:
            why = f", for example {drops[0].id}: {drops[0].reason}" if drops else ""
            raise ValueError(f"no usable row in {', '.join(map(str, args.files))}{why}")
        summaries = {}
        for name in [name for name in SCALES if name in parts]:
            of_name = [drop for drop in drops if dataset_of(drop.file) == name]
            built = checked(name, parts[name], of_name, args)
            write(built, args.out, args.prompts)
            summaries[name] = summary(built)
        write_summary(args.out, summaries, {"release": [f.name for f in args.files], "resize": args.resize})
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(table(summaries))
    lost = [drop for drop in drops if dataset_of(drop.file) is None]
    if lost:
        print(f"{len(lost)} rows of no dataset, for example {lost[0].id}: {lost[0].reason} {lost[0].file}")
    return 0


def read(files: list[Path], part: str | None, raw: Path) -> tuple[dict[str, dict[str, dict[str, Rated]]], list[Drop]]:
    """dataset -> part -> id -> row of all files, and what fell out. Raises OSError or ValueError for a file."""
    parts: dict[str, dict[str, dict[str, Rated]]] = defaultdict(lambda: defaultdict(dict))
    drops: list[Drop] = []
    folders: dict[str, Files | None] = {}
    for path in files:
        holds = part or part_of(path)
        for item in rows(path, raw, folders):
            if isinstance(item, Drop):
                drops.append(item)
                continue
            name, row = item
            known = parts[name][holds].setdefault(row.id, row)
            if known is not row:
                kind = "there twice" if known == row else f"labelled {known.label} and {row.label}"
                drops.append(Drop(row.id, row.image, "duplicate", f"id {row.id!r} is {kind} in {holds}"))
    return parts, drops


def checked(name: str, parts: dict[str, dict[str, Rated]], drops: list[Drop], args: argparse.Namespace) -> Built:
    """The dataset with only usable images, in the release's order and split. A lite row is a train row, too."""
    paths = sorted({row.image for of_part in parts.values() for row in of_part.values()})
    results = check(args.raw, paths, mode=args.check, resize=args.resize, out=args.out, name=name, workers=args.workers)
    drops += [Drop(path, path, "unreadable", result.reason) for path, result in results.items() if result.reason]
    usable = {
        part: [
            row._replace(image=results[row.image].image) for row in of_part.values() if not results[row.image].reason
        ]
        for part, of_part in parts.items()
    }
    lite = usable.get("lite", [])
    known = {row.id for row in usable.get("train", [])}
    train = usable.get("train", []) + [row for row in lite if row.id not in known]
    split = Split(train, lite, usable.get("test", []))
    return Built(name, SCALES[name], sum(map(len, parts.values())) + len(drops), 0, split, drops)
