"""Comparisons with a baseline as text: the table, what it can show, and what its columns are."""

from collections.abc import Sequence

from eval.scoring.compare import Comparison
from eval.scoring.pairing import COMPARED
from storm.text import number, table

HEAD = ["dataset", "n", "metric", "run", "baseline", "difference", "detectable", "p", "Holm", "verdict"]
LEGEND = """\
difference: the run less the baseline, paired, on the rows that both predict; of MAE, on those that both parsed.
p: by the exact sign-flip test of subjects, else rows (Fisher 1935; Pagano and Tritchler 1983); of a mean, by 4,000
random signs. In brackets: the differences that this test does not reject. None of fewer than six subjects or rows.
Holm: p corrected for the number of datasets. "cannot tell": p is .05 or more. "too few subjects": even if all of them
agreed, p would be .05 or more.
detectable: a true difference of this size is found 4 times in 5 (80% power, Bloom 1995), with p corrected for all
datasets."""


def comparison_table(lines: Sequence[Comparison]) -> str:
    """A line a dataset and metric, then the means, then a line for each metric on what the rows can show."""
    rows = [HEAD]
    for line in lines:
        cells = [line.ours, line.base, number(line.difference, line.interval), line.detectable, line.p, line.holm]
        rows.append([line.dataset, line.n, line.metric.upper(), *cells, line.verdict])
    return "\n".join([table(rows), *power_lines(lines)])


def power_lines(lines: Sequence[Comparison]) -> list[str]:
    """Of each metric, the differences that may not be seen: on the dataset where most is seen, and where least is."""
    texts = []
    for metric in COMPARED:
        seen = [line for line in lines if line.metric == metric.name and line.holm is not None and line.detectable]
        seen.sort(key=lambda line: line.detectable)
        if not seen:
            continue
        ends = [f"{line.detectable:.3f} ({line.dataset})" for line in (seen[0], seen[-1])]
        sizes = f"{seen[0].detectable:.3f}" if len(seen) == 1 else " to ".join(ends)
        texts.append(f"{metric.label}: true differences below {sizes} may not be seen with these rows.")
    return texts
