"""The scores of a model's row: of all its predictions, as results/<row>.json keeps them, and as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from eval.inference.run import scales_of
from eval.inference.settings import Settings, provenance_of
from eval.scoring.paper import DOMAINS
from eval.scoring.paper_tables import AVERAGE
from storm import provenance
from storm.datasets import SCALES
from storm.files import read_jsonl
from storm.prompts import STRATEGIES
from storm.text import number
from storm.text import table as draw
from train.launch import Stopped
from train.plan import files_of
from train.results import cells


def test_files(strategy: str, datasets: Sequence[str]) -> dict[str, Path]:
    """Stanza -> file of rows, of some of the 14 test sets in the paper's order."""
    suffix = STRATEGIES[strategy].suffix
    return files_of([f"storm_{name}_test{suffix}" for name in SCALES if name in datasets], Path())


def results_of(settings: Settings, facts: Mapping[str, str]) -> dict:
    """What results/<row>.json holds: the scores of all predictions of a row, those of earlier commands, too.

    facts: its name and strategy, which it says beside the provenance of the predictions. Raises Stopped for what cannot
    be scored.
    """
    from eval.scoring import testsets  # imports NumPy; --help does not need it
    from eval.scoring.runs import read_file
    from eval.scoring.scores import averages, score

    out, scales = settings.out, scales_of(settings)
    files = test_files(facts["strategy"], list(SCALES)).values()
    files = [file for file in files if (out / f"{file.stem}.jsonl").exists()]
    scores, unanswered = [], {}
    for file in files:
        path = out / f"{file.stem}.jsonl"
        tests, errors = testsets.index([file], scales)
        predictions, faults = read_file(path, scales, tests)
        without = sum("error" in line.row for line in read_jsonl(path))
        if errors or len(faults) > bool(without):  # one line tells of all rows without an answer
            raise Stopped([*errors, *faults][0])
        scores += map(score, predictions)
        unanswered |= {part.dataset: without for part in predictions[:1] if without}
    old, now = provenance.read(out), provenance_of(replace(settings, data=tuple(files)))
    if changed := [stem for stem, known in now["data"].items() if old["data"].get(stem) != known]:
        raise Stopped(f"{changed[0]}: its test file is another than when it was predicted; mv {out} {out}.old")
    facts = {**facts} | {key: value for key, value in old.items() if key != "command"} | provenance.tools()
    if provenance.other_tools(old, now):
        tools = {key: old.get(key) for key in ("commit", "versions")}
        facts |= {"predicted_with": {score.dataset: tools for score in scores}}
    facts |= {"unanswered": unanswered, "scores": [score.to_json() for score in scores]}
    return facts | {"averages": [average.to_json() for average in averages(scores)]}


def scores_table(result: dict) -> str:
    """ACC and MAE with their intervals: of each dataset, of parts of test sets, too; of each domain that is whole."""
    rows = [["dataset", "n", "n_test", "unparsed", "ACC", "MAE"]]
    for score in result["scores"]:
        values = [number(score[name], score["intervals"].get(name)) for name in ("acc", "mae")]
        rows.append([*(score[key] for key in rows[0][:4]), *values])
    acc, mae = (cells(result, metric) for metric in ("acc", "mae"))
    means = [[name, acc.get(name), mae.get(name)] for name in (*DOMAINS, AVERAGE) if name in mae]
    return draw(rows) + (f"\n\n{draw([['average', 'ACC', 'MAE'], *means])}" if means else "")
