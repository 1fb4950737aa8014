"""AVA: photographs from dpchallenge with some 200 votes 1-10 each (Murray et al., CVPR 2012).

Download: AVA_dataset and the images; the owners' page is gone; imfing/ava_downloader lists other sites. Expected below
data/raw/ava:
    AVA_dataset/AVA.txt     15 numbers a line, no header: index, photo id, counts of votes 1 to 10, 2 tags, challenge
    images/<photo id>.jpg   in any folder
The rating is the mean vote. The id is column 2; column 1 also looks like an id. Some images are gray, CMYK or damaged.
Terms: the photographers keep all rights; AVA asks users not to pass on images or data. The owner's lists of train and
test images are not used: the paper tests on a tenth of its own.
"""

from operator import mul

from data_prep.downloads import Files
from data_prep.source import Drop, Items, Row


def read(files: Files) -> Items:
    path = files.label_file("AVA.txt")
    rated = 0
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if cells := line.split():
                item = _row(cells, f"{path.name}, line {number}")
                rated += isinstance(item, Row)
                yield item
    if not rated:
        raise ValueError(f"{path}: no line of 15 numbers with votes; is it the AVA.txt of AVA_dataset?")


def _row(cells: list[str], place: str) -> Row | Drop:
    photo, counts = cells[:2][-1], cells[2:12]  # a line cut short may end before the id
    image = f"{photo}.jpg"
    if len(cells) != 15:
        return Drop(photo, image, "rule", f"{place}: {len(cells)} columns instead of 15")
    if not "".join(cells[1:12]).isdecimal():
        return Drop(photo, image, "rule", f"{place}: {' '.join(cells[1:12])!r} is not an id and ten counts")
    votes = [int(count) for count in counts]
    if not any(votes):
        return Drop(photo, image, "rule", f"{place}: no votes ({' '.join(counts)})")
    return Row(id=photo, images=(image,), score=sum(map(mul, votes, range(1, 11))) / sum(votes))
