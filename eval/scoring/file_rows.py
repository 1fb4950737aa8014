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
        rows = [placed for placed in rows if not placed.row.numbered]
    if off := [
        placed for placed in rows if placed.row.numbered and any(fit.label > fit.scale.hi for fit in placed.row.fits)
    ]:
        first = off[0].row.fits[0]
        what = f"line {off[0].line}: label {first.label} is not one of the levels {first.scale.lo} to {first.scale.hi}"
        errors.append(f"{path}, {what}{and_more(off)} left out")
        gone = {placed.line for placed in off}
        rows = [placed for placed in rows if placed.line not in gone]
    rows = _asked(rows)
    rows = pooled_release(path, rows, scales, tests, notes)
    rows = placed_by_test_files(path, rows, scales, tests, by_position, errors, notes)
    rows = _of_one_scale(rows, scales)
    open_rows = [placed for placed in rows if len({fit.scale.name for fit in placed.row.fits}) > 1]
    ages = any(all(fit.scale.unit == "years" for fit in placed.row.fits) for placed in open_rows)
    if refused := [placed for placed in open_rows if any(fit.scale.unit != "years" for fit in placed.row.fits)]:
        names = ", ".join(dict.fromkeys(fit.scale.name for fit in refused[0].row.fits))
        what = f"line {refused[0].line}: the label fits the scales {names}"
        what += ": name the file or its folder after the dataset"
        errors.append(f"{path}, {what}{and_more(refused)} left out")
    return Settled(_groups(path, rows, refused, ages, scales, notes), errors, notes)


def counted_from_one(rows: Sequence[Placed]) -> str:
    """Why labels that are numbers cannot be levels: one is above the highest level, and none is the lowest; else ""."""
    numbered = [placed.row for placed in rows if placed.row.numbered and placed.row.fits]
    levels = [row for row in numbered if row.scale.unit == "level"]
    above = next((row for row in levels if row.label == row.scale.hi + 1), None)
    if above is None or any(row.label == row.scale.lo for row in levels):
        return ""
    scale = above.scale
    what = f"labels are numbers up to {above.label}, and none is {scale.lo}: levels count from {scale.lo}"
    return f"{what} ({scale.fine[0].word}) to {scale.hi}; take 1 from each, or write the words; these rows are left out"


def _asked(rows: Sequence[Placed]) -> list[Placed]:
    """The rows with the meaning that their question leaves."""

    def narrowed(placed: Placed) -> Placed:
        fits, form = placed.row.fits, placed.row.asked
        if form is None:
            return placed
        kept = tuple(fit for fit in fits if fit.scale.name == form[0] and fit.strategy in ("", form[1]))
        kept = tuple(fit._replace(strategy=form[1]) for fit in kept)
        return placed._replace(row=placed.row._replace(fits=kept)) if kept else placed

    return [narrowed(placed) for placed in rows]


def _of_one_scale(rows: Sequence[Placed], scales: Mapping[str, Scale]) -> list[Placed]:
    """The rows with the scale that the file's other rows are of, where their label leaves several open."""
    sure = {placed.row.scale.name for placed in rows if len({fit.scale.name for fit in placed.row.fits}) == 1}

    def narrowed(placed: Placed) -> Placed:
        names = {fit.scale.name for fit in placed.row.fits}
        if len(names) < 2 or len(names & sure) != 1:
            return placed
        return placed._replace(row=placed.row._replace(fits=tuple(f for f in placed.row.fits if f.scale.name in sure)))

    return [narrowed(placed) for placed in rows]


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
    out = {placed.line for placed in refused}
    rows = [placed for placed in rows if placed.line not in out]
    widest = max((scale for scale in SCALES.values() if scale.unit == "years"), key=lambda scale: scale.hi - scale.lo)
    of: dict[tuple[str, Scale, str], list[Placed]] = defaultdict(list)
    strange = [placed for placed in rows if placed.row.dataset not in scales]
    several = len({_scale_name(placed.row, pool_ages) for placed in strange}) > 1
    for placed in rows:
        row = placed.row
        aged = pool_ages and row.dataset not in scales and row.scale.unit == "years"
        name = _scale_name(row, pool_ages) if row.dataset not in scales and (several or aged) else row.dataset
        of[name, widest if aged else row.scale, row.part].append(placed)
    groups = []
    for (name, scale, part), members in of.items():
        if name in (AGES, scale.name) and name not in scales:
            sharing = " or ".join(row for row, of in SCALES.items() if of == scale or of.unit == scale.unit == "years")
            notes.append(f"{path}: {name}: {len(members):,} rows of {sharing}, scored as a whole: none says of which")
        for strategy, ours in _by_strategy(scale, members).items():
            groups.append(Group(name, scale, strategy, part, ours))
    return groups


def _scale_name(row: Row, pool_ages: bool) -> str:
    return AGES if pool_ages and row.scale.unit == "years" else row.scale.name


def _by_strategy(scale: Scale, rows: Sequence[Placed]) -> dict[str, list[Placed]]:
    """The rows by prompt strategy. Where labels and questions leave it open, the one in whose form most texts are
    written; of several, or none, one without a coarse step."""
    groups: dict[str, list[Placed]] = defaultdict(list)
    for placed in rows:
        groups[placed.row.strategy].append(placed)
    if open_rows := groups.pop("", []):
        plain = next(row.name for row in STRATEGIES.values() if not row.coarse)
        written = {name: {one_case(text) for text in answers(scale, name)} for name in (plain, *STRATEGIES)}
        texts = Counter(one_case(placed.row.predict) for placed in open_rows)
        counts = Counter({name: sum(texts[text] for text in forms) for name, forms in written.items()})
        best = next(iter(groups)) if len(groups) == 1 else counts.most_common(1)[0][0]
        groups[best] += open_rows
    return groups
