"""AVA: photographs from dpchallenge with some 200 votes 1-10 each (Murray et al., CVPR 2012).

Download: AVA_dataset and the images; the owners' page is gone; imfing/ava_downloader lists other sites. Expected below
data/raw/ava:
    AVA_dataset/AVA.txt     15 numbers a line, no header: index, photo id, counts of votes 1 to 10, 2 tags, challenge
    or, from Kaggle, ground_truth_dataset.csv with columns image_num and vote_1 ... vote_10
    images/<photo id>.jpg   in any folder
The rating is the mean vote. The id is column 2; column 1 also looks like an id. Some images are gray, CMYK or damaged.
Terms: the photographers keep all rights; AVA asks users not to pass on images or data. The owner's lists of train and
test images are not used: the paper tests on a tenth of its own.
"""

from collections.abc import Iterator
from operator import mul
from pathlib import Path

from data_prep.downloads import Files, image_id
from data_prep.source import Drop, Items, Row
from data_prep.tables import decoded, has_columns, read_together

IMAGE = ("image_num", "image_id", "image", "img_id", "id", "image_name", "img_name", "filename", "file_name")
NAMES = ("vote_{0}", "votes_{0}", "count_{0}", "rating_{0}", "c{0}", "{0}")
VOTES = {f"vote{n}": [name.format(n) for name in NAMES] for n in range(1, 11)}
FROM_1, FROM_2 = ({f"vote{n}": (f"score{n + first}",) for n in range(1, 11)} for first in (0, 1))  # pyiqa has score2


def read(files: Files) -> Items:
    paths = files.label_files("AVA.txt", "ground_truth_dataset.csv", "*AVA*.csv")
    if paths[0].suffix.lower() == ".txt":
        lines = _text(files.label_file("AVA.txt"), files.notes)
    else:
        lines = _csv(paths, files.notes)
    for place, photo, counts in lines:
        image = f"{photo}.jpg"
        if isinstance(counts, str):
            yield Drop(photo, image, "rule", f"{place}: {counts}")
            continue
        votes = tuple(map(int, counts))
        if total := sum(votes):
            yield Row(photo, (image,), sum(map(mul, votes, range(1, 11))) / total, votes=votes)
        else:
            yield Drop(photo, image, "rule", f"{place}: no votes ({' '.join(counts)})")


def _text(path: Path, notes: list[str]) -> Iterator[tuple[str, str, list[str] | str]]:
    """(place, photo id, ten counts or why there are none) of AVA.txt. Raises ValueError if no line has 15 numbers."""
    sound = False
    for number, line in enumerate(decoded(path, notes).split("\n"), start=1):
        if not (cells := line.replace(",", " ").split()):
            continue
        place, photo = f"{path.name}, line {number}", cells[:2][-1]  # a line cut short may end before the id
        if len(cells) != 15:
            yield place, photo, f"{len(cells)} columns instead of 15"
        elif not "".join(cells[1:12]).isdecimal():
            yield place, photo, f"{' '.join(cells[1:12])!r} is not an id and ten counts"
        else:
            sound = True
            yield place, photo, cells[2:12]
    if not sound:
        raise ValueError(f"{path}: no line of 15 numbers with votes; is it the AVA.txt of AVA_dataset?")


def _csv(paths: list[Path], notes: list[str]) -> Iterator[tuple[str, str, list[str] | str]]:
    """The same of tables with columns for the id and each of the ten votes."""
    from_1, from_2 = (has_columns(paths[0], columns) for columns in (FROM_1, FROM_2))
    if from_1 and from_2:
        raise ValueError(f"{paths[0]}: columns score1 to score11, but there are ten votes: name them vote_1 to vote_10")
    votes = FROM_1 if from_1 else FROM_2 if from_2 else VOTES
    for place, row in read_together(paths, {"image": IMAGE} | votes, notes=notes):
        counts = [row[name].removesuffix(".0") for name in VOTES]
        sound = all(count.isdecimal() for count in counts)
        yield place, image_id(row["image"]), counts if sound else f"{' '.join(counts)!r} is not ten counts"
