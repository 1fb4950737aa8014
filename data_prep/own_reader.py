"""Facts and reader of a user's own ratings, so that build.py treats them as it treats the paper's datasets."""

from collections.abc import Callable, Sequence
from pathlib import Path

from data_prep.ambiguous import refuse_ambiguous, refuse_two_orders
from data_prep.downloads import Files
from data_prep.own_images import Wanted, images_of
from data_prep.own_rows import EMPTY, Rating
from data_prep.raters import Vote, about, combined
from data_prep.source import Drop, Items, Reader, Row
from storm.datasets import DatasetFacts, Sizes
from storm.levels import OwnScale, spelled

OFF_SCALE = 0.01  # our choice: with more ratings that the scale does not have, the scale is another one


def dataset(
    rows: Sequence[Rating], sources: Sequence[Path], scale: OwnScale, off_scale: bool, how: str
) -> tuple[DatasetFacts, Reader]:
    """Facts and reader of rows. off_scale: ratings that the scale does not have are dropped, however many. how: of
    several ratings of an image, a key of raters.COMBINE.

    Raises ValueError if only some rows name their part, or if many ratings are not on the scale.
    """
    parts = {row.split for row in rows}
    if "" in parts and len(parts) > 1:
        row = next(row for row in rows if not row.split)
        raise ValueError(f"{row.place}: no split, but other rows have one; write train, val or test in each row")
    empty = EMPTY - {spelled(level.word) for level in scale.scale.fine}
    rows = [row._replace(rating="") if row.rating.lower() in empty else row for row in rows]
    refuse_ambiguous(rows, max(end for _, end in scale.ranges))
    refuse_two_orders(rows, scale)
    faults = [(row, fault) for row in rows if row.rating and (fault := fault_of(scale.score, row.rating))]
    if len(faults) > OFF_SCALE * len(rows) and not off_scale:
        row, fault = faults[0]
        what = f"{len(faults):,} of {len(rows):,} ratings are not on the scale, the first: {row.place}: {fault}"
        raise ValueError(f"{what}; {scale.hint([row.rating for row in rows])}, or --allow-off-scale drops those rows")

    raters = any(row.rater for row in rows)

    def read(files: Files) -> Items:
        files.label_paths += [source.name for source in sources]
        images, firsts = images_of(map(_wanted, rows), files, files.notes), {}
        votes: list[Vote] = []
        for row in rows:
            path, why = images[_wanted(row)][:2]
            if not row.rating:
                yield Drop(row.image, row.place, "rule", "rating is empty")
            elif fault := fault_of(scale.score, row.rating):
                yield Drop(row.image, row.place, "rule", fault)
            elif not path:
                yield Drop(row.image, row.place, "missing", why)
            elif not raters:
                yield Row(path, (path,), scale.score(row.rating), row.subject, row.split)
            elif _about(first := firsts.setdefault(path, row)) != _about(row):
                raise ValueError(f"{row.place}: another subject or split than in {first.place} for the same image")
            else:
                votes.append(Vote(path, row.rater, scale.score(row.rating)))
        if votes:
            files.notes += about(votes, how)
        means = combined(votes, scale, how)
        between = {path: fault for path, (score, _) in means.items() if (fault := fault_of(scale.rounded, score))}
        if len(between) > OFF_SCALE * len(means) and not off_scale:
            path, fault = next(iter(between.items()))
            what = f"{len(between):,} of {len(means):,} images have a {how} on no level, the first: {path}: {fault}"
            raise ValueError(f"{what}; --raters majority, or give the levels ranges, or --allow-off-scale drops them")
        for path, (score, shares) in means.items():
            if path in between:
                yield Drop(path, firsts[path].place, "rule", f"the {how} of its ratings: {between[path]}")
                continue
            yield Row(path, (path,), score, firsts[path].subject, firsts[path].split, shares=shares)

    facts = DatasetFacts(
        name=scale.scale.name,
        title=scale.scale.title,
        **dict.fromkeys(("url", "terms", "download", "domain"), ""),
        scale=scale.scale,
        label=lambda score, lo, hi: scale.rounded(score) if raters else scale.label(score),
        ratings=(float("-inf"), float("inf")),
        sizes=Sizes(train=0, lite=None, test=0),
        rows=0,
        test=None,
    )
    return facts, read


def _wanted(row: Rating) -> Wanted:
    return Wanted(row.image, row.folder, row.split or row.named)


def _about(row: Rating) -> tuple[str, str]:
    """What all ratings of an image must agree on."""
    return row.subject, row.split


def fault_of(read: Callable, rating: str | float) -> str:
    """Why a scale does not have a rating, "" if it has it. read: its function that raises ValueError."""
    try:
        read(rating)
    except ValueError as error:
        return str(error)
    return ""
