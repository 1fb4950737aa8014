"""Test files as lmms-eval reads them (0.7.3): a task in YAML, its rows, and the functions of utils.py beside it."""

import json
from collections.abc import Iterator
from pathlib import Path

from data_prep.export_images import Picture
from data_prep.export_task import Open, Rows, Settings, Written, facts_of, question_of
from storm.files import write_rows
from storm.rows import Example
from storm.text import command_line

UTILS = Path(__file__).with_name("lmms_eval_utils.py")  # copied to utils.py, which the tasks name


def write(task: str, rows: Rows, settings: Settings, open_: Open) -> Iterator[Written]:
    """<task>.yaml and <task>.jsonl. Raises ValueError for a folder whose name its loader takes for a pattern.

    generation_kwargs are greedy. `until` is empty: by default lmms-eval cuts an answer at its first blank line.
    """
    docs = settings.out.resolve() / f"{task}.jsonl"
    if not str(docs).isprintable() or any(sign in str(docs) for sign in ("*", "?", "[", "]", "::", "://")):
        raise ValueError(f"--out {settings.out}: lmms-eval takes a path with * ? [ ] or :: for a pattern; rename it")
    count = write_rows(open_(settings.out / docs.name), (_doc(task, row, picture) for _, row, picture in rows))
    functions = "".join(
        f"{name}: !function utils.{name}\n"
        for name in ("doc_to_visual", "doc_to_text", "doc_to_target", "process_results")
    )
    text = f"""\
# Written by python -m data_prep export, with the paths of this machine. docs/other-tools.md says how to run it.
task: {task}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {json.dumps(str(docs), ensure_ascii=False)}
test_split: test
output_type: generate_until
{functions}generation_kwargs:
  max_new_tokens: {settings.max_tokens}
  do_sample: false
  temperature: 0
  num_beams: 1
  until: []
metric_list:
  - metric: same_text
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1
"""
    open_(settings.out / f"{task}.yaml").write(text.encode())
    yield Written(settings.out / docs.name, count)


def _doc(task: str, row: Example, picture: Picture) -> dict:
    return facts_of(task, row) | {"image": str(picture.path), "question": question_of(row), "answer": row.answer}


def write_functions(settings: Settings, open_: Open) -> None:
    """utils.py, the same for all tasks of a folder."""
    open_(settings.out / "utils.py").write(UTILS.read_bytes())


def run(files: list[Written], settings: Settings) -> list[str]:
    words = ["lmms-eval", "--model", "MODEL", "--include_path", settings.out.resolve(), "--tasks"]
    words += [",".join(file.path.stem for file in files), "--log_samples", "--output_path", "RESULTS"]
    return [command_line(words)]
