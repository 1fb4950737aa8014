"""The authors' data release: python -m data_prep release FILE.jsonl [...] [--media data/raw] [--out data/storm]

Keeps their split: rows of a file go where the file's name says (train, lite or test), or where --part says. All files
of a release go into one command: what it writes replaces the earlier files of a dataset. Rows may have query, response
and image_path; query, response and images; or messages and images (ms-swift). The image path names the dataset; the
label is read from the response. Nothing is guessed: a row without a label, or with two, goes to
quarantine/<dataset>.csv; a row whose path does not name one dataset, to quarantine/no_dataset.csv.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from data_prep.build import Built
from data_prep.downloads import Files, folded
from data_prep.finish import FAILURES, fail, finish, need_file
from data_prep.images import check
from data_prep.options import Options, add_folders, add_options, options
from data_prep.source import Drop
from data_prep.split import Rated, Split
from data_prep.write import write_quarantine
from storm.datasets import SCALES
from storm.files import locked, read_jsonl
from storm.options import Parser
from storm.parse import parse
from storm.prompts import STRATEGIES
from storm.text import printable

# Words in image paths that name a dataset, besides its name here: the owners' folder names.
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
    names = set()
    for part in image.replace("\\", "/").split("/")[:-1]:
        words = [re.sub(r"[^a-z0-9]", "", folded(part)), *re.split(r"[^a-z0-9]+", folded(part))]
        names |= {ALIASES[word] for word in words if word in ALIASES}
    return names.pop() if len(names) == 1 else None


def part_of(path: Path) -> str:
    """train, lite or test, from the file's name. Raises ValueError if it names none or more than one."""
    parts = {part for part in ("train", "lite", "test") if part in path.stem.lower()}
    if "lite" in parts:
        parts -= {"train"}
    if "123k" in path.stem:  # the lite sets have 123,179 rows (Tables 6 and 7)
        parts = {"lite"}
    if len(parts) != 1:
        raise ValueError(f"{path}: is it train, lite or test? Use --part")
    return parts.pop()


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


def rows(path: Path, media: Path, folders: dict[str, Files | None]) -> Iterator[tuple[str, Rated | Drop]]:
    """(dataset, row) of each line, or (dataset, Drop) if it cannot be used; the dataset is "" if the line names none.

    `folders` is filled as needed. Raises OSError, or ValueError if the file is not UTF-8.
    """
    for line in read_jsonl(path):
        place = f"{path.name}, line {line.number}"
        if line.fault.startswith("not UTF-8"):
            raise ValueError(f"{path}, line {line.number}: {line.fault}; save it again as UTF-8")
        try:
            if line.fault or not isinstance(line.row, dict):
                raise ValueError(line.fault or "not an object")
            text, image = text_and_image(line.row)
        except ValueError as error:
            yield "", Drop(place, "", "rule", str(error))
            continue
        name = dataset_of(image)
        label = label_of(name, text) if name else None
        if name is None or label is None:
            what = "no one dataset in the path" if name is None else f"no label of {name} in {text[:60]!r}"
            yield name or "", Drop(place, image, "rule", what)
            continue
        if name not in folders:
            folders[name] = Files(media / name) if (media / name).is_dir() else None
        ends = image.replace("\\", "/").split("/")
        files = folders[name]
        end = files and files.find(*("/".join(ends[i:]) for i in range(len(ends))))
        if not end:
            yield name, Drop(place, image, "missing", f"no such image below {media / name}")
        else:
            yield name, Rated(end.rpartition(".")[0], f"{name}/{end}", label, float(label), "", "")


def arguments() -> Parser:
    parser = Parser(
        prog="python -m data_prep release",
        description="Read the authors' data release. Give all its files to one command: what it writes replaces the "
        "earlier files of a dataset. A command that would remove a part without replacing it is refused.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.jsonl", help="all files of the release")
    parser.add_argument(
        "--part", choices=("train", "lite", "test"), help="what the files hold, if their names do not say"
    )
    add_folders(parser)
    add_options(parser)
    return parser


def main(argv: list[str]) -> int:
    """Exit code 0; 1 if a file could not be read or no row of it could be used."""
    parser = arguments()
    args = parser.parse_args(argv)
    opts = options(parser, args)
    try:
        for path in args.files:
            need_file(path, "name the .jsonl files of the authors' release")
        holds = [args.part or part_of(path) for path in args.files]
        parts, drops = read(args.files, holds, opts.media)
        with locked(opts.out):
            refuse_to_remove(opts.out, parts, set(holds))
            lost = {name or "no_dataset": drops[name] for name in drops if name not in parts}
            for name, rest in ({"no_dataset": []} | lost).items():  # the former, so that none of an earlier run stays
                write_quarantine(opts.out / "quarantine" / f"{name}.csv", rest)
            if not parts:
                first = next((rest[0] for rest in drops.values()), None)
                why = f", for example {first.id}: {first.reason}" if first else ""
                raise ValueError(f"no usable row in {', '.join(map(str, args.files))}{why}")
            built = [checked(name, parts[name], drops[name], opts) for name in SCALES if name in parts]
            settings = {"release": [printable(path.name) for path in args.files], "resize": opts.resize}
            code = finish(built, opts, settings)
    except FAILURES as error:
        return fail(error)
    for name, rest in lost.items():
        what = "no dataset" if name == "no_dataset" else f"{name}, which has no usable one"
        example = printable(f"{rest[0].id}: {rest[0].reason} {rest[0].file}")
        print(f"{len(rest)} rows of {what}, for example {example}; all: {opts.out / 'quarantine' / name}.csv")
    return code


def read(
    files: list[Path], holds: list[str], media: Path
) -> tuple[dict[str, dict[str, dict[str, Rated]]], dict[str, list[Drop]]]:
    """dataset -> part -> id -> row of all files, each with the part it holds, and dataset -> dropped rows.

    An id with several labels, in one part or in two, is dropped from all. Raises OSError or ValueError for a file.
    """
    parts: dict[str, dict[str, dict[str, Rated]]] = defaultdict(lambda: defaultdict(dict))
    drops: dict[str, list[Drop]] = defaultdict(list)
    labels: dict[tuple[str, str], set[int]] = defaultdict(set)
    folders: dict[str, Files | None] = {}
    for path, part in zip(files, holds):
        for name, row in rows(path, media, folders):
            if isinstance(row, Drop):
                drops[name].append(row)
                continue
            labels[name, row.id].add(row.label)
            if parts[name][part].setdefault(row.id, row) is not row:
                drops[name].append(Drop(row.id, row.image, "duplicate", f"id {row.id!r} is there twice in {part}"))
    for (name, id), stated in labels.items():
        for part, of_part in parts[name].items() if len(stated) > 1 else ():
            if row := of_part.pop(id, None):
                several = " and ".join(map(str, sorted(stated)))
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


def checked(name: str, parts: dict[str, dict[str, Rated]], drops: list[Drop], options: Options) -> Built:
    """The dataset with only usable images, in the release's order and split. A lite row is a train row, too."""
    read = sum(map(len, parts.values())) + len(drops)
    results = check(sorted({row.image for of_part in parts.values() for row in of_part.values()}), name, options)
    usable: dict[str, list[Rated]] = defaultdict(list)
    unreadable = []
    for part, of_part in parts.items():
        for row in of_part.values():
            result = results[row.image]
            if result.reason:
                unreadable.append(Drop(row.id, row.image, "unreadable", result.reason))
            else:
                usable[part].append(row._replace(image=result.image))
    ids = {row.id for row in usable["train"]}
    train = usable["train"] + [row for row in usable["lite"] if row.id not in ids]
    split = Split(train, usable["lite"], usable["test"])
    sound = {result.image: result for result in results.values() if not result.reason}
    return Built(name, SCALES[name], read, 0, split, drops + unreadable, sound)
