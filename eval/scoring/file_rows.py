"""The rows of one predictions file by dataset, scale and prompt strategy, however little each row says.

In this order: what the label says, the question, the test file that has the row's id or image, the other rows of the
file. What then is open is refused, or, of scales that several datasets share, scored as a whole and called so.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from eval.scoring import testsets
from eval.scoring.predicted_rows import Row
from eval.scoring.rows_in_tests import Placed, and_more, placed_by_test_files, pooled_release
from storm.datasets import SCALES
from storm.prompts import STRATEGIES, answers
from storm.scales import Scale
from storm.text import one_case

AGES = "ages"  # the dataset of rows of which only is known that they are ages


class Group(NamedTuple):
    """Rows that are scored together."""

    dataset: str
    scale: Scale
    strategy: str
    part: str  # of the test file that the rows are of, "" if they do not say it
    rows: list[Placed]


class Settled(NamedTuple):
    groups: list[Group]
    errors: list[str]  # of rows that are left out
    notes: list[str]  # which reading was taken


def settle(
    path: Path, rows: Sequence[Placed], scales: Mapping[str, Scale], tests: testsets.Index, by_position: bool = False
) -> Settled:
    """The rows of a file in groups. by_position: rows without a label are those of the test file, in its order."""
    errors: list[str] = []
    notes: list[str] = []
    if fault := counted_from_one(rows):
        errors.append(f"{path}: {fault}")
        rows = [one for one in rows if not one.row.numbered]
    if off := [one for one in rows if one.row.numbered and any(fit.label > fit.scale.hi for fit in one.row.fits)]:
        first = off[0].row.fits[0]
        what = f"line {off[0].line}: label {first.label} is not one of the levels {first.scale.lo} to {first.scale.hi}"
        errors.append(f"{path}, {what}{and_more(off)} left out")
        gone = {one.line for one in off}
        rows = [one for one in rows if one.line not in gone]
    rows = _asked(rows)
    rows = pooled_release(path, rows, scales, tests, notes)
    rows = placed_by_test_files(path, rows, scales, tests, by_position, errors, notes)
    rows = _of_one_scale(rows, scales)
    open_rows = [one for one in rows if len({fit.scale.name for fit in one.row.fits}) > 1]
    ages = any(all(fit.scale.unit == "years" for fit in one.row.fits) for one in open_rows)
    if refused := [one for one in open_rows if any(fit.scale.unit != "years" for fit in one.row.fits)]:
        names = ", ".join(dict.fromkeys(fit.scale.name for fit in refused[0].row.fits))
        what = f"line {refused[0].line}: the label fits the scales {names}"
        what += ": name the file or its folder after the dataset"
        errors.append(f"{path}, {what}{and_more(refused)} left out")
    return Settled(_groups(path, rows, refused, ages, scales, notes), errors, notes)


def counted_from_one(rows: Sequence[Placed]) -> str:
    """Why labels that are numbers cannot be levels: one is above the highest level, and none is the lowest; else ""."""
    numbered = [one.row for one in rows if one.row.numbered and one.row.fits]
    levels = [row for row in numbered if row.scale.unit == "level"]
    above = next((row for row in levels if row.label == row.scale.hi + 1), None)
    if above is None or any(row.label == row.scale.lo for row in levels):
        return ""
    scale = above.scale
    what = f"labels are numbers up to {above.label}, and none is {scale.lo}: levels count from {scale.lo}"
    return f"{what} ({scale.fine[0].word}) to {scale.hi}; take 1 from each, or write the words; these rows are left out"


def _asked(rows: Sequence[Placed]) -> list[Placed]:
    """The rows with the meaning that their question leaves."""

    def narrowed(one: Placed) -> Placed:
        fits, form = one.row.fits, one.row.asked
        if form is None:
            return one
        kept = tuple(fit for fit in fits if fit.scale.name == form[0] and fit.strategy in ("", form[1]))
        kept = tuple(fit._replace(strategy=form[1]) for fit in kept)
        return one._replace(row=one.row._replace(fits=kept)) if kept else one

    return [narrowed(one) for one in rows]


def _of_one_scale(rows: Sequence[Placed], scales: Mapping[str, Scale]) -> list[Placed]:
    """The rows with the scale that the file's other rows are of, where their label leaves several open."""
    sure = {one.row.scale.name for one in rows if len({fit.scale.name for fit in one.row.fits}) == 1}

    def narrowed(one: Placed) -> Placed:
        names = {fit.scale.name for fit in one.row.fits}
        if len(names) < 2 or len(names & sure) != 1:
            return one
        return one._replace(row=one.row._replace(fits=tuple(f for f in one.row.fits if f.scale.name in sure)))

    return [narrowed(one) for one in rows]


def _groups(
    path: Path,
    rows: Sequence[Placed],
    refused: Sequence[Placed],
    pool_ages: bool,
    scales: Mapping[str, Scale],
    notes: list[str],
) -> list[Group]:
    """The rows that are scored together. Of a file whose name says no dataset and that holds several scales, each scale
    is a group of its own name."""
    out = {one.line for one in refused}
    rows = [one for one in rows if one.line not in out]
    widest = max((scale for scale in SCALES.values() if scale.unit == "years"), key=lambda scale: scale.hi - scale.lo)
    of: dict[tuple[str, Scale, str], list[Placed]] = defaultdict(list)
    strange = [one for one in rows if one.row.dataset not in scales]
    several = len({_scale_name(one.row, pool_ages) for one in strange}) > 1
    for one in rows:
        row = one.row
        aged = pool_ages and row.dataset not in scales and row.scale.unit == "years"
        name = _scale_name(row, pool_ages) if row.dataset not in scales and (several or aged) else row.dataset
        of[name, widest if aged else row.scale, row.part].append(one)
    groups = []
    for (name, scale, part), placed in of.items():
        if name in (AGES, scale.name) and name not in scales:
            sharing = " or ".join(row for row, of in SCALES.items() if of == scale or of.unit == scale.unit == "years")
            notes.append(f"{path}: {name}: {len(placed):,} rows of {sharing}, scored as a whole: none says of which")
        for strategy, ours in _by_strategy(scale, placed).items():
            groups.append(Group(name, scale, strategy, part, ours))
    return groups


def _scale_name(row: Row, pool_ages: bool) -> str:
    return AGES if pool_ages and row.scale.unit == "years" else row.scale.name


def _by_strategy(scale: Scale, rows: Sequence[Placed]) -> dict[str, list[Placed]]:
    """The rows by prompt strategy. Where labels and questions leave it open, the one in whose form most texts are
    written; of several, or none, one without a coarse step."""
    groups: dict[str, list[Placed]] = defaultdict(list)
    for one in rows:
        groups[one.row.strategy].append(one)
    if unknown := groups.pop("", []):
        plain = next(row.name for row in STRATEGIES.values() if not row.coarse)
        written = {name: {one_case(text) for text in answers(scale, name)} for name in (plain, *STRATEGIES)}
        said = Counter(one_case(one.row.predict) for one in unknown)
        counts = Counter({name: sum(said[text] for text in texts) for name, texts in written.items()})
        best = next(iter(groups)) if len(groups) == 1 else counts.most_common(1)[0][0]
        groups[best] += unknown
    return groups
