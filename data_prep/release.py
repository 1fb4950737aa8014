"""The authors' data release: python -m data_prep release FILE.jsonl [...] [--raw data/raw] [--out data/storm]

Keeps their split: rows of a file go where the file's name says (train, lite or test; --part says it otherwise). All
files of a release go into one command: what it writes replaces what was there of a dataset. Rows may have query,
response and image_path; query, response and images; or messages and images (ms-swift). Which dataset a row is of, its
image path tells; the label is read from the response. Nothing is guessed: what does not say its label, or says two,
stands in quarantine/<dataset>.csv; what does not say its dataset, in quarantine/no_dataset.csv.
"""

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from data_prep.build import Built
from data_prep.downloads import Files, folded
from data_prep.images import check
from data_prep.duplicates import compare, compared
from data_prep.options import add_options, parsed
from storm.text import printable
from storm.parse import parse
from storm.prompts import STRATEGIES
from storm.datasets import SCALES
from data_prep.source import Drop
from data_prep.split import Rated, Split
from data_prep.write import summary, table, write, write_quarantine, write_summary

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


def rows(path: Path, raw: Path, folders: dict[str, Files | None]) -> Iterator[tuple[str, Rated | Drop]]:
    """(dataset, row) of each line, or (dataset, Drop) if it cannot be used; the dataset is "" if the line says none.

    `folders` is filled as needed. Raises OSError, or ValueError if the file is not UTF-8.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            where = f"{path.name}, line {number}"
            try:
                line = line.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                raise ValueError(f"{path}, line {number}: not UTF-8 ({error}); save it again as UTF-8") from None
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("not an object")
                text, image = text_and_image(row)
            except (ValueError, RecursionError) as error:  # the latter: thousands of brackets
                yield "", Drop(where, "", "rule", str(error))
                continue
            name = dataset_of(image)
            label = label_of(name, text) if name else None
            if name is None or label is None:
                what = "no one dataset in the path" if name is None else f"no label of {name} in {text[:60]!r}"
                yield name or "", Drop(where, image, "rule", what)
                continue
            if name not in folders:
                folders[name] = Files(raw / name) if (raw / name).is_dir() else None
            ends = image.replace("\\", "/").split("/")
            files = folders[name]
            found = files and files.find(*("/".join(ends[i:]) for i in range(len(ends))))
            if not found:
                yield name, Drop(where, image, "missing", f"no such image below {raw / name}")
            else:
                yield name, Rated(found.rpartition(".")[0], f"{name}/{found}", label, float(label), "", "")


def main(argv: list[str]) -> int:
    """Exit code 0; 1 if a file could not be read or no row of it could be used."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep release",
        description="Read the authors' data release. Give all its files to one command: what it writes replaces what "
        "was there of a dataset. A command that would remove a part without replacing it is refused.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.jsonl")
    parser.add_argument(
        "--part", choices=("train", "lite", "test"), help="what the files hold, if their names do not say"
    )
    parser.add_argument("--raw", type=Path, default=Path("data/raw"), help="holds a folder for each dataset")
    parser.add_argument("--out", type=Path, default=Path("data/storm"))
    add_options(parser)
    args = parsed(parser, argv)
    try:
        holds = [args.part or part_of(path) for path in args.files]
        parts, drops = read(args.files, holds, args.raw)
        refuse_to_remove(args.out, parts, set(holds))
        lost = {name or "no_dataset": drops[name] for name in drops if name not in parts}
        for name, of_name in ({"no_dataset": []} | lost).items():  # the former, so that none of a run before stays
            write_quarantine(args.out / "quarantine" / f"{name}.csv", of_name)
        if not parts:
            first = next((of_name[0] for of_name in drops.values()), None)
            why = f", for example {first.id}: {first.reason}" if first else ""
            raise ValueError(f"no usable row in {', '.join(map(str, args.files))}{why}")
        built = [checked(name, parts[name], drops[name], args) for name in SCALES if name in parts]
        said = compare(built, args.out, hashed=args.hashed, drop=args.drop_leaks)
        for b in built:
            write(b, args.out, args.prompts)
        summaries = {b.name: summary(b) for b in built}
        settings = {"release": [path.name for path in args.files], "resize": args.resize}
        write_summary(args.out, summaries, settings | {"compared": compared(built, args.hashed)})
    except (OSError, ValueError, BrokenProcessPool) as error:
        print(f"error: {printable(error)}", file=sys.stderr)
        return 1
    print(table(summaries))
    print(said)
    for name, of_name in lost.items():
        what = "no dataset" if name == "no_dataset" else f"{name}, which has no usable one"
        example = f"{of_name[0].id}: {of_name[0].reason} {of_name[0].file}"
        print(f"{len(of_name)} rows of {what}, for example {example}; all: {args.out / 'quarantine' / name}.csv")
    return 0


def read(
    files: list[Path], holds: list[str], raw: Path
) -> tuple[dict[str, dict[str, dict[str, Rated]]], dict[str, list[Drop]]]:
    """dataset -> part -> id -> row of all files, each with the part it holds, and dataset -> what fell out.

    An id with several labels, in one part or in two, falls out of all. Raises OSError or ValueError for a file.
    """
    parts: dict[str, dict[str, dict[str, Rated]]] = defaultdict(lambda: defaultdict(dict))
    drops: dict[str, list[Drop]] = defaultdict(list)
    labels: dict[tuple[str, str], set[int]] = defaultdict(set)
    folders: dict[str, Files | None] = {}
    for path, part in zip(files, holds):
        for name, row in rows(path, raw, folders):
            if isinstance(row, Drop):
                drops[name].append(row)
                continue
            labels[name, row.id].add(row.label)
            if parts[name][part].setdefault(row.id, row) is not row:
                drops[name].append(Drop(row.id, row.image, "duplicate", f"id {row.id!r} is there twice in {part}"))
    for (name, id), said in labels.items():
        for part, of_part in parts[name].items() if len(said) > 1 else ():
            if row := of_part.pop(id, None):
                several = " and ".join(map(str, sorted(said)))
                drops[name].append(Drop(id, row.image, "duplicate", f"id {id!r} is labelled {several}, here in {part}"))
    return {name: of_name for name, of_name in parts.items() if any(of_name.values())}, drops


def refuse_to_remove(out: Path, names: Iterable[str], given: set[str]) -> None:
    """Raises ValueError if `out` has parts of these datasets that this command was given no file for."""
    for name in names:
        for part in {"train", "lite", "test"} - given - ({"train"} if "lite" in given else set()):
            for strategy in STRATEGIES:
                path = out / strategy / f"{name}_{part}.jsonl"
                if path.exists():
                    raise ValueError(
                        f"{path} is of another command, and this one, without a {part} file, would remove it; give "
                        "all files to one command, or name another --out"
                    )


def checked(name: str, parts: dict[str, dict[str, Rated]], drops: list[Drop], args: argparse.Namespace) -> Built:
    """The dataset with only usable images, in the release's order and split. A lite row is a train row, too."""
    read = sum(map(len, parts.values())) + len(drops)
    paths = sorted({row.image for of_part in parts.values() for row in of_part.values()})
    results = check(args.raw, paths, mode=args.check, resize=args.resize, out=args.out, name=name, workers=args.workers)
    usable: dict[str, list[Rated]] = defaultdict(list)
    for part, of_part in parts.items():
        for row in of_part.values():
            result = results[row.image]
            if result.reason:
                drops.append(Drop(row.id, row.image, "unreadable", result.reason))
            else:
                usable[part].append(row._replace(image=result.image))
    known = {row.id for row in usable["train"]}
    train = usable["train"] + [row for row in usable["lite"] if row.id not in known]
    split = Split(train, usable["lite"], usable["test"])
    sound = {result.image: result for result in results.values() if not result.reason}
    return Built(name, SCALES[name], read, 0, split, drops, sound)
