"""The 14 source datasets, one row each, in the order of Table 1: what they are, where to get them, how they are rated,
labeled and split. No reader: those are in data_prep/sources/, one module of the same name each.

Sources of the numbers: the paper's Tables 1, 6 and 7, unless a row says "our choice". A 15th dataset is one more row.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from storm.scales import AGE_GROUPS, HDE, IAA, IQA, MDG, Scale, years
from storm.text import folded

CARVE = " --val 0.1"  # the option of data_prep that takes validation rows out of train


def equal_width(score: float, lo: float, hi: float) -> int:
    """Five levels of equal width over the lowest and highest rating, lo..hi.

    Our choice. A prediction of one constant level on AVA has the paper's numbers under this rule only.
    """
    if hi == lo:
        return 0
    return min(max(int((score - lo) / (hi - lo) * 5), 0), 4)


def as_is(score: float, lo: float, hi: float) -> int:
    """The rating is the label: a grade, a group or an age in years. Raises ValueError if it is not a whole number."""
    if score != int(score):
        raise ValueError(f"{score!r} is not a whole number")
    return int(score)


def half_up(score: float, lo: float, hi: float) -> int:
    """The mean vote 1..5, rounded half up, as level 0..4; lo and hi do not matter.

    Section 3.2: "compute the MOS values of all raters and convert [them] to five text-defined rating levels". How is
    not said; to round, and a half up, is our choice.
    """
    return (math.floor(2 * score) + 1) // 2 - 1  # doubling is exact, adding a half to a float need not be


LABEL_RULES = {  # function of a row -> how docs/datasets.md says it
    equal_width: "five levels of equal width (our choice)",
    as_is: "the number itself",
    half_up: "mean vote, rounded half up (our choice)",
}


@dataclass(frozen=True)
class Sizes:
    """Rows in the paper (Tables 6 and 7). lite None: a zero-shot dataset; its train split, what is left of Table 1, is
    for single-domain runs."""

    train: int
    lite: int | None
    test: int


@dataclass(frozen=True)
class DatasetFacts:
    """Everything that is true of one source dataset."""

    name: str  # its reader's module, its folder below data/raw, a row's "dataset"
    title: str
    url: str  # the owner's page
    terms: str  # of use, in a few words
    download: str  # what to put into the folder
    domain: str  # of the paper
    scale: Scale
    label: Callable[[float, float, float], int]  # (rating, lowest, highest of the whole label file) -> label
    sizes: Sizes
    rows: int  # of the owner's whole label file, or images of the whole set where file names are the labels
    test: int | None  # one row in so many is for testing, rounded down; None: the owner's split (Row.part)
    ratings: tuple[float, float] | None = None  # the lowest and highest possible rating; None: those of the labels
    spread: tuple[float, float] | None = None  # lowest and highest raw score of the whole label file, for equal width
    observed: int = 0  # without a known spread: rows from which on the range that is there is that of the whole file
    lite: str = "none"  # "train": all of it, "ninth": ceil(train / 9), "quarter": train // 4, "none"
    per_class: bool = False  # test = the last of ten folds made class by class (EyePACS)
    subject_part: bool = False  # with --split subject, Row.part is the owner's split by person (Adience)
    missing: float = 0.05  # the share of rows without an image above which a build is refused; our choice
    aliases: tuple[str, ...] = ()  # other names of its folder: lower case, letters and digits only
    folders: tuple[str, ...] = ()  # names of image folders, the preferred first, if several hold the same images
    # Whether the terms let images go to another company's server. Our choice: only if they say so; "research" does not.
    may_pass_on: bool = False
    difference: str = ""  # why a complete download differs from the paper's sizes, if it does

    @property
    def carve(self) -> str:
        """What data_prep needs beside the name to write validation rows: lite may be all of train."""
        return CARVE if self.lite == "train" else ""

    @property
    def low(self) -> float:
        """Ratings below it are dropped as out of range."""
        return self.ratings[0] if self.ratings else self.scale.lo

    @property
    def high(self) -> float:
        """Ratings above it are dropped as out of range."""
        return self.ratings[1] if self.ratings else self.scale.hi


# Domains are in the order of Table 1; paper.py has the order of the columns of Tables 2-4.
# fmt: off
_ROWS = (
    DatasetFacts(
        name="spaq", title="SPAQ", url="https://github.com/h4nwei/SPAQ", terms="research and education",
        download="`Annotations/MOS and Image attribute scores.xlsx`, `TestImage/`",
        domain="IQA", scale=IQA, label=equal_width, ratings=(0, 100),
        sizes=Sizes(8_900, 8_900, 2_225), test=5, lite="train",
        rows=11_125, spread=(2.0, 96.0), aliases=("spaqdataset",), folders=("TestImage",),
    ),
    DatasetFacts(
        name="challengedb", title="ChallengeDB (LIVE In the Wild)",
        url="https://live.ece.utexas.edu/research/ChallengeDB/", terms="any purpose, cite the papers", may_pass_on=True,
        download="`Data/*.mat`, `Images/`", domain="IQA", scale=IQA, label=equal_width, ratings=(0, 100),
        sizes=Sizes(936, 936, 233), test=5, lite="train",
        rows=1_169, spread=(3.42, 92.4319526627219),
        aliases=("challengedbrelease", "livechallenge", "livec", "livewild", "livew", "cdb", "clive", "livechallengedb",
                 "livechallengedataset", "liveinthewild"),
    ),
    DatasetFacts(
        name="koniq", title="KonIQ-10k", url="https://database.mmsp-kn.de/koniq-10k-database.html",
        terms="Creative Commons photographs", may_pass_on=True,
        download="either csv of scores, `1024x768/` or `512x384/`",
        domain="IQA", scale=IQA, label=equal_width, ratings=(0, 100), sizes=Sizes(8_059, None, 2_014), test=5,
        rows=10_073, spread=(3.91176470588, 88.3888888889),
        aliases=("koniq10k",), folders=("1024x768", "512x384"),
    ),
    DatasetFacts(
        name="aesthetics", title="Aesthetics (beauty-icwsm15)",
        url="http://www.di.unito.it/~schifane/dataset/beauty-icwsm15/",
        terms="Creative Commons photographs, votes for research", may_pass_on=True,  # only photographs are sent
        download="`beauty-icwsm15-dataset.tsv`, the photographs from Flickr",
        domain="IAA", scale=IAA, label=half_up, ratings=(1, 5), sizes=Sizes(12_336, None, 1_370), test=10,
        difference="15,686 rows in the label file; the paper's 13,706 are the photographs still on Flickr then",
        rows=15_686, missing=0.2,
        aliases=("aesthetic", "aes", "beauty", "beautyicwsm15", "beautyicwsm15dataset"),
    ),
    DatasetFacts(
        name="tad66k", title="TAD66K",
        url="https://github.com/woshidandan/TANet-image-aesthetics-and-quality-assessment",
        terms="labels Apache-2.0, photographs from Flickr", download="`dataset/merge/*.csv`, the images",
        domain="IAA", scale=IAA, label=equal_width, ratings=(0, 10),
        sizes=Sizes(52_224, 13_056, 14_076), test=None, lite="quarter",
        difference="the paper's Table 6 has 24 train and 3 test rows fewer than the owner's split, cause unknown",
        rows=66_327, spread=(1.13, 9.46), aliases=("tad", "tad66", "tadataset"),
    ),
    DatasetFacts(
        name="ava", title="AVA", url="https://github.com/imfing/ava_downloader", terms="do not pass on",
        download="`AVA.txt`, the images", domain="IAA", scale=IAA, label=equal_width, ratings=(1, 10),
        sizes=Sizes(229_958, 25_551, 25_550), test=10, lite="ninth",
        difference="255,530 rows in AVA.txt; the paper's 255,508 leave out images that do not exist or do not decode",
        rows=255_530, observed=255_000, aliases=("avadataset",),
    ),
    DatasetFacts(
        name="adience", title="Adience", url="https://talhassner.github.io/home/projects/Adience/Adience-data.html",
        terms="research, password on request", download="five `fold_<k>_data.txt`, `aligned/` or `faces/`",
        domain="FAE", scale=AGE_GROUPS, label=as_is,
        sizes=Sizes(15_589, 15_589, 1_732), test=10, lite="train", subject_part=True,
        rows=19_487, aliases=("adiencebenchmark", "adiencedb", "adiencedataset", "adiencebenchmarkgenderandage",
                 "adiencebenchmarkgenderandageclassification"),
        folders=("aligned", "faces"),
    ),
    DatasetFacts(
        name="cacd", title="CACD2000", url="https://bcsiriuschen.github.io/CARC/", terms="research",
        download="`CACD2000/`; `celebrity2000_meta.mat` is optional", domain="FAE", scale=years(14, 62), label=as_is,
        sizes=Sizes(147_102, 16_345, 16_344), test=10, lite="ninth",
        rows=163_446, aliases=("cacd2000",), folders=("CACD2000",),
    ),
    DatasetFacts(
        name="morph", title="MORPH II, Album 2",
        url="https://uncw.edu/research/innovation-commercialization/technology-portfolio/morph",
        terms="license from UNC Wilmington", download="`Album2/`; the csv of 2008 is optional",
        domain="FAE", scale=years(16, 77), label=as_is, sizes=Sizes(40_012, 10_003, 10_003), test=5, lite="quarter",
        difference="the owner's set has 55,134 images; why the paper has 50,015 is unknown (perhaps a redistribution)",
        rows=55_134, aliases=("morph2", "morphii", "morphnoncommercial", "album2"), folders=("Album2",),
    ),
    DatasetFacts(
        name="utk", title="UTKFace", url="https://susanqq.github.io/UTKFace/", terms="non-commercial research",
        download="`part1/` .. `part3/` (in the wild)", domain="FAE", scale=years(1, 116), label=as_is,
        sizes=Sizes(21_696, None, 2_410), test=10,
        rows=24_106, aliases=("utkface", "utkfaceinthewild", "utkfacenew", "utkfacedataset"),
        folders=("part1", "part2", "part3", "UTKFace"),
    ),
    DatasetFacts(
        name="eyepacs", title="EyePACS (Diabetic Retinopathy Detection)",
        url="https://www.kaggle.com/competitions/diabetic-retinopathy-detection", terms="rules of the competition",
        download="`trainLabels.csv`, `train/`", domain="MDG", scale=MDG, label=as_is,
        sizes=Sizes(31_599, 31_599, 3_527), test=10, lite="train", per_class=True,
        rows=35_126, aliases=("diabeticretinopathydetection", "diabeticretinopathyresized", "eyepac", "dr2015"),
        folders=("train",),
    ),
    DatasetFacts(
        name="deepdr", title="DeepDRiD", url="https://github.com/deepdrdoc/DeepDRiD", terms="CC BY-SA 4.0",
        may_pass_on=True,
        download="`regular-fundus-training/`, `regular-fundus-validation/`", domain="MDG", scale=MDG, label=as_is,
        sizes=Sizes(1_200, 1_200, 400), test=None, lite="train",
        rows=1_600, aliases=("deepdrid", "deepdridmaster"),
    ),
    DatasetFacts(
        name="aptos", title="APTOS 2019 Blindness Detection",
        url="https://www.kaggle.com/competitions/aptos2019-blindness-detection", terms="rules of the competition",
        download="`train.csv`, `train_images/`", domain="MDG", scale=MDG, label=as_is,
        sizes=Sizes(3_296, None, 366), test=10,
        rows=3_662, aliases=("aptos2019", "aptos2019blindnessdetection", "aptosblindnessdetection"),
        folders=("train_images",),
    ),
    DatasetFacts(
        name="hci", title="HCI (historical color images)", url="http://graphics.cs.cmu.edu/projects/historicalColor/",
        terms="academic", download="`1930s/` .. `1970s/`", domain="HDE", scale=HDE, label=as_is,
        sizes=Sizes(1_193, None, 132), test=10,
        rows=1_325, aliases=("historicalcolor", "historicalcoloreccv2012", "decadedatabase", "hcidataset",
                 "historicalcolorimages"),
    ),
)
# fmt: on
DATASETS = {row.name: row for row in _ROWS}
SCALES = {row.name: row.scale for row in _ROWS}  # dataset -> scale
ALIASES = {alias: row.name for row in _ROWS for alias in (row.name, *row.aliases)}  # a word in a path -> dataset
BY_SCALE_NAME = {row.scale.name: row.scale for row in _ROWS}  # a row's "scale" -> scale


def dataset_in(path: str) -> str:
    """The dataset that one folder of an image's path names. Raises ValueError if none or several do."""
    names = set()
    for part in path.replace("\\", "/").split("/")[:-1]:
        part = folded(part)
        words = [re.sub(r"[^a-z0-9]", "", part), *re.split(r"[^a-z0-9]+", part)]
        names |= {ALIASES[word] for word in words if word in ALIASES}
    if len(names) != 1:
        raise ValueError("no one dataset in the path")
    return names.pop()
