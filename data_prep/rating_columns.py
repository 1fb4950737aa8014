"""Which column of a table of ratings is what: by the names that people give, or as the options say."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_prep.parts import part_of
from data_prep.rating_files import Ratings
from data_prep.tables import plain
from storm.images import suffixes
from storm.text import printable

# What a column may be -> its usual names, in any case; blanks, "_" and "-" do not matter.
USUAL = {
    "image": ("image", "filename", "file", "path", "img", "name", "image_name", "image_path", "img_path", "source-ref")
    + ("image_id", "img_id", "full_path"),
    "rating": ("rating", "score", "mos", "label", "grade", "level", "age", "dmos"),
    "subject": ("subject", "person", "patient", "identity", "subject_id", "person_id", "patient_id", "participant"),
    "split": ("split", "set", "fold", "usage"),
    "rater": ("rater", "rater_id", "user", "user_id", "worker", "worker_id", "annotator"),
}
ONE_PART = ("istrain", "isval", "istest", "intest", "testset", "trainset")  # columns that say yes or no
INDEX = re.compile(r"|Unnamed: 0|__index_level_0__")  # of pandas
NEEDED = ("image", "rating")
ALIKE = 0.9  # our choice: a column in which so many cells end like image files holds the images
PAIRS = ({"left", "right"}, {"imagea", "imageb"}, {"image1", "image2"}, {"img1", "img2"}, {"winner"}, {"preferred"})


def columns_of(
    path: Path, ratings: Ratings, asked: Mapping[str, Sequence[str]], notes: list[str]
) -> dict[str, list[int]]:
    """What a column may be -> the places of its columns: one, but for several columns of ratings. What was taken for
    what is added to `notes`. asked: the names that options give.

    Raises ValueError, with the columns there are and the option, if a column is missing, there twice, or if several
    could be meant.
    """
    for place, name in enumerate(ratings.columns):
        if name and plain(name) in map(plain, ratings.columns[:place]):
            raise ValueError(f"{path}: column {printable(name)!r} is there twice; rename one")
    chosen = {
        role: [_named(path, ratings, role, part) for name in names for part in _parts(ratings, role, name)]
        for role, names in asked.items()
        if names and (role, *names) != ("split", "none")
    }
    taken = {place for places in chosen.values() for place in places}
    for role, usual in USUAL.items():
        if role in chosen or (role == "split" and role in asked):
            continue
        known = {plain(name) for name in usual}
        places = [n for n, name in enumerate(ratings.columns) if plain(name) in known and n not in taken]
        if len(places) > 1:
            names = ", ".join(printable(ratings.columns[place]) for place in places)
            several = " (or A,B for several raters)" if role == "rating" else ""
            raise ValueError(
                f"{path}: several columns may be the {role}: {names}; choose with --{role}-column{several}"
            )
        if places:
            chosen[role] = places
            taken |= set(places)
    _refuse_pairs(path, ratings, chosen)
    if "image" not in chosen:
        chosen["image"] = [_by_cells(path, ratings, taken)]
        taken |= set(chosen["image"])
    if "split" not in chosen and "split" not in asked and (places := _parts_in_cells(ratings, taken)):
        chosen["split"] = places
        taken |= set(places)
    if "rating" not in chosen:
        rest = [n for n, name in enumerate(ratings.columns) if n not in taken and not INDEX.fullmatch(name)]
        if len(rest) != 1:
            raise ValueError(f"{path}: which column is the rating? --rating-column names it ({_have(ratings)})")
        chosen["rating"] = rest
    _refuse_one_part(path, ratings, chosen, asked)
    rest = [name for place, name in enumerate(ratings.columns) if name and place not in sum(chosen.values(), [])]
    rest = [printable(name)[:30] for name in rest if not INDEX.fullmatch(name)]
    said = (
        f"{role}: {', '.join(repr(printable(ratings.columns[n])) for n in chosen[role])}"
        for role in USUAL
        if role in chosen
    )
    more = f" and {len(rest) - 8:,} more" if len(rest) > 8 else ""
    notes.append(f"{path.name}: {', '.join(said)}" + f"; not used: {', '.join(rest[:8])}{more}" * bool(rest))
    if plain(ratings.columns[chosen["rating"][0]]) == "dmos":
        notes.append(f"{path.name}: a high dmos is taken for good; if it is bad, add --order descending")
    return chosen


def _refuse_one_part(
    path: Path, ratings: Ratings, chosen: Mapping[str, Sequence[int]], asked: Mapping[str, Sequence[str]]
) -> None:
    """Raises ValueError for a column such as is_test, which a draw of another split would contradict."""
    name = next((name for name in ratings.columns if plain(name) in ONE_PART), "")
    if name and "split" not in chosen and "split" not in asked:
        fix = "write train, val or test in each row of a column split, or --split-column none draws another split"
        raise ValueError(f"{path}: column {printable(name)!r} says yes or no for one part; {fix}")


def _parts(ratings: Ratings, role: str, name: str) -> list[str]:
    """A,B of several raters; a column may have a comma in its name."""
    whole = any(plain(column) == plain(name) for column in ratings.columns)
    return [name] if whole or role != "rating" else name.split(",")


def _named(path: Path, ratings: Ratings, role: str, name: str) -> int:
    places = [place for place, column in enumerate(ratings.columns) if plain(column) == plain(name)]
    if not places:
        raise ValueError(f"{path}: --{role}-column {printable(name)}: no such column ({_have(ratings)})")
    return places[0]


def _have(ratings: Ratings) -> str:
    return f"there are: {printable(', '.join(ratings.columns))[:300]}"


def _parts_in_cells(ratings: Ratings, taken: set[int]) -> list[int]:
    """The one column whose cells all say a part, and not all the same; none of several."""
    places = []
    for place in range(len(ratings.columns)):
        cells = {cells[place] for _, cells in ratings.rows}
        if place not in taken and len(cells) > 1 and all(map(part_of, cells)):
            places.append(place)
    return places if len(places) == 1 else []


def _by_cells(path: Path, ratings: Ratings, taken: set[int]) -> int:
    """The one column whose cells end like image files."""
    places = []
    for place in range(len(ratings.columns)):
        cells = [cells[place] for _, cells in ratings.rows if cells[place]]
        images = sum(cell.lower().endswith(suffixes()) for cell in cells)
        if place not in taken and cells and images >= ALIKE * len(cells):
            places.append(place)
    if len(places) != 1:
        raise ValueError(f"{path}: which column is the image? --image-column names it ({_have(ratings)})")
    return places[0]


def _refuse_pairs(path: Path, ratings: Ratings, chosen: Mapping[str, Sequence[int]]) -> None:
    """Raises ValueError for comparisons of two images."""
    names = {plain(name) for name in ratings.columns}
    if any(role not in chosen for role in NEEDED) and any(pair <= names for pair in PAIRS):
        fix = "each image needs a rating of its own, for example its strength in a Bradley-Terry model"
        raise ValueError(f"{path}: comparisons of two images, not ratings ({_have(ratings)}); {fix}")
