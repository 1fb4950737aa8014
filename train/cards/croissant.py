"""Croissant 1.1 metadata of a folder of rows (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html).

Rows and tables are described, images are not: they belong to others. What the specification requires and nobody knows
(creator, url, date) is left out and named, never invented.
"""

import hashlib
from collections.abc import Iterator

import orjson

from train.cards import intended_use
from train.cards.data_folder import DataFolder, Dataset, File
from train.cards.sources import CITATION, source_of

VERSION = "http://mlcommons.org/croissant/1.1"
REQUIRED = ("@context", "@type", "conformsTo", "description", "license", "name", "url", "creator", "datePublished")
OPTIONS = {"url": "--url URL", "creator": "--creator NAME", "datePublished": "--published YYYY-MM-DD"}
MAKER = "train/card.py of STORM-recipes"
# Terms of the context (Appendix 1) that stand for a term of Croissant of the same name.
TERMS = (
    "annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract",
    "field", "fileProperty", "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath",
    "key", "md5", "parentField", "path", "recordSet", "references", "regex", "readLines", "repeated", "replace",
    "samplingRate", "sdVersion", "separator", "source", "subField", "transform", "unArchive", "value",
)  # fmt: skip
CONTEXT = (
    {"@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/"}
    | {"cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/"}
    | {"dct": "http://purl.org/dc/terms/", "conformsTo": "dct:conformsTo"}
    | {"data": {"@id": "cr:data", "@type": "@json"}, "examples": {"@id": "cr:examples", "@type": "@json"}}
    | {"dataType": {"@id": "cr:dataType", "@type": "@vocab"}}
    | {"name": {"@container": "@language"}, "description": {"@container": "@language"}}
    | {term: f"cr:{term}" for term in TERMS}
)
FORMATS = {".jsonl": "application/jsonlines", ".json": "application/json", ".csv": "text/csv", ".yaml": "text/plain"}
# Column of a manifest or a row -> (type, what it holds).
COLUMNS = {
    "id": ("sc:Text", "the row's name, unique in its dataset"),
    "image": ("sc:Text", "path of the image below the image root; the image itself is not part of this dataset"),
    "images": ("sc:Text", "path of the image below the image root; the image itself is not part of this dataset"),
    "label": ("sc:Integer", "the level, counted from 0, or what the scale counts, such as years"),
    "score": ("sc:Float", "the raw rating that became the label"),
    "subject": ("sc:Text", "the person, patient or object; empty if unknown"),
    "split": ("sc:Text", "train, val (if not in train) or test"),
    "lite": ("sc:Integer", "1 for a row of the lite set"),
    "val": ("sc:Integer", "1 for a validation row"),
    "strategy": ("sc:Text", "the prompt strategy"),
    "scale": ("sc:Text", "the scale"),
}
MANIFEST = ("id", "image", "label", "score", "subject", "split", "lite", "val")
ROW = ("id", "images", "label", "subject", "scale", "strategy")


def croissant(data: DataFolder, given: dict[str, str]) -> dict:
    """The metadata. given: url, creator, datePublished and license, as far as the user says them."""
    facts = [dataset for dataset in data.datasets.values() if intended_use.facts_of([dataset.name])]
    known = {key: given[key] for key in ("url", "datePublished") if given.get(key)}
    known |= {"creator": {"@type": "sc:Organization", "name": given["creator"]}} if given.get("creator") else {}
    sizes = "; ".join(
        f"{name}: {', '.join(f'{count} {part}' for part, count in dataset.sizes.items())}"
        for name, dataset in data.datasets.items()
    )
    described = (
        "Rows to train and test models that rate images on ordinal scales, written by data_prep of STORM-recipes. "
    )
    described += "Images are not included: get them from their owners, under their terms. Rows: "
    page = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": data.name,
        "description": f"{described}{sizes}.",
        "license": _licenses(data, given.get("license", "")),
        **known,
        **({"citeAs": CITATION} if facts else {}),
        "version": _version(data),
        "isLiveDataset": False,
        "sdPublisher": {"@type": "sc:Organization", "name": MAKER},
        "distribution": [_file_object(file) for file in data.files],
        "recordSet": [record for dataset in data.datasets.values() for record in _record_sets(dataset, data)],
    }
    return page | {"sdVersion": _semantic(_digest(page))}


def lacking(page: dict) -> list[str]:
    """The options that give what Croissant requires and the metadata lacks."""
    return [OPTIONS[key] for key in REQUIRED if key not in page]


def untouched(page: object) -> bool:
    """Whether metadata is of this command, and nobody has edited it since."""
    if not isinstance(page, dict) or (page.get("sdPublisher") or {}) != {"@type": "sc:Organization", "name": MAKER}:
        return False
    rest = {key: value for key, value in page.items() if key != "sdVersion"}
    return page.get("sdVersion") == _semantic(_digest(rest))


def _semantic(digest: str) -> str:
    """A semantic version, as Croissant recommends: the hash is its build metadata."""
    return f"1.0.0+{digest}"


def _digest(page: dict) -> str:
    return hashlib.sha256(orjson.dumps(page, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def _version(data: DataFolder) -> str:
    """The build: other files, another version."""
    whole = hashlib.sha256("".join(f"{file.name} {file.sha256}\n" for file in data.files).encode()).hexdigest()
    return _semantic(whole[:16])


def _licenses(data: DataFolder, license: str) -> list[str | dict]:
    """The license that the user gives, and the terms of each source in the few words of storm/datasets.py."""
    terms: list[str | dict] = [license] if license else []
    for dataset in data.datasets.values():
        source = source_of(dataset, data)
        page = {"@type": "sc:CreativeWork", "name": f"Terms of {source.title}", "description": source.terms}
        terms.append(page | ({"url": source.url} if source.url else {}))
    return terms


def _file_object(file: File) -> dict:
    kind = FORMATS[file.path.suffix]
    facts = {"contentUrl": file.name, "contentSize": f"{file.size} B", "encodingFormat": kind, "sha256": file.sha256}
    return {"@type": "cr:FileObject", "@id": file.name, "name": file.name, **facts}


def _record_sets(dataset: Dataset, data: DataFolder) -> Iterator[dict]:
    """The manifest, with all splits; without one (the demo), the rows of each part."""
    if manifest := data.beside.get(f"manifest/{dataset.name}.csv"):
        yield _record_set(dataset.name, manifest, MANIFEST, "All rows with the part of the split each is in.")
        return
    for part, file in dataset.scored.items():
        yield _record_set(f"{dataset.name}_{part}", file, ROW, f"The rows of {part}.")


def _record_set(name: str, file: File, columns: tuple[str, ...], described: str) -> dict:
    fields = []
    for column in columns:
        kind, what = COLUMNS[column]
        source = {"fileObject": {"@id": file.name}, "extract": {"column": column}}
        several = {"isArray": True, "arrayShape": "-1"} if column == "images" else {}
        facts = {"name": column, "description": what, "dataType": kind, **several, "source": source}
        fields.append({"@type": "cr:Field", "@id": f"{name}/{column}", **facts})
    key = {"key": {"@id": f"{name}/id"}}
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "description": described, **key, "field": fields}
