"""Stand-ins for the 14 sources: python -m tests.helpers.stand_ins FOLDER [FRACTION]. To run data_prep without the data.

Label files have the owners' formats and numbers of rows; ratings are generated, seeded by dataset. All images are hard
links to one small JPEG, so every dataset is full of exact copies. Where an owner lists more images than the paper
uses, only the paper's exist. A fraction below 1 makes every dataset smaller. Two runs differ only in the dates that
.xlsx and .mat files hold.
"""

import io
import math
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from random import Random
from typing import TextIO

import numpy as np
from openpyxl import Workbook
from PIL import Image
from scipy.io import savemat

LINKS = 30_000  # to one file; ext4 allows 65,000


def scaled(count: int, fraction: float, least: int = 10) -> int:
    return max(least, round(count * fraction))


def rating(rng: Random, n: int, mean: float, sd: float, low: float, high: float) -> float:
    """The rating of row n. The first five go from the lowest to the highest, so that every level occurs."""
    drawn = rng.gauss(mean, sd)
    return low + (high - low) * n / 4 if n < 5 else min(max(drawn, low), high)


def votes(rng: Random, mean: float, levels: int, total: int) -> list[int]:
    """How many of about `total` people chose each of 1..levels; at least one did."""
    weights = [math.exp(-((level - mean) ** 2) / 4) * rng.uniform(0.8, 1.2) for level in range(1, levels + 1)]
    return [math.ceil(total * weight / sum(weights)) for weight in weights]


def shuffled(rng: Random, counts: dict) -> list:
    """Each key as often as it is counted, in random order."""
    values = [value for value, count in counts.items() for _ in range(count)]
    rng.shuffle(values)
    return values


@contextmanager
def text(path: Path, header: str, newline: str = "\n") -> Iterator[TextIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline=newline) as file:
        file.write(header + "\n")
        yield file


# One function a dataset: it writes the label files below `folder` and yields for each row where the image lies below
# it, or "" if the row has none of its own. Sizes: the owners' files, for images the paper's Table 1.


def spaq(folder: Path, fraction: float, rng: Random) -> Iterator[str]:
    book = Workbook()  # not write_only, which leaves out the size of the sheet that the owner's file has
    sheet = book.active
    sheet.append(["Image name", "MOS", "Brightness", "Colorfulness", "Contrast", "Noisiness", "Sharpness"])
    for n in range(1, scaled(11_125, fraction) + 1):
        digits = None if n % 7 == 0 else 2  # the owner's whole numbers are int cells
        sheet.append([f"{n:05d}.jpg"] + [round(rating(rng, n - 1, 50, 18, 2, 96), digits) for _ in range(6)])
        yield f"TestImage/{n:05d}.jpg"
    (folder / "Annotations").mkdir()
    book.save(folder / "Annotations" / "MOS and Image attribute scores.xlsx")


def challengedb(folder: Path, fraction: float, rng: Random) -> Iterator[str]:
    scored = sorted(f"{n}.{'JPG' if 533 <= n <= 1159 else 'bmp'}" for n in range(3, 1165))
    names = ([f"t{n}.bmp" for n in range(1, 8)] + scored)[: scaled(1_169, fraction)]
    yield from (f"Images/{'trainingImages/' if name[0] == 't' else ''}{name}" for name in names)
    columns = {
        "AllImages_release": np.array(names, dtype=object).reshape(-1, 1),
        "AllMOS_release": np.array([[rating(rng, n, 55, 19, 3.42, 92.43) for n in range(len(names))]]),
        "AllStdDev_release": np.array([[min(max(rng.gauss(19, 2), 10), 30) for _ in names]]),
    }
    (folder / "Data").mkdir()
    for name, column in columns.items():
        savemat(folder / "Data" / f"{name}.mat", {name: column})


def koniq(folder: Path, fraction: float, rng: Random) -> Iterator[str]:
    header = '"image_name","c1","c2","c3","c4","c5","c_total","MOS","SD","MOS_zscore"'
    with text(folder / "koniq10k_scores_and_distributions.csv", header) as file:
        for n in range(scaled(10_073, fraction)):
            image, raters = f"{10_007_903 + n * 1_373_201}.jpg", votes(rng, rng.gauss(3.3, 0.5), 5, 100)
            mos = sum(level * count for level, count in enumerate(raters, 1)) / sum(raters)
            zscore = rating(rng, n, 28 * mos - 29, 2, 3.912, 88.388)
            numbers = [*raters, sum(raters), mos, rng.uniform(0.4, 0.8), zscore]
            file.write(f'"{image}",{",".join(map(str, numbers))}\n')
            yield f"1024x768/{image}"


def aesthetics(folder: Path, fraction: float, rng: Random) -> Iterator[str]:
    rows = scaled(15_686, fraction)
    there = set(rng.sample(range(rows), scaled(13_706, fraction)))  # the others are gone from Flickr
    with text(folder / "beauty-icwsm15-dataset.tsv", "#flickr_photo_id\tcategory\tbeauty_scores") as file:
        for n in range(rows):
            image, category = 82_277 + n * 601_003, rng.choice(["nature", "people", "animals", "urban"])
            mean, raters = rng.gauss(3.25, 0.5), rng.choice([5, 5, 5, 5, 5, 5, 10, 17])
            scores = ",".join(str(round(rating(rng, n, mean, 0.6, 1, 5))) for _ in range(raters))
            file.write(f"{image}\t{category}\t{scores}\n")
            yield f"img_files/{image}.jpg" if n in there else ""


def tad66k(folder: Path, fraction: float, rng: Random) -> Iterator[str]:
    for part, rows, first in (("train", 52_248, 54_810_922), ("test", 14_079, 5_054_385_089)):
        with text(folder / "dataset" / "merge" / f"{part}.csv", "image,score", "\r\n") as file:
            for n in range(scaled(rows, fraction)):
                owner = rng.choice(["someone", "43751877@N08", "some_one", "", "-someone-", "_someone"])
                file.write(f"{owner}{first + n * 3001}.jpg,{round(rating(rng, n, 5.3, 1.5, 1.13, 9.46), 2)}\n")
                yield f"TAD66K/{owner}{first + n * 3001}.jpg"


def ava(folder: Path, fraction: float, rng: Random) -> Iterator[str]:
    rows = scaled(255_530, fraction)
    there = set(rng.sample(range(rows), scaled(255_508, fraction)))
    with (folder / "AVA.txt").open("w") as file:
        for n in range(rows):
            image, counts = 958_297 - n * 3, votes(rng, rating(rng, n, 5.4, 0.9, 0, 11), 10, 205)
            tags = rng.randrange(67), rng.randrange(67), rng.randrange(1, 1400)
            file.write(" ".join(map(str, (n + 1, image, *counts, *tags))) + "\n")
            yield f"images/{image}.jpg" if n in there else ""


# Age string, rows, and how many of these repeat an earlier one. The first eight are the paper's groups: 17,321 faces.
ADIENCE = (
    "(0, 2):2519:31 (4, 6):2163:23 (8, 12):2132:8 (15, 20):1655:13 (25, 32):4950:18 (38, 43):2300:7 (48, 53):830:0 "
    "(60, 100):875:3 None:753:14 35:294:0 13:169:0 22:149:0 34:105:0 23:96:0 45:88:0 55:77:0 (27, 32):77:0 "
    "(25, 23):72:0 36:57:0 (38, 42):50:0 57:24:0 3:18:0 29:12:0 (38, 48):6:0 58:5:0 2:3:0 32:3:0 56:2:0 42:1:0 46:1:0 "
    "(8, 23):1:0"
)


def adience(folder: Path, fraction: float, rng: Random) -> Iterator[str]:
    entries = [entry.split(":") for entry in ADIENCE.replace(", ", ",").split()]
    counts = {age.replace(",", ", "): (int(rows), int(repeats)) for age, rows, repeats in entries}
    groups = list(counts)[:8]
    least = {age: int(age in groups) for age in counts}
    once = {age: scaled(rows - 2 * twice, fraction, least[age]) for age, (rows, twice) in counts.items()}
    once = shuffled(rng, once)
    repeated = shuffled(rng, {age: scaled(twice, fraction, 0) for age, (_, twice) in counts.items()})
    header = "user_id original_image face_id age gender x y dx dy tilt_ang fiducial_yaw_angle fiducial_score"
    for fold, rows in enumerate((4_496, 3_745, 3_953, 3_459, 3_834)):
        twice = repeated[fold::5]
        size = len(once) if fold == 4 else scaled(rows, fraction) - 2 * len(twice)
        ages, once = twice + once[:size], once[size:]
        with text(folder / f"fold_{fold}_data.txt", header.replace(" ", "\t")) as file:
            for n, age in enumerate(ages):
                user, image = f"{fold + 1}{rng.randrange(457):07d}@N0{fold}", f"{10_399_646_885 + n}_67c7d20df9_o.jpg"
                face, gender = rng.randrange(1, 2_285), rng.choice(["f", "m", "u", ""])
                line = "\t".join(map(str, (user, image, face, age, gender, 301, 105, 640, 641, -30, 0, 94))) + "\n"
                file.write(line)
                yield f"aligned/{user}/landmark_aligned_face.{face}.{image}" if age in groups else ""
                if n < len(twice):
                    file.write(line)
                    yield ""


def cacd(folder: Path, fraction: float, rng: Random) -> Iterator[str]:
    syllables = ["Al", "Be", "Jo", "Ka", "Ro"], ["an", "bin", "na", "y"], [*"BDFGHKLMPR"], [*"aeiouéy", "o'", "-", "."]
    people = [f"{a}{b}_{c}{d}tt" for a, b, c, d in product(*syllables)]
    pictures, rows = [0] * len(people), []
    for _ in range(scaled(163_446, fraction)):
        person, year = rng.randrange(len(people)), rng.randrange(2004, 2014)
        rank, birth = 1 + person // 40, 1951 + person % 40
        age = min(max(year - birth, 14), 62)
        pictures[person] += 1
        name = f"{age}_{people[person]}_{pictures[person]:04d}.jpg"
        rows.append((age, person + 1, year, rank, rank % 2, birth, name))
        yield "CACD2000/" + unicodedata.normalize("NFD" if person % 2 else "NFC", name)  # the tar file holds both
    stars = [(name, n + 1, 1951 + n % 40, 1 + n // 40, (1 + n // 40) % 2) for n, name in enumerate(people)]
    structs = {
        "celebrityImageData": ("age identity year rank lfw birth name", rows),
        "celebrityData": ("name identity birth rank lfw", stars),
    }
    data = {
        struct: {
            field: np.array(values, dtype=object if field == "name" else np.uint16).reshape(-1, 1)
            for field, values in zip(fields.split(), zip(*table))
        }
        for struct, (fields, table) in structs.items()
    }
    savemat(folder / "celebrity2000_meta.mat", data)


def morph(folder: Path, fraction: float, rng: Random) -> Iterator[str]:
    people = scaled(13_000, fraction)
    header = "id_num,picture_num,dob,doa,race,gender,facial_hair,age,age_diff,glasses,photo"
    with text(folder / "morph_2008_nonCommercial.csv", header) as file:
        for n in range(scaled(50_015, fraction)):
            picture, person = divmod(n, people)
            subject, sex, age = f"{person * 27 + 1_000:06d}", "MMMMMMF"[person % 7], 16 + person % 58 + picture
            photo, dates = f"Album2/{subject}_{picture:02d}{sex}{age}.JPG", f"01/31/{1990 - age},01/31/{1990 + picture}"
            file.write(f"{subject},{picture},{dates},{rng.choice('WBAHO')},{sex},NULL,{age},0,NULL,{photo}\n")
            yield photo


UTK_MALFORMED = [
    "part1/61_3_20170109150557335.jpg",
    "part1/61_1_20170109142408075.jpg",
    "part2/39_1_20170116174525125.jpg",
    "part2/53__0_20170116184028385.jpg",
    "part3/24_0_1_20170116220224657 .jpg",
    "part1/55_0_0_20170116232725357jpg",  # this and the next are not among the paper's 24,106
    "part1/44_1_4_20170116235150272.pg",
]


def utk(folder: Path, fraction: float, rng: Random) -> Iterator[str]:
    yield from (f"UTKface_inthewild/{name}" for name in UTK_MALFORMED)
    for n in range(scaled(24_106, fraction) - 5):
        part, age = 1 + (n >= 10_137) + (n >= 20_856), round(min(max(rng.gauss(33, 20), 1), 116))
        yield f"UTKface_inthewild/part{part}/{age}_{rng.randrange(2)}_{rng.randrange(5)}_20170116{n:09d}.jpg"


def eyepacs(folder: Path, fraction: float, rng: Random) -> Iterator[str]:
    counts = {0: 25_810, 1: 2_443, 2: 5_292, 3: 873, 4: 708}
    levels = shuffled(rng, {level: scaled(rows, fraction) for level, rows in counts.items()})
    with text(folder / "trainLabels.csv", "image,level") as file:
        for n, level in enumerate(levels):
            image = f"{10 + n // 2 * 3}_{'right' if n % 2 else 'left'}"
            file.write(f"{image},{level}\n")
            yield f"train/{image}.jpeg"


def deepdr(folder: Path, fraction: float, rng: Random) -> Iterator[str]:
    top = "DeepDRiD-master/regular_fundus_images"
    header = "patient_id,image_id,image_path,Overall quality,left_eye_DR_Level,right_eye_DR_Level,patient_DR_Level"
    training, validation = {0: 540, 1: 140, 2: 234, 3: 214, 4: 72}, {0: 174, 1: 46, 2: 92, 3: 68, 4: 20}
    for split, first, counts in (("training", 1, training), ("validation", 301, validation)):
        part = f"regular-fundus-{split}"
        eyes = shuffled(rng, {level: scaled(images // 2, fraction, 2) for level, images in counts.items()})
        with text(folder / top / part / f"{part}.csv", f"{header},Clarity,Field definition,Artifact", "\r\n") as file:
            for patient, (left, right) in enumerate(zip(eyes[::2], eyes[1::2]), first):
                letters = "rl" if patient in (56, 77) else "lr"  # two patients of the owner's have them exchanged
                for (letter, grades), shot in product(zip(letters, (f"{left},", f",{right}")), "12"):
                    image = f"{patient}_{letter}{shot}"
                    path = rf"\{part}\{patient}\{image}.jpg"
                    file.write(f"{patient},{image},{path},1,{grades},{max(left, right)},8,10,4\n")
                    yield f"{top}/{part}/Images/{patient}/{image}.jpg"
    evaluation = f"{top}/Online-Challenge1&2-Evaluation"  # no grades; neither train nor test
    with text(folder / evaluation / "Challenge1_upload.csv", "image_id,DR_Level") as file:
        for patient, shot in product(range(401, 401 + scaled(100, fraction, 2)), ("l1", "l2", "r1", "r2")):
            file.write(f"{patient}_{shot},\n")
            yield f"{evaluation}/Images/{patient}/{patient}_{shot}.jpg"


def aptos(folder: Path, fraction: float, rng: Random) -> Iterator[str]:
    counts = {0: 1_805, 1: 370, 2: 999, 3: 193, 4: 295}
    with text(folder / "train.csv", "id_code,diagnosis") as file:
        for level in shuffled(rng, {level: scaled(rows, fraction) for level, rows in counts.items()}):
            image = f"{rng.getrandbits(48):012x}"
            file.write(f"{image},{level}\n")
            yield f"train_images/{image}.png"


def hci(folder: Path, fraction: float, rng: Random) -> Iterator[str]:
    for decade, _ in product(range(1930, 1980, 10), range(scaled(265, fraction))):
        yield f"HistoricalColor-ECCV2012/data/imgs/decade_database/{decade}s/decade_{rng.getrandbits(128):032x}.jpg"


SOURCES = (spaq, challengedb, koniq, aesthetics, tad66k, ava, adience, cacd, morph, utk, eyepacs, deepdr, aptos, hci)


def put(folder: Path, names: Iterable[str]) -> tuple[int, int]:
    """Write an image for each name that is not "". Returns how many names and how many images there were."""
    jpeg = io.BytesIO()
    Image.linear_gradient("L").resize((32, 32)).convert("RGB").save(jpeg, "JPEG")
    rows, images, parents, original = 0, 0, set(), ""
    for name in names:
        rows += 1
        if not name:
            continue
        path = f"{folder}/{name}"
        parent = os.path.dirname(path)
        if parent not in parents:
            os.makedirs(parent, exist_ok=True)
            parents.add(parent)
        if images % LINKS:
            os.link(original, path)
        else:
            original = path
            Path(path).write_bytes(jpeg.getvalue())
        images += 1
    return rows, images


def make(root: Path, fraction: float = 1.0) -> None:
    """Write all 14 below root and print their sizes. Raises FileExistsError if one of the folders is there already."""
    print(f"{'dataset':12}{'rows':>10}{'images':>10}")
    total = [0, 0]
    for source in SOURCES:
        folder = root / source.__name__
        folder.mkdir(parents=True)
        rows, images = put(folder, source(folder, fraction, Random(source.__name__)))
        print(f"{folder.name:12}{rows:10,}{images:10,}", flush=True)
        total = [total[0] + rows, total[1] + images]
    print(f"{'all':12}{total[0]:10,}{total[1]:10,}")


if __name__ == "__main__":
    make(Path(sys.argv[1]), *map(float, sys.argv[2:3]))
