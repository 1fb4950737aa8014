"""Test files as VLMEvalKit reads them: a TSV in its folder LMUData (ImageBaseDataset, CustomVQADataset; code of August
2026). Its results are the same table with a column prediction."""

import base64
import csv
import hashlib
import io
from collections.abc import Iterator

from data_prep.export_task import Open, Rows, Settings, Written, facts_of, question_of
from storm.text import command_line


def write(task: str, rows: Rows, settings: Settings, open_: Open) -> Iterator[Written]:
    """<task>.tsv. Raises ValueError for an answer or name that pandas, which VLMEvalKit reads it with, would change.

    Images are absolute paths: with a column image_path alone, VLMEvalKit opens what stands there. With settings.embed
    they are base64, and image_path is the name under which VLMEvalKit saves them: by their content, as it never
    replaces a file that it saved before, and .png, as it would save a JPEG with losses. The index is the place in the
    test file, whatever is left out: by it, VLMEvalKit goes on with the answers of a run that was stopped.
    """
    path, checked, count = settings.out / f"{task}.tsv", set(), 0
    text = io.TextIOWrapper(open_(path), encoding="utf-8", newline="")
    table = csv.writer(text, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_ALL)
    for count, (place, row, picture) in enumerate(rows, start=1):
        cells = {"index": place, **facts_of(task, row)}
        for cell in {row.answer, row.dataset} - checked:
            refuse_changed_by_pandas(cell)
            checked.add(cell)
        if settings.embed:
            name = hashlib.sha256(picture.data).hexdigest()[:32]
            cells |= {"image": base64.b64encode(picture.data).decode(), "image_path": f"{name}.png"}
        else:
            cells["image_path"] = str(picture.path)
        cells |= {"question": question_of(row), "answer": row.answer}
        if count == 1:
            table.writerow(cells)
        table.writerow(cells.values())
    text.detach()
    yield Written(path, count)


def refuse_changed_by_pandas(cell: str) -> None:
    """Raises ValueError if pandas reads a cell as a missing value or as a number of another spelling."""
    import pandas

    file = io.StringIO()
    csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL).writerows([["cell"], [cell]])
    file.seek(0)
    value = pandas.read_csv(file, sep="\t")["cell"][0]
    if pandas.isna(value) or str(value) != cell:
        why = f"VLMEvalKit reads tables with pandas, which takes the answer or name {cell!r} for {value}"
        raise ValueError(f"{why}; take another --strategy, or another name in the scale")


def run(files: list[Written], settings: Settings) -> list[str]:
    words = ["python", "run.py", "--mode", "infer", "--work-dir", "RESULTS", "--model", "MODEL", "--data"]
    words += [file.path.stem for file in files]
    return [f"LMUData={command_line([settings.out.resolve()])} PRED_FORMAT=tsv {command_line(words)}"]
