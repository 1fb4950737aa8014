"""Ratings in JSON, as records: a list of them, a Label Studio export, COCO with ratings, a rating for each name."""

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from data_prep.tables import decoded
from storm.text import printable

# Of images and annotations of COCO.
NOT_RATINGS = ("id", "image_id", "bbox", "area", "iscrowd", "width", "height", "license", "date_captured")
NOT_RATINGS += ("coco_url", "flickr_url", "file_name")
# Keys that tell columns from names of images.
COLUMNS = ("image", "filename", "file", "path", "img", "name", "rating", "score", "mos", "label", "grade", "age")


def json_records(path: Path) -> Iterator[tuple[str, dict]]:
    """(place, record) of a JSON file: a list of records, a Label Studio export, COCO, or a rating for each name."""
    try:
        data = json.loads(decoded(path), object_pairs_hook=partial(_unique, path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not JSON ({error.msg}); JSON lines end in .jsonl") from None
    except RecursionError:
        raise ValueError(f"{path}: JSON that is nested too deeply; is it a rating file?") from None
    if isinstance(data, dict) and isinstance(data.get("images"), list) and isinstance(data.get("annotations"), list):
        yield from _coco(path, data)
        return
    if isinstance(data, dict):
        lists = [value for value in data.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
        if len(lists) == 1:
            data = lists[0]
        elif (rows := _of_columns(data)) is not None:
            data = rows
        elif data and all(isinstance(value, (str, int, float)) for value in data.values()):
            data = [{"image": name, "rating": value} for name, value in data.items()]
    if not isinstance(data, list) or not all(isinstance(record, dict) for record in data):
        raise ValueError(f'{path}: JSON, but not a list of records such as {{"image": ..., "rating": ...}}')
    asked = {
        item.get("from_name")
        for task in data
        if isinstance(task.get("annotations"), list)
        for done in task["annotations"]
        if isinstance(done, dict)
        for item in done.get("result") or ()
        if isinstance(item, dict) and _rated(item.get("value") or {}) is not None
    }
    if len(asked) > 1:
        names = printable(", ".join(sorted(map(str, asked))))
        raise ValueError(f"{path}: ratings of several questions ({names}); export one question only")
    studio = all(isinstance(task.get("data"), dict) and "annotations" in task for task in data)
    for number, record in enumerate(data, start=1):
        yield from _tasks(path, number, record) if studio and data else [(f"{path.name}, record {number}", record)]


def _of_columns(data: dict) -> list[dict] | None:
    """The records of a table as pandas writes it: {column: {row: cell}}, {column: [cells]}, or {image: {column: cell}};
    None of another object."""
    inner = list(data.values())
    kind = next((kind for kind in (list, dict) if all(isinstance(column, kind) for column in inner)), None)
    same = kind and len(inner) > 1 and len(set(map(len, inner))) == 1
    if same and kind is list:
        return [dict(zip(data, cells)) for cells in zip(*inner)]
    if not same or any(column.keys() != inner[0].keys() for column in inner):
        return None
    if not any(name.lower() in COLUMNS for name in data):
        return [{"image": name, **row} for name, row in data.items()]
    return [{name: column[row] for name, column in data.items()} for row in inner[0]]


def _unique(path: Path | str, pairs: list[tuple[str, Any]]) -> dict:
    """An object of JSON. Raises ValueError for a key that is there twice, of which one value would be lost."""
    record = dict(pairs)
    if len(record) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"{path}: the key {printable(twice)!r} is there twice; remove one")
    return record


def json_lines(path: Path) -> Iterator[tuple[str, dict]]:
    """(place, record) of each line of a file of JSON lines."""
    for number, text in enumerate(decoded(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            record = json.loads(text, object_pairs_hook=partial(_unique, f"{path}, line {number}"))
        except (json.JSONDecodeError, RecursionError):
            raise ValueError(f"{path}, line {number}: not JSON; one {{...}} on each line") from None
        if not isinstance(record, dict):
            raise ValueError(f"{path}, line {number}: not a record; one {{...}} on each line")
        yield f"{path.name}, line {number}", _with_class_names(record)


def _with_class_names(record: dict) -> dict:
    """A record of SageMaker's manifest with the class's name for its number: the number alone says no order."""
    named = dict(record)
    for key, facts in record.items():
        label = key.removesuffix("-metadata")
        if label == key or label not in record or not isinstance(facts, dict):
            continue
        classes = facts.get("class-map")
        name = classes.get(str(record[label])) if isinstance(classes, dict) else None
        name = facts.get("class-name", name)
        named[label] = name if isinstance(name, str) else record[label]
    return named


def _tasks(path: Path, number: int, task: dict) -> Iterator[tuple[str, dict]]:
    """The annotations of a task of Label Studio, one record each: several people may have rated an image."""
    done = [one for one in task["annotations"] if isinstance(one, dict) and not one.get("was_cancelled")]
    for annotation in done:
        values = [item.get("value") or {} for item in annotation.get("result") or () if isinstance(item, dict)]
        ratings = [_rated(value) for value in values if _rated(value) is not None]
        place = f"{path.name}, record {number}"
        if len(ratings) > 1:
            raise ValueError(
                f"{path}, record {number}: {len(ratings)} ratings in one annotation; export one question only"
            )
        who = annotation.get("completed_by")
        who = who.get("email") or who.get("id") if isinstance(who, dict) else who
        yield place, task["data"] | {"rating": ratings[0] if ratings else ""} | ({} if who is None else {"rater": who})
    if not done:
        yield f"{path.name}, record {number}", task["data"] | {"rating": ""}


def _rated(value: dict) -> Any:
    """The rating in a result of Label Studio: stars, a number, or one choice; None if it is another thing."""
    choices = value.get("choices")
    if isinstance(choices, list) and len(choices) > 1:
        return " and ".join(map(str, choices))  # which no scale has as a level
    return next((value[key] for key in ("rating", "number") if key in value), choices[0] if choices else None)


def _coco(path: Path, data: dict) -> Iterator[tuple[str, dict]]:
    """The annotations of a file like COCO's, with the name of their image and their attributes."""
    images = {image.get("id"): image for image in data["images"] if isinstance(image, dict)}
    listed = data.get("categories")
    kinds = [kind for kind in listed if isinstance(kind, dict)] if isinstance(listed, list) else []
    names = {kind.get("id"): kind["name"] for kind in kinds if "name" in kind}
    for number, annotation in enumerate(data["annotations"], start=1):
        image = images.get(annotation.get("image_id"))
        if image is None:
            raise ValueError(f"{path}, annotation {number}: no image has the id {annotation.get('image_id')!r}")
        attributes = annotation.get("attributes")
        facts = {key: value for key, value in image.items() if not isinstance(value, (list, dict))}
        record = facts | annotation | (attributes if isinstance(attributes, dict) else {})
        record = {key: value for key, value in record.items() if key not in NOT_RATINGS}
        if "score" in annotation and record.get("category_id") in names:
            what = "a score and a category, which may both be the rating"
            raise ValueError(f"{path}, annotation {number}: {what}; write a csv with image and rating")
        if record.get("category_id") in names:  # the number says no order
            record["category"] = names[record.pop("category_id")]
        yield f"{path.name}, annotation {number}", record | {"file_name": image.get("file_name", "")}
