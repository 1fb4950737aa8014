"""How each text was read: a csv file of all readings, and a table of the rules by which they were read."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from eval.scoring.forms import texts_of
from eval.scoring.metrics import UNPARSED
from eval.scoring.predictions import Predictions
from storm.files import write_text
from storm.prompts import shown
from storm.text import harmless, table

HEAD = ("run", "dataset", "line", "id", "text", "label", "prediction", "coarse prediction", "rule")
FEW = 0.01  # of the texts: with more that are not as trained, the table is printed. Our choice.


def write(path: Path, runs: Sequence[Predictions], irregular: bool) -> None:
    """Write a row for each text, or only for those that are not as trained. Raises OSError."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(HEAD)
    for run in runs:
        writer.writerows([*map(harmless, row)] for row in _rows(run, irregular))
    write_text(path, file.getvalue())


def _rows(run: Predictions, irregular: bool) -> Iterator[list]:
    texts = texts_of(run, set(run.line.tolist()))
    fine, coarse = ([shown(level, run.strategy) for level in levels] for levels in (run.scale.fine, run.scale.coarse))
    for at, rule in enumerate(run.rule or ()):
        if irregular and rule == "exact":
            continue
        line, pred, group = int(run.line[at]), int(run.pred[at]), int(run.coarse_pred[at])
        names = [fine[run.label[at] - run.scale.lo], "" if pred == UNPARSED else fine[pred - run.scale.lo]]
        names.append("" if group == UNPARSED else coarse[group])
        id = run.id[at] if run.id else ""
        yield [run.run, run.dataset, line, id, texts[line].text if line in texts else "", *names, rule]


def rules_table(runs: Sequence[Predictions]) -> str:
    """The rules with counts, "" if nearly all texts are as trained."""
    counts = Counter(rule for run in runs if run.probs is None for rule in run.rule or ())
    if counts.total() - counts["exact"] <= FEW * counts.total():
        return ""
    return "how the texts were read (--readings FILE.csv lists them):\n" + table(
        [["rule", "texts"], *counts.most_common()]
    )
