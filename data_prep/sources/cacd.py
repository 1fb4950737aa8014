"""CACD: faces of 2,000 celebrities with their age in years (CACD2000; Chen et al., ECCV 2014).

Download: CACD2000.tar.gz and celebrity2000_meta.mat (optional), from the CARC page. Expected below data/raw/cacd:
    CACD2000/45_Peter_Mullan_0001.jpg ...     <age>_<name>_<number>.jpg, 163,446 images, in any folder
    celebrity2000_meta.mat                    optional, MATLAB v5 or v7.3 (HDF5)
The label is the age, 14..62, estimated: year of the photograph less year of birth. The file name holds it. The .mat
lists the images and must agree with their names. Ids and subjects always come from the file names, so that the splits
are the same with and without the .mat. Names hold accents (in either Unicode form, on disk and in the tar),
apostrophes, dots and digits; ids are NFC.
Terms: research only. The owner's split, by rank of celebrity, is used neither by the paper nor here.
"""

import re
import unicodedata
from html import unescape
from urllib.parse import unquote

from data_prep.downloads import Files, base, stem
from data_prep.matlab import read_mat
from data_prep.source import Drop, Items, Row

NAME = re.compile(r"((\d+)_([^/]+)_\d{4})(\.\w+)?", re.IGNORECASE)
WRONG = ("cp1252", "latin-1", "cp437")  # encodings in which archives of UTF-8 names are unpacked by mistake
ODD = re.compile(r"#U|[?%&\\]|[^\x00-\x7f]")  # what a name in a wrong encoding has, or one with an accent
# The celebrities' names are IMDb's, which were Latin-1 then; an upper-case letter begins a word (RenÚe is Latin-1 read
# as cp850).
ACCENTED = re.compile(r"[à-öø-ÿß]|(?<![^\W_])[À-ÖØ-Þ]")
SOME = 3  # our choice: if the names of so many people are all in lower case, somebody has changed them
PEOPLE = 1_000  # our choice: of so many, some have an accent in the name (26 of the owner's 2,000 do)
FIX = "unpack the archive again, with UTF-8 names (7z or bsdtar)"


def read(files: Files) -> Items:
    there: dict[str, list[str]] = {}  # the owner's name, no extension -> those of the files: folders differ
    repaired = 0
    for name in dict.fromkeys(map(base, files.images)):
        odd, match = ODD.search(name), NAME.fullmatch(name)
        ours = stem(owners(name) if odd else name) if match else name  # other names are dropped below
        there.setdefault(ours, []).append(name)
        if odd:
            repaired += ours not in (name, unicodedata.normalize("NFC", stem(name)))
    if files.all("celebrity2000_meta.mat"):
        path = files.label_file("celebrity2000_meta.mat")
        listed = zip(*read_mat(path, "celebrityImageData", "name", "age"))
    else:
        path, listed = None, ((name, None) for name in there)
    if not files.images and path is None:
        raise FileNotFoundError(f"{files.root}: no image in it or below it; {files.hint()}")
    if repaired:
        files.notes.append(f"{repaired:,} file names are in a wrong encoding and were read as the owner's")
    people: set[str] = set()
    for image, age in listed:
        match = NAME.fullmatch(image)
        if match and ODD.search(image):
            match = NAME.fullmatch(owners(image))
        if match is None:
            yield Drop(image, image, "rule", f"{image!r} is not <age>_<name>_<four digits>.jpg")
        elif age is not None and age != int(match[2]):
            yield Drop(match[1], image, "rule", f"age {age:g} in {path.name}, but {match[2]} in the name of the file")
        else:
            people.add(match[3])
            yield Row(match[1], tuple(there.get(match[1], [match[0]])), int(match[2]), subject=match[3])
    if len(people) >= SOME and all(map(str.islower, people)):
        what = f"the names of all {len(people):,} people are in lower case, but the owner's are not (Peter_Mullan)"
        raise ValueError(f"{files.root}: {what}; the ids would be others: unpack the owner's archive again")
    if len(people) >= PEOPLE and all(map(str.isascii, people)):
        what = f"none of the names of {len(people):,} people has an accent, but the owner's do (Renée_Zellweger)"
        raise ValueError(f"{files.root}: {what}; {FIX}")


def owners(name: str) -> str:
    """The owner's name of an image, NFC, from one that was unpacked in a wrong encoding. Raises ValueError for one that
    cannot be repaired: it would become another person."""
    name = unquote(unescape(re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), name)))
    right = unicodedata.normalize("NFC", re.sub(r"#U([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), name))
    for encoding in WRONG:
        try:
            right = unicodedata.normalize("NFC", unicodedata.normalize("NFC", right).encode(encoding).decode("utf-8"))
            break
        except UnicodeError:
            continue
    if any(sign in right for sign in "?%&\\") or not all(map(str.isascii, ACCENTED.sub("", right))):
        raise ValueError(f"{name!r} is not a name of CACD in UTF-8; {FIX}")
    return right
