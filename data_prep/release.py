"""The authors' data release: python -m data_prep release FILE.jsonl [...] [--media data/raw] [--out data/storm]

Keeps their split: rows of a file go where the file's name says (train, lite or test), or where --part says. All files
of a release go into one command: what it writes replaces the earlier files of a dataset. Rows may have query, response
and image_path; query, response and images; or messages and images (ms-swift). The image path names the dataset; the
label is read from the response. Nothing is guessed: a row without a label, or with two, goes to
quarantine/<dataset>.csv; a row whose path does not name one dataset, to quarantine/no_dataset.csv.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from data_prep.build import Built
from data_prep.dataset_folders import folders
from data_prep.downloads import Files
from data_prep.finish import write_and_report
from data_prep.images import check
from data_prep.options import Options, add_folders, add_options, need_file, options
from data_prep.source import Drop
from data_prep.split import Rated, Split
from data_prep.write import quarantine
from storm.datasets import SCALES, dataset_in
from storm.files import locked, read_jsonl, whole_files
from storm.options import Parser, one_of
from storm.parse import parse
from storm.prompts import STRATEGIES
from storm.rows import PARTS
from storm.text import printable


@dataclass
class Release:
    """The rows of one dataset in all files."""

    parts: dict[str, dict[str, Rated]] = field(default_factory=lambda: defaultdict(dict))  # train, ... -> id -> row
    drops: list[Drop] = field(default_factory=list)


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


def label_of(dataset: str, text: str) -> int:
    """The label that a response states in one of the strategies. Raises ValueError if in none, or they disagree."""
    ratings = {r.label for strategy in STRATEGIES if (r := parse(SCALES[dataset], strategy, text))}
    if len(ratings) != 1:
        raise ValueError(f"no label of {dataset} in {text[:60]!r}")
    return ratings.pop()


def rows(path: Path, media: Path, files_of: Callable[[str], Files | None]) -> Iterator[tuple[str, Rated | Drop]]:
    """(dataset, row) of each line, or (dataset, Drop) if it cannot be used; the dataset is "" if the line names none.

    files_of: dataset -> the files of its folder. Raises OSError, or ValueError if the file is not UTF-8.
    """
    for line in read_jsonl(path):
        place = f"{path.name}, line {line.number}"
        if line.fault.startswith("not UTF-8"):
            raise ValueError(f"{path}, line {line.number}: {line.fault}; save it again as UTF-8")
        name = image = ""
        try:
            if line.fault or not isinstance(line.row, dict):
                raise ValueError(line.fault or "not an object")
            text, image = text_and_image(line.row)
            name = dataset_in(image)
            label = label_of(name, text)
        except ValueError as error:
            yield name, Drop(place, image, "rule", str(error))
            continue
        ends, files = image.replace("\\", "/").split("/"), files_of(name)
        matches = files.find(*("/".join(ends[i:]) for i in range(len(ends)))) if files else []
        if matches:
            end = min((one.rank, one.path.count("/"), one.path) for one in matches)[-1]
            facts = end.rpartition(".")[0], f"{files.root.name}/{end}", label, float(label), "", ""
            yield name, Rated(*facts, release=f"{path.name}:{line.number}")
        else:
            yield name, Drop(place, image, "missing", f"no such image below {media / name}")


def arguments() -> Parser:
    text = "Read the authors' data release. Give all its files to one command: what it writes replaces the earlier "
    text += "files of a dataset. A command that would remove a part without replacing it is refused."
    parser = Parser(prog="python -m data_prep release", description=text)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.jsonl", help="all files of the release")
    text = "what the files hold, if their names do not say: train, lite or test"
    parser.add_argument("--part", type=one_of(("train", "lite", "test")), metavar="PART", help=text)
    add_folders(parser)
    add_options(parser)
    return parser


def main(argv: list[str]) -> int:
    """Returns the exit code. Raises OSError or ValueError if a file cannot be read or no row of any can be used."""
    parser = arguments()
    args = parser.parse_args(argv)
    opts = options(parser, args)
    for path in args.files:
        need_file(path, "name the .jsonl files of the authors' release")
    holds = [args.part or part_of(path) for path in args.files]
    releases = read(args.files, holds, opts.media)
    usable = [name for name in SCALES if name in releases and any(releases[name].parts.values())]
    lost = {name or "no_dataset": release.drops for name, release in releases.items() if name not in usable}
    with locked(opts.out):
        refuse_to_remove(opts.out, usable, set(holds))
        with whole_files() as open_:
            for name, drops in ({"no_dataset": []} | lost).items():  # the former, so that none of an earlier run stays
                quarantine(drops, open_(opts.out / "quarantine" / f"{name}.csv"))
        if not usable:
            first = next((drops[0] for drops in lost.values()), None)
            why = f", for example {first.id}: {first.reason}" if first else ""
            raise ValueError(f"no usable row in {', '.join(map(str, args.files))}{why}")
        built = [checked(name, releases[name], opts) for name in usable]
        settings = {"release": [printable(path.name) for path in args.files], "resize": opts.resize}
        code = write_and_report(built, opts, settings)
    for name, drops in lost.items():
        what = "no dataset" if name == "no_dataset" else f"{name}, which has no usable one"
        example = printable(f"{drops[0].id}: {drops[0].reason} {drops[0].file}")
        print(f"{len(drops)} rows of {what}, for example {example}; all: {opts.out / 'quarantine' / name}.csv")
    return code


def read(files: list[Path], holds: list[str], media: Path) -> dict[str, Release]:
    """dataset ("" for rows that name none) -> its rows in all files, each file with the part that it holds.

    An id with several labels, in one part or in two, is dropped from all. Raises OSError or ValueError for a file.
    """
    releases: dict[str, Release] = defaultdict(Release)
    labels: dict[tuple[str, str], set[int]] = defaultdict(set)
    there = folders(media)
    files_of = cache(lambda name: Files(media / there[name][0]) if there[name] else None)
    for path, part in zip(files, holds):
        for name, row in rows(path, media, files_of):
            if isinstance(row, Drop):
                releases[name].drops.append(row)
                continue
            labels[name, row.id].add(row.label)
            if releases[name].parts[part].setdefault(row.id, row) is not row:
                twice = f"id {row.id!r} is there twice in {part}"
                releases[name].drops.append(Drop(row.id, row.image, "duplicate", twice))
    for (name, id), stated in labels.items():
        for part, of_part in releases[name].parts.items() if len(stated) > 1 else ():
            if row := of_part.pop(id, None):
                several = f"id {id!r} is labeled {' and '.join(map(str, sorted(stated)))}, here in {part}"
                releases[name].drops.append(Drop(id, row.image, "duplicate", several))
    return releases


def refuse_to_remove(out: Path, names: Iterable[str], given: set[str]) -> None:
    """Raises ValueError if `out` has parts of these datasets that this command was given no file for."""
    for name in names:
        for part in set(PARTS) - given - ({"train"} if "lite" in given else set()):
            for strategy in STRATEGIES:
                path = out / strategy / f"{name}_{part}.jsonl"
                if path.exists():
                    what = f"is of another command, and this one, without a {part} file, would remove it"
                    raise ValueError(f"{path} {what}; give all files to one command, or name another --out")


def checked(name: str, release: Release, options: Options) -> Built:
    """The dataset with only usable images, in the release's order and split. A lite row is a train row, too."""
    read = sum(map(len, release.parts.values())) + len(release.drops)
    images = sorted({row.image for of_part in release.parts.values() for row in of_part.values()})
    results, drops = check(images, name, options), release.drops
    usable: dict[str, list[Rated]] = defaultdict(list)
    for part, of_part in release.parts.items():
        for row in of_part.values():
            if reason := results[row.image].reason:
                drops.append(Drop(row.id, row.image, "unreadable", reason))
            else:
                usable[part].append(row._replace(image=results[row.image].image))
    ids = {row.id for row in usable["train"]}
    train = usable["train"] + [row for row in usable["lite"] if row.id not in ids]
    sound = {result.image: result for result in results.values() if not result.reason}
    return Built(name, SCALES[name], read, 0, Split(train, usable["lite"], usable["test"]), drops, sound)
