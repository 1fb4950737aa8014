"""Scores as text: what eval/score.py prints and writes as JSON."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill

from eval.inference.posterior import diagram
from eval.scoring.compare import Comparison
from eval.scoring.comparison_table import LEGEND as COMPARISON_LEGEND
from eval.scoring.comparison_table import comparison_table
from eval.scoring.forms import PREDICT
from eval.scoring.metrics import METRICS
from eval.scoring.paper import DOMAINS
from eval.scoring.paper_tables import AVERAGE, NUMBERS, paper_table
from eval.scoring.predictions import Predictions
from eval.scoring.run_names import run_names
from eval.scoring.scores import Average, Score
from storm.text import number, printable, table

Compared = Mapping[tuple[str, str, str], Sequence[Comparison]]  # by the run's key
KEYS = ("run", "dataset", "strategy", "decode")  # attributes of a Score that head every line
SIZES = {  # more attributes -> what they are, "" if intervals say it
    "n": "predictions",
    "n_test": "rows of the test file",
    "n_paper": "rows of the paper's test set",
    "subjects": "",
    "unparsed": "texts without a rating",
    "temperature": "",
}
MOST_FILES = 20  # that are listed one by one
BESIDE_SIZES, IN_A_TABLE = 3, 5  # how many metrics stand beside the sizes, and in each table below
LEGEND = """\
In brackets: 95% intervals by the bootstrap, which draws subjects (persons or patients; in the demo, photographs) where
the test file names them, else rows."""
LEGEND_EXACT = """\
exact: {}Each metric has the best decision for it, from one distribution: ACC its mode, MAE its median, SRCC and PLCC \
its mean."""
NOT_THE_PAPERS = "not the paper's protocol. "


def everything(
    scores: Sequence[Score], averages: Sequence[Average], compared: Compared, baseline: str, table_number: str | None
) -> Iterator[str]:
    """All that is printed, part by part. baseline: its path. table_number: of a table of the paper."""
    yield score_tables(scores)
    if means := average_table(averages, scores):
        yield "\n" + means
    for key, lines in compared.items():
        yield f"\n{printable(' '.join(key))} against {printable(baseline)}\n{comparison_table(lines)}"
    if table_number:
        yield "\n" + side_by_side(table_number, scores, averages)
    yield "\n" + " ".join(f"{key}: {SIZES[key]}." for key in sizes(scores) if SIZES[key])
    yield LEGEND
    units = [score.unit for score in scores]
    yield from (fill(f"{METRICS[name].label}: {METRICS[name].explained(units)}", 119) for name in shown(scores))
    if any(score.decode == "exact" for score in scores):
        ours = NOT_THE_PAPERS * any(score.n_paper is not None for score in scores)
        yield fill(LEGEND_EXACT.format(ours), 119)
    yield from [COMPARISON_LEGEND] * bool(compared)
    for score in scores:
        file = printable(score.file)
        if score.reliability is not None:
            yield f"\nreliability, {printable(score.dataset)} ({file})\n{diagram(score.reliability)}"
        if first := score.first_unparsed:
            yield f"first unparsed prediction: {file}, line {first['line']}: {first['predict']!r}"


def score_tables(scores: Sequence[Score]) -> str:
    """A line a dataset. A metric that no dataset has is left out."""
    keys = [key for key in KEYS if key != "run" or len({score.run for score in scores}) > 1]
    metrics, texts = shown(scores), []
    parts = [(sizes(scores), metrics[:BESIDE_SIZES])]
    parts += [([], metrics[i : i + IN_A_TABLE]) for i in range(BESIDE_SIZES, len(metrics), IN_A_TABLE)]
    for facts, names in parts:
        rows = [[*keys, *facts, *(METRICS[name].label for name in names)]]
        for score in scores:
            cells = [number(score.values[name], score.intervals.get(name)) for name in names]
            rows.append([*(getattr(score, key) for key in (*keys, *facts)), *cells])
        texts.append(table(rows))
    return "\n\n".join(texts)


def sizes(scores: Sequence[Score]) -> list[str]:
    """The keys of SIZES that any of the scores has."""
    return [key for key in SIZES if any(getattr(score, key) is not None for score in scores)]


def shown(scores: Sequence[Score]) -> list[str]:
    """The metrics that any of the scores has."""
    return [name for name in METRICS if any(score.values[name] is not None for score in scores)]


def average_table(averages: Sequence[Average], scores: Sequence[Score]) -> str:
    """Domain and paper averages, then what is missing for the others. Of a run with one dataset, none."""
    datasets: dict[tuple, set[str]] = defaultdict(set)
    for score in scores:
        datasets[score.key].add(score.dataset)
    rows, missing = [["run", "average", "ACC", "MAE"]], []
    for average in averages:
        if len(datasets[average.key]) < 2:
            continue
        if any(value is not None for value in average.values.values()):
            cells = [number(value, average.intervals[metric]) for metric, value in average.values.items()]
            rows.append([" ".join(average.key), average.name, *cells])
        for metric, names in average.missing.items():
            if names:
                missing.append(f"no {metric.upper()} of {average.name}: {', '.join(names)} missing")
    return "\n".join([table(rows)] * (len(rows) > 1) + missing)


def side_by_side(table_number: str, scores: Sequence[Score], averages: Sequence[Average]) -> str:
    """A table of the paper, for each of its metrics, with a line for each of our runs below."""
    name, metrics = NUMBERS[table_number]
    names = {key: f"ours: {' '.join((run, *key[1:]))}" for key, run in run_names(scores).items()}
    texts = []
    for metric in metrics:
        ours: dict[str, dict] = {}
        for score in scores:
            cells = ours.setdefault(names[score.key], {})
            cells[score.dataset] = number(score.values[metric], score.intervals.get(metric))
        for average in averages:
            column = average.name if average.name in DOMAINS else AVERAGE
            ours[names[average.key]][column] = number(average.values[metric], average.intervals[metric])
        texts.append(paper_table(name, metric, ours))
    return "\n\n".join(texts)


def files_table(runs: Sequence[Predictions]) -> str:
    """The files that are not of this repository, and what each was taken for; then which reading of a file was taken
    where several are possible. "" if there is nothing to say."""
    rows = [[str(run.path), run.dataset, len(run.label), run.form] for run in runs if run.form not in ("", PREDICT)]
    lines = [f"note: {note}" for note in dict.fromkeys(note for run in runs for note in run.notes)]
    if len(rows) > MOST_FILES:
        counts = Counter(form for *_, form in rows)
        sizes = {name: sum(n for _, _, n, form in rows if form == name) for name in counts}
        rows = [[f"{count:,} files", "", sizes[name], name] for name, count in counts.items()]
    head = ["file", "dataset", "rows", "taken for"]
    return "\n".join([table([head, *rows])] * bool(rows) + [printable(line) for line in lines])


def note(runs: Sequence[Predictions]) -> str:
    """What was not checked of predictions without a test file: rows may be missing, in another order, or twice."""
    files = [printable(predictions.path) for predictions in runs if predictions.data is None]
    more = f" and {len(files) - 1:,} more" if len(files) > 1 else ""
    fault = "no test file of this dataset and strategy (--data), so rows, their order and subjects were not checked"
    return f"note: {files[0]}{more}: {fault}" if files else ""


def to_json(scores: Sequence[Score], averages: Sequence[Average], compared: Compared, baseline: str) -> dict:
    comparisons = [
        vars(line) | dict(zip(("run", "strategy", "decode"), key)) | {"baseline": baseline}
        for key, lines in compared.items()
        for line in lines
    ]
    rows = [[row.to_json() for row in part] for part in (scores, averages)]
    return {"scores": rows[0], "averages": rows[1], "comparisons": comparisons}
