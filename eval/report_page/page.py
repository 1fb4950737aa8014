"""The report as one page of HTML: everything in it is gathered here, and rendered by report.html.j2."""

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

from eval.report_page import figures, sampling, tables
from eval.report_page.cards import Card, error_sizes, make_cards
from eval.report_page.doubt import MOST, Doubt, Doubtful, doubt
from eval.report_page.sections import Section, label_sets, section
from eval.scoring import flagged, paper
from eval.scoring.conformal import Coverage
from eval.scoring.predictions import Predictions
from eval.scoring.run_names import run_names
from eval.scoring.scores import Score, averages, score
from storm.scales import Scale

FOLDER = Path(__file__).parent
PACKAGES = ("storm-recipes", "numpy", "scipy", "matplotlib")


@dataclass
class Page:
    """All that the template reads. Runs are known by their numbers, from 0."""

    runs: list[tables.Key]
    datasets: list[str]
    scores: list[Score]
    columns: list[tables.Column]
    score_rows: list[tables.Row]
    average_rows: list[tables.Row]
    differences: list[sampling.Difference]
    sections: list[Section]
    test_files: list[tuple[str, int]]  # (path, rows)
    errors: list[str]
    doubt: Doubt
    readings: list[tables.Reading]
    notes: list[str]  # which of several readings of a file was taken
    cards: list[Card] = field(default_factory=list)
    doubtful: list[Doubtful] = field(default_factory=list)
    changes: list[list[tuple[float, Card, Card]]] = field(default_factory=list)  # (by, ours, base)
    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def rows(self) -> int:
        return sum(score.n for score in self.scores)

    @property
    def of_paper(self) -> bool:
        """Whether any of the paper's datasets is shown."""
        return any(name in paper.DATASETS for name in self.datasets)

    @property
    def names(self) -> list[str]:
        """What each run is called: the served model, or the path."""
        names = run_names(self.scores)
        return [names.get(key, key[0]) for key in self.runs]

    @property
    def summary(self) -> list[list]:
        """Of each run: its number from 1, its key, and how many datasets, rows, and unparsed rows."""
        parts = [[score for score in self.scores if score.key == key] for key in self.runs]
        counts = [(len(part), sum(row.n for row in part), sum(row.unparsed for row in part)) for part in parts]
        return [[str(number), *key, *counts[number - 1]] for number, key in enumerate(self.runs, 1)]

    @property
    def faults(self) -> list[tuple[str, int]]:
        """Why cards have no image, and how many cards, the most frequent reason first."""
        return Counter(card.thumbnail.fault for card in self.cards if card.thumbnail.fault).most_common()

    @property
    def places(self) -> dict[int, int]:
        """The place of each card among all of them in the order of the files, by its number."""
        at = {key: number for number, key in enumerate(self.runs)}
        order = [(at[card.key], self.datasets.index(card.dataset), card.line) for card in self.cards]
        return {number: place for place, number in enumerate(sorted(range(len(order)), key=order.__getitem__))}


def gather(
    predictions: Sequence[Predictions],
    scales: Mapping[str, Scale],
    errors: Sequence[str],
    coverages: Sequence[Coverage] = (),
    note: str = "",
) -> Page:
    """The page without its cards. errors: what could not be used; what cannot be shown comes after it. coverages, note:
    of the calibration, where there is one."""
    errors = list(errors)
    runs: dict[tables.Key, dict[str, Predictions]] = {}
    for run in predictions:
        runs.setdefault(run.key, {})[run.dataset] = run
    numbers = {key: number for number, key in enumerate(runs)}
    scores = [score(run) for run in tqdm(predictions, "scores", disable=None)]
    names = dict.fromkeys(run.dataset for run in predictions)
    datasets = [name for name in paper.DATASETS if name in names] + [n for n in names if n not in paper.DATASETS]
    sections = []
    for name in tqdm(datasets, "figures", disable=None):
        these = {number: run[name] for number, run in enumerate(runs.values()) if name in run}
        by_run = {numbers[part.key]: part for part in scores if part.dataset == name}
        sets, more_errors = label_sets(these.values(), scales)
        errors += more_errors
        sections.append(section(these, by_run, sets))
    first, *others = runs.values()
    differences = []
    for number, run in enumerate(others, 1):
        difference, more_errors = sampling.difference(number, run, first)
        differences += [difference] if difference else []
        errors += more_errors
    return Page(
        runs=list(runs),
        datasets=datasets,
        scores=scores,
        columns=tables.shown_columns(scores),
        score_rows=tables.score_rows(scores, numbers, datasets),
        average_rows=tables.average_rows(averages(scores), numbers),
        differences=differences,
        sections=sections,
        test_files=sorted({(str(run.data), run.n_test) for run in predictions if run.data}),
        errors=errors,
        doubt=doubt(scores, list(runs), coverages, note),
        readings=tables.readings(list(runs.values())),
        notes=list(dict.fromkeys(note for run in predictions for note in run.notes)),
    )


def add_cards(
    page: Page, predictions: Sequence[Predictions], most: int, media: Sequence[Path], scales: Mapping[str, Scale]
) -> None:
    """Give the page its cards, at most `most`, and those of the rows that changed. media: the image roots."""
    chosen = sampling.picks(predictions, most)
    pairs = [pick for difference in page.differences for _, *pair in difference.changes for pick in pair]
    unlikely = flagged.least_likely(predictions, MOST)
    new = make_cards([*chosen, *pairs, *((run, at) for run, at, _ in unlikely)], media, scales)
    rest = iter(new[len(chosen) :])
    page.cards = new[: len(chosen)]
    page.changes = [[(by, next(rest), next(rest)) for by, *_ in part.changes] for part in page.differences]
    page.doubtful = [
        Doubtful(next(rest), run.scale.counted, *(float(part[at]) for part in likely)) for run, at, likely in unlikely
    ]


def visible(value: object) -> object:
    """Text as it goes into the page: controls, marks that turn its direction and half characters as their codes."""
    if not isinstance(value, str) or hasattr(value, "__html__"):  # our own style and script
        return value
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\u{ord(c):04x}" for c in value)


def render(page: Page) -> str:
    """The HTML. Everything in it is escaped but our own style and script, which are Markup."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, finalize=visible, trim_blocks=True)
    environment.lstrip_blocks, environment.undefined = True, StrictUndefined
    style, script = ((FOLDER / f"report.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("report.html.j2").render(
        page=page,
        names=page.names,
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        digest=digest,
        light=figures.LIGHT,
        dark=figures.DARK,
        sizes=error_sizes,
        versions={name: version(name) for name in PACKAGES},
    )
